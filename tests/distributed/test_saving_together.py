"""Saves that several ranks make together: what is saved, and that an error of one reaches all."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranks import end, ranks, saved, together

import saver
from saver import encoding, environment
from saver.cluster import Cluster
from saver.codec import Encoder
from saver.distributed import planning, plans, saving
from saver.distributed.session import Session
from saver.errors import (
    CannotSaveError,
    CannotWriteError,
    CommitUnknownError,
    IncompatibleError,
    LostRankError,
)
from saver.repo.commit import commit
from saver.repo.stage import stage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.tensors import TENSOR_DTYPE, Box, ShardedData, TensorData


class Piece:
    """A rank's boxes of an array, in tests: saved as the array of which they are pieces."""

    def __init__(self, array: Any, *boxes: Box) -> None:
        self.array, self.boxes = array, boxes


def encoded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the encoder take pieces."""
    before = Encoder._value

    def value(self: Encoder, obj: Any, steps: Any, fillable: bool) -> Any:
        if not isinstance(obj, Piece):
            return before(self, obj, steps, fillable)
        dtype = TENSOR_DTYPE[obj.array.dtype.kind, obj.array.dtype.itemsize]
        parts = [np.ascontiguousarray(obj.array[box.slices]) for box in obj.boxes]
        shards = {
            box.offsets: TensorData(dtype, box.sizes, part)
            for box, part in zip(obj.boxes, parts, strict=True)
            if part.size
        }
        self._path.extend(steps)
        try:
            from saver.tree import Node

            return Node("numpy.array", state=self.boxes(ShardedData(dtype, obj.array.shape, shards)))
        finally:
            del self._path[len(self._path) - len(steps) :]

    monkeypatch.setattr(Encoder, "_value", value)


def halves(array: Any, size: int) -> list[Any]:
    """What each of `size` ranks holds of an array that is cut along its first axis."""
    step = -(-len(array) // size)
    found = []
    for rank in range(size):
        start, end = min(rank * step, len(array)), min((rank + 1) * step, len(array))
        found.append(Piece(array, Box((start, *[0] * (array.ndim - 1)), (end - start, *array.shape[1:]))))
    return found


def weights(size: int = 1 << 20, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((size // 512, 64))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_what_ranks_hold_together_is_one_version(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded_in_pieces(monkeypatch)
    large, small, same = weights(8 << 20), np.arange(5), weights(6 << 20, 1)
    objects = [
        {"model": {"large": a, "small": b, "same": same}, "step": 3}
        for a, b in zip(halves(large, size), halves(small, size), strict=True)
    ]
    versions = saved(tmp_path, objects, metrics={"loss": float("nan")}, tags=["best"])
    assert {str(version) for version in versions} == {"m@1"}
    store = saver.Saver(tmp_path)
    loaded = store.load("m@best")
    np.testing.assert_array_equal(loaded["model"]["large"], large)
    np.testing.assert_array_equal(loaded["model"]["small"], small)
    np.testing.assert_array_equal(loaded["model"]["same"], same)
    assert loaded["step"] == 3
    assert len(store.version("m").packs) == size
    assert store.check().sound
    again = saved(tmp_path, objects)
    assert again[0].bytes_added < 20_000, "nothing that the store has is written again"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_small_version_is_one_file_that_opens_by_itself(tmp_path: Path, size: int) -> None:
    (version, *_) = saved(tmp_path, [{"a": np.arange(3)}] * size)
    assert version.file
    assert saver.load(tmp_path / "packs" / f"{version.file}.safetensors")["a"].tolist() == [0, 1, 2]


def test_each_rank_may_have_parts_of_its_own(tmp_path: Path) -> None:
    objects = [{"model": [1], f"stage{rank}": [rank], "generator": [10 + rank]} for rank in range(3)]
    saved(tmp_path, objects, per_rank=["generator"])
    assert saver.Saver(tmp_path).load("m") == {
        "model": [1],
        **{f"stage{rank}": [rank] for rank in range(3)},
        **{f"generator.rank{rank}": [10 + rank] for rank in range(3)},
    }


@pytest.mark.parametrize("bytes_of_each", [4 << 10, 6 << 20])
def test_the_tensors_of_parts_of_its_own_are_those_of_the_rank(tmp_path: Path, bytes_of_each: int) -> None:
    own = [weights(bytes_of_each, seed) for seed in range(3)]
    saved(
        tmp_path, [{"model": weights(1 << 20, 9), "state": {"a": each}} for each in own], per_rank=["state"]
    )
    loaded = saver.Saver(tmp_path).load("m")
    for rank, each in enumerate(own):
        np.testing.assert_array_equal(loaded[f"state.rank{rank}"]["a"], each)
    targets = [{"state": {"a": np.zeros_like(own[0])}} for _ in range(3)]
    clusters = ranks(3)
    reports = together(
        clusters,
        lambda cluster: saver.Saver(tmp_path).restore(
            "m", targets[cluster.rank], cluster=cluster, per_rank=["state"]
        ),
    )
    end(clusters)
    assert all(reports), reports
    for target, each in zip(targets, own, strict=True):
        np.testing.assert_array_equal(target["state"]["a"], each)


def test_ranks_restore_what_they_saved_and_each_its_own(tmp_path: Path) -> None:
    objects = [{"model": {"w": weights()}, "generator": [10 + rank]} for rank in range(3)]
    saved(tmp_path, objects, per_rank=["generator"])
    targets = [{"model": {"w": np.zeros_like(weights())}, "generator": [0]} for _ in range(3)]
    arrays = [target["model"]["w"] for target in targets]
    reports = together(
        ranks(3),
        lambda cluster: saver.Saver(tmp_path).restore(
            "m", targets[cluster.rank], cluster=cluster, per_rank=["generator"]
        ),
    )
    assert all(reports), reports
    assert [target["generator"] for target in targets] == [[10], [11], [12]]
    assert all((array == weights()).all() for array in arrays), "they were filled in place"


def test_if_one_rank_cannot_restore_no_rank_changes_anything(tmp_path: Path) -> None:
    saved(tmp_path, [{"w": np.ones(3)}] * 3)
    targets = [{"w": np.zeros(3 if rank != 1 else 4)} for rank in range(3)]
    found = together(
        ranks(3), lambda cluster: saver.Saver(tmp_path).restore("m", targets[cluster.rank], cluster=cluster)
    )
    assert [type(each).__name__ for each in found] == ["DoesNotFitError"] * 3
    assert "rank 1" in str(found[0])
    assert "rank 1" in str(found[2])
    assert not any(target["w"].any() for target in targets)


def test_a_piece_of_a_tensor_is_not_saved_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded_in_pieces(monkeypatch)
    (first, _) = halves(np.arange(4), 2)
    with pytest.raises(CannotSaveError, match=r"\$\.a: this process holds a part of this tensor alone"):
        saver.Saver(tmp_path).save("m", {"a": first})
    with pytest.raises(CannotSaveError, match="this process holds a part"):
        saver.dump({"a": first}, tmp_path / "a.saver")


@given(st.data())
def test_any_boxes_of_any_ranks_load_as_the_array(data: st.DataObject) -> None:
    """Each rank holds some boxes of a grid, some held by several; loaded whole, and box by box."""
    size = data.draw(st.integers(1, 4), label="ranks")
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3), label="shape"))
    array = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    cuts = [sorted(data.draw(st.sets(st.integers(1, n), max_size=2)) | {n}) for n in shape]
    boxes = [Box((), ())]
    for ends in cuts:
        starts = [0, *ends[:-1]]
        boxes = [
            Box((*box.offsets, a), (*box.sizes, b - a))
            for box in boxes
            for a, b in zip(starts, ends, strict=True)
        ]
    owners = [data.draw(st.sets(st.integers(0, size - 1), min_size=1), label=f"owners of {b}") for b in boxes]
    storage, clusters = MemoryStorage(), ranks(size)
    pieces = [
        Piece(array, *(box for box, who in zip(boxes, owners, strict=True) if rank in who))
        for rank in range(size)
    ]

    def act(cluster: Cluster) -> Any:
        return saver.Saver(storage).save("m", pieces[cluster.rank], cluster=cluster)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "WORTH_CUTTING", 8)
        encoded_in_pieces(patch)
        found = together(clusters, act)
        end(clusters)
    assert {str(each) for each in found} == {"m@1"}
    np.testing.assert_array_equal(saver.Saver(storage).load("m"), array)


def test_ranks_plan_once_while_they_hold_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clusters, planned, before = ranks(3), [0], plans.plan

    def counting(*args: Any) -> Any:
        planned[0] += 1
        return before(*args)

    monkeypatch.setattr(plans, "plan", counting)
    for version, (shape, times) in enumerate([(6, 1), (6, 1), (7, 2), (7, 2)], 1):
        arrays = [np.arange(shape * 1000.0) + version] * 3
        saved(tmp_path, [{"a": array} for array in arrays], clusters)
        assert planned[0] == times
        np.testing.assert_array_equal(saver.Saver(tmp_path).load(f"m@{version}")["a"], arrays[0])
    end(clusters)


# Errors

MOMENTS = ["describing", "staging", "committing"]


class Broken(Exception):
    """An error of a rank's own."""


@pytest.mark.parametrize("at", ["encoding", "describing", "staging"])
@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("kind", [CannotWriteError, Broken, KeyboardInterrupt])
def test_an_error_of_one_rank_reaches_all_and_nothing_is_saved(
    tmp_path: Path, at: str, rank: int, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, [{"a": weights()}] * 3)
    before = Session.doing

    def doing(self: Session, stage: str, *sizes: int) -> None:
        before(self, stage, *sizes)
        if stage == at and self.rank == rank:
            raise kind("no space left")

    monkeypatch.setattr(Session, "doing", doing)
    found = saved(tmp_path, [{"a": weights(seed=1)}] * 3)
    monkeypatch.undo()
    assert type(found[rank]) is kind
    for other in {0, 1, 2} - {rank}:
        wanted = CannotWriteError if kind is CannotWriteError else LostRankError
        assert type(found[other]) is wanted, found
        assert f"rank {rank} (process " in str(found[other])
        assert "no space left" in str(found[other])
    store = saver.Saver(tmp_path)
    assert [str(version) for version in store.versions("m")] == ["m@1"]
    assert not store.check().garbage, "what was staged was removed"
    assert str(saved(tmp_path, [{"a": weights(seed=1)}] * 3)[2]) == "m@2", "the next save succeeds"


@pytest.mark.parametrize("rank", [1, 2])
def test_what_all_ranks_staged_is_removed_when_one_fails_after_that(
    tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather, staged = Session.gather, threading.Barrier(3)

    def failing(self: Session, key: str, *rest: Any) -> Any:
        if key == "staged-0":
            staged.wait(20)
            assert len([*(tmp_path / "packs").iterdir()]) == 3
            staged.wait(20)
            if self.rank == rank:
                raise CannotWriteError("no space left")
        return gather(self, key, *rest)

    monkeypatch.setattr(Session, "gather", failing)
    found = saved(tmp_path, [{"a": weights(24 << 20)}] * 3)
    assert [type(each) for each in found] == [CannotWriteError] * 3
    left = [*(tmp_path / "packs").iterdir()]
    assert len(left) <= 1, "that of the rank that failed, which does not know what rank 0 will do"


def test_an_error_while_it_is_committed_reaches_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (CannotWriteError, CommitUnknownError):

        def failing(*args: Any, kind: type[Exception] = kind, **more: Any) -> Any:
            raise kind("the disk is full")

        monkeypatch.setattr(saving, "commit", failing)
        found = saved(tmp_path, [{"a": weights(24 << 20, 1)}] * 3)
        monkeypatch.undo()
        others = kind if kind is CannotWriteError else LostRankError  # those made sure that it is not there
        assert [type(each) for each in found] == [kind, others, others]
        assert "the disk is full" in str(found[2])
        packs = list((tmp_path / "packs").glob("*"))
        assert bool(packs) == (kind is CommitUnknownError), "what may be needed is not removed"


def test_what_a_collector_condemns_meanwhile_is_staged_again_by_its_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, [{"a": weights()}] * 2)
    store = saver.Saver(tmp_path)
    turns = [True]

    def committing(*args: Any, **more: Any) -> Any:
        if turns:
            turns.pop()
            store.delete("m@1")
            store.gc(grace=0, everything=True)
        return commit(*args, **more)

    monkeypatch.setattr(saving, "commit", committing)
    found = saved(tmp_path, [{"a": weights()}] * 2)
    assert [str(each) for each in found] == ["m@2"] * 2
    np.testing.assert_array_equal(store.load("m")["a"], weights())
    assert store.check().sound


def test_ranks_that_do_other_things_hear_of_it(tmp_path: Path) -> None:
    found = together(
        ranks(2),
        lambda cluster: saver.Saver(tmp_path).save("ab"[cluster.rank], [1], cluster=cluster),
    )
    for error in found:
        assert isinstance(error, LostRankError)
        assert "is about to save b" in str(error)
        assert "save a" in str(error)


def test_two_clusters_save_one_model_at_the_same_time(tmp_path: Path) -> None:
    def saves(clusters: list[Cluster]) -> list[Any]:
        return [saved(tmp_path, [{"a": [at]}] * 3, clusters)[0] for at in range(8)]

    results: list[Any] = []
    both = [ranks(3, lost_after=10), ranks(3, lost_after=10)]
    threads = [threading.Thread(target=lambda each=each: results.extend(saves(each))) for each in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(version.number for version in results) == list(range(1, 17))


def test_bytes_are_reported_and_a_save_in_the_background_is_refused(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    saved(tmp_path, [{"a": weights(8 << 20)}], progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] >= seen[-1][1] > 0
    (cluster,) = ranks(1)
    with pytest.raises(ValueError, match="wait: the ranks of a cluster would go on"):
        saver.Saver(tmp_path).save("m", [1], cluster=cluster, wait=False)


def test_staged_bytes_that_travel_are_bounded_by_the_number_of_ranks(tmp_path: Path) -> None:
    repo = saver.Saver(LocalStorage(tmp_path))._repo
    encoded = encoding.encode({"a": np.arange(1000)})
    assert stage(repo, "m", encoded, small=8200).held
    assert not stage(repo, "m", encoded, small=8000).held


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_a_rank_with_another_version_of_saver_is_refused_by_all(
    tmp_path: Path, odd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters, now = ranks(3), environment.package_version("saver") or ""

    def act(cluster: Cluster) -> Any:
        mine.rank = cluster.rank
        return saver.Saver(tmp_path).save("m", [1], cluster=cluster)

    mine = threading.local()
    monkeypatch.setattr(environment, "package_version", lambda name: "0.0.7" if mine.rank == odd else now)
    found = together(clusters, act)
    end(clusters)
    for error in found:
        assert type(error) is IncompatibleError
        assert "has Saver 0.0.7" in str(error)
        assert f"rank {odd} (process " in str(error)
        assert "install the same version for all ranks" in str(error)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("note", [b'{"rank":1}', b"\xff", b'{"rank":1,"host":"h","process":"p"}', b"[]", b""])
def test_a_note_that_another_program_left_is_refused(tmp_path: Path, note: bytes) -> None:
    first, _ = ranks(2)
    first.put("hello/1", note)
    (error,) = together([first], lambda cluster: saver.Saver(tmp_path).save("m", [1], cluster=cluster))
    assert type(error) is IncompatibleError
    assert "hello/1" in str(error)


def test_a_collector_runs_beside_saves_of_a_cluster(tmp_path: Path) -> None:
    clusters, store, done = ranks(3, lost_after=10), saver.Saver(tmp_path), threading.Event()
    store.save("m", [1])
    freed = []

    def collect() -> None:
        while not done.is_set():
            for version in saver.Saver(tmp_path).versions("m")[:-1]:
                store.delete(str(version))
            freed.append(store.gc(grace=0, everything=True).freed)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for at in range(6):
            objects = [
                {"a": weights(6 << 20, at % 2), f"of{rank}": weights(1 << 20, rank)} for rank in range(3)
            ]
            found = saved(tmp_path, objects, clusters)
            assert {str(each) for each in found} == {f"m@{at + 2}"}
            loaded = saver.Saver(tmp_path).load(f"m@{at + 2}")
            for name, each in ({**objects[0], **objects[1], **objects[2]}).items():
                np.testing.assert_array_equal(loaded[name], each)
    finally:
        done.set()
        collector.join()
        end(clusters)
    assert any(freed)
    assert saver.Saver(tmp_path).check().sound
