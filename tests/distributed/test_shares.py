"""What a rank of a run copies while training stands still: no more than it writes, and all of that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranks import end, ranks, together

import saver
from saver import Every
from saver.checkpoints.events import SnapshotTaken
from saver.checkpoints.pieces import pieces_of
from saver.checkpoints.share import Share
from saver.cluster import Cluster
from saver.distributed import planning
from saver.distributed.describing import assigned, described
from saver.distributed.session import Session
from saver.errors import CannotSaveError, CannotWriteError
from saver.repo.draft import Encoded
from saver.staging import Snapshot, Staging
from saver.storages.memory import MemoryStorage
from saver.tensors import ShardedData, TensorData, bytes_of

LARGE = 12 << 20


def trained(
    clusters: Sequence[Cluster],
    store: Any,
    objects: Sequence[dict[str, Any]],
    steps: int,
    act: Callable[[int, int], None] = lambda rank, step: None,
) -> list[list[int]]:
    """Train in all ranks and save after each step; everything changes at once when training goes on, `act` is
    called before. Returns how many bytes each rank kept for each of its copies."""

    def one(cluster: Cluster) -> list[int]:
        kept, mine = [], objects[cluster.rank]
        run = saver.Saver(store).checkpoints("m", {"model": mine}, every=Every(steps=1), cluster=cluster)
        run.listen(lambda event: kept.append(event.memory), SnapshotTaken)
        with run:
            for step in range(run.resume(), steps):
                act(cluster.rank, step)
                for array in mine.values():
                    array[...] = step
                run.step(step)
                for array in mine.values():
                    array[...] = -1
        return kept

    return together(clusters, one)


def holds(store: Any, step: int, sizes: dict[str, int]) -> bool:
    """Whether the version after a step has arrays of these sizes, as they were then."""
    loaded = saver.Saver(store).load(f"m@{step + 1}", trust=["saver.*"])["model"]
    return {name: len(array) for name, array in loaded.items()} == sizes and all(
        (array == step).all() for array in loaded.values()
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_of_what_all_ranks_hold_each_copies_its_share(tmp_path: Path, size: int) -> None:
    clusters = ranks(size, lost_after=10)
    objects = [{"w": np.zeros(LARGE // 8), "v": np.zeros(LARGE // 16)} for _ in range(size)]
    kept = trained(clusters, tmp_path, objects, 3)
    end(clusters)
    total = LARGE * 3 // 2
    for each in kept:
        assert len(each) == 3
        assert max(each) < total / size * 1.2 + 100_000
    for step in range(3):
        assert holds(tmp_path, step, {"w": LARGE // 8, "v": LARGE // 16})


@pytest.mark.parametrize("who", [0, 1, 2])
@pytest.mark.parametrize("change", ["more", "less"])
def test_a_rank_that_holds_something_else_changes_what_the_others_copy(who: int, change: str) -> None:
    """One of three ranks has a large array of its own now, so the others write what all have; or it has no
    longer what all had, of which it wrote a third."""
    clusters, storage = ranks(3, lost_after=10), MemoryStorage()

    def one(cluster: Cluster) -> None:
        arrays = [np.zeros(LARGE // 8), np.zeros(LARGE // 8), np.zeros(1)]
        own = {"x": arrays[2]}
        parts = {"w": {"w": arrays[0]}, "v": {"v": arrays[1]}, f"own{cluster.rank}": own}
        run = saver.Saver(storage).checkpoints("m", parts, every=Every(steps=1), cluster=cluster)
        with run:
            for step in range(run.resume(), 4):
                if step == 2 and cluster.rank == who:
                    if change == "less":
                        del run.objects.live["v"]
                    else:
                        arrays.append(np.zeros(LARGE // 2))
                        own["y"] = arrays[3]
                for array in arrays:
                    array[...] = step
                run.step(step)
                for array in arrays:
                    array[...] = -1

    found = together(clusters, one)
    end(clusters)
    assert found == [None] * 3
    for step in range(4):
        loaded = saver.Saver(storage).load(f"m@{step + 1}", trust=["saver.*"])
        assert ("y" in loaded[f"own{who}"]) == (change == "more" and step >= 2)
        for part in ("w", "v", "own0", "own1", "own2"):
            assert all((array == step).all() for array in loaded[part].values()), part


def test_a_rank_that_writes_all_it_holds_goes_on_before_the_others_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank has a part of its own; the last one comes late to the second save."""
    clusters, gone_on = ranks(3, lost_after=10), threading.Event()

    def one(cluster: Cluster) -> None:
        mine = {f"own{cluster.rank}": {"x": np.zeros(1000)}}
        run = saver.Saver(tmp_path).checkpoints("m", mine, every=Every(steps=1), cluster=cluster)
        with run:
            for step in range(run.resume(), 2):
                if step == 1 and cluster.rank == 2:
                    assert gone_on.wait(20)
                run.step(step)
                if step == 1 and cluster.rank == 1:
                    gone_on.set()

    assert together(clusters, one) == [None] * 3
    end(clusters)


# A share by itself


def held_by(boxes: Sequence[tuple[int, int]], length: int = 40) -> Encoded:
    """What a rank has of a row of numbers: from where to where, each."""
    shards = {
        (start,): TensorData("F32", (end - start,), np.arange(start, end, dtype=np.float32))
        for start, end in boxes
    }
    empty = TensorData("F32", (0,), np.zeros(0, np.float32))
    return Encoded({}, {"empty": empty}, True, {}, {"row": ShardedData("F32", (length,), shards)})


def a_task(boxes: Sequence[tuple[int, int]], empty: bool) -> planning.Task:
    tensors = {"row": [((start,), (end - start,)) for start, end in boxes]} if boxes else {}
    return planning.Task([], tensors | ({"empty": [((0,), (0,))]} if empty else {}), ["empty"] * empty)


CUTS = st.sets(st.integers(1, 39), max_size=4).map(lambda cuts: [0, *sorted(cuts), 40])


@given(data=st.data(), cuts=CUTS, staged=st.booleans())
def test_whatever_was_expected_what_is_requested_is_copied(
    data: st.DataObject, cuts: list[int], staged: bool
) -> None:
    """What a rank holds, what it expects to write and what it then writes are any boxes in each other."""
    held = data.draw(st.lists(st.sampled_from([*pairwise(cuts)]), unique=True))

    def drawn(name: str) -> planning.Task:
        finer = sorted(data.draw(CUTS, label=f"cuts {name}"))
        cut = [
            (max(a, c), min(b, d)) for a, b in held for c, d in pairwise(finer)
            if max(a, c) < min(b, d)
        ]  # fmt: skip
        chosen = data.draw(st.sets(st.sampled_from(cut)), label=name) if cut else set()
        return a_task(sorted(chosen), data.draw(st.booleans()))

    known, task = data.draw(st.none() | st.just(drawn("known"))), drawn("task")
    encoded, staging = held_by(held), Staging()

    def take(chosen: Encoded) -> Snapshot:
        return staging.take(pieces_of(chosen)) if staged else Snapshot(pieces_of(chosen))

    share = Share("m", encoded, take, known)
    found: list[Encoded] = []
    saves = threading.Thread(target=lambda: found.append(share.of(task)))
    share.copy_beside(saves.start)
    for cut in encoded.sharded.values() if staged else ():
        for shard in cut.shards.values():
            shard.data[...] = -1  # type: ignore[index]  # training goes on
    saves.join(20)
    staging.close()
    wanted = assigned(held_by(held), task)
    assert described(found[0]) == described(wanted)
    for name, cut in wanted.sharded.items():
        for offsets, shard in cut.shards.items():
            assert bytes_of(found[0].sharded[name].shards[offsets]) == bytes_of(shard)


def test_a_rank_that_lacks_but_an_empty_tensor_waits_for_its_task() -> None:
    share = Share(
        "m", held_by([(0, 40)]), lambda chosen: Snapshot(pieces_of(chosen)), a_task([(0, 40)], False)
    )
    found: list[Encoded] = []

    def save() -> None:
        time.sleep(0.1)
        found.append(share.of(a_task([(0, 40)], True)))

    saves = threading.Thread(target=save)
    share.copy_beside(saves.start)
    saves.join(20)
    assert {*found[0].stored} == {"row", "empty"}


def test_a_share_that_is_not_requested_ends() -> None:
    share = Share("m", held_by([(0, 40)]), lambda chosen: Snapshot(pieces_of(chosen)), None)
    share.copy_beside(threading.Thread(target=share.give_up).start)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_a_copy_that_fails_fails_the_save_that_waits_for_it(kind: type[BaseException]) -> None:
    def take(chosen: Encoded) -> Snapshot:
        raise kind

    share, errors = Share("m", held_by([(0, 40)]), take, None), list[BaseException]()

    def save() -> None:
        try:
            share.of(a_task([(0, 40)], True))
        except Exception as error:
            errors.append(error)

    saves = threading.Thread(target=save)
    if kind is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            share.copy_beside(saves.start)
    else:
        share.copy_beside(saves.start)
    saves.join(20)
    (error,) = errors
    assert type(error) is (CannotSaveError if kind is KeyboardInterrupt else MemoryError)


# Errors


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_rank_that_did_not_hear_its_task_does_not_use_an_older_one(
    rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task of every rank changes in the third save, and one rank fails before it has heard that."""
    clusters, storage, before = ranks(3, lost_after=10), MemoryStorage(), Session.hand_out

    def hand_out(self: Session, key: str, data: Any, kind: Any) -> Any:
        if self.rank == rank and self.what.endswith("step 2"):
            raise CannotWriteError("no space left")
        return before(self, key, data, kind)

    monkeypatch.setattr(Session, "hand_out", hand_out)

    def one(cluster: Cluster) -> None:
        shared, own = np.zeros(LARGE // 4), {"x": np.zeros(1)}
        parts = {"w": {"w": shared}, f"own{cluster.rank}": own}
        run = saver.Saver(storage).checkpoints("m", parts, every=Every(steps=1), cluster=cluster)
        with run:
            for step in range(run.resume(), 5):
                if step == 2 and cluster.rank == (rank + 1) % 3:
                    own["y"] = np.zeros(LARGE // 4)
                shared[...] = step
                try:
                    run.step(step)
                except CannotWriteError:
                    assert step >= 2

    found = together(clusters, one)
    end(clusters)
    assert found == [None] * 3
    assert [version.step for version in saver.Saver(storage).versions("m")] == [0, 1, 3, 4]
    for number, step in enumerate((0, 1, 3, 4), 1):
        assert (saver.Saver(storage).load(f"m@{number}", trust=["saver.*"])["w"]["w"] == step).all()
