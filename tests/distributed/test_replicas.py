"""What several ranks hold is compared on request, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranks import end, ranks, saved, together
from test_saving_together import Piece, encoded_in_pieces

import saver
from saver import Every
from saver.cluster import Cluster
from saver.errors import CannotSaveError, LostRankError
from saver.storages.memory import MemoryStorage
from saver.tensors import Box

ROWS = [Box((0, 0), (3, 4)), Box((3, 0), (3, 4))]


def replicas(size: int = 4) -> list[dict[str, Any]]:
    """What each rank of a mesh of 2 copies times `size` / 2 pieces holds: its rows of a matrix, and all of a
    vector."""
    matrix = np.arange(24.0).reshape(6, 4)
    return [
        {
            "matrix": Piece(matrix.copy(), ROWS[rank % 2]),
            "vector": np.arange(2000),
            "own": [rank * np.ones(3)],
        }
        for rank in range(size)
    ]


def save(store: Any, objects: list[dict[str, Any]], **more: Any) -> list[Any]:
    return saved(store, objects, per_rank=["own"], compare_replicas=True, **more)


def test_replicas_that_are_the_same_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded_in_pieces(monkeypatch)
    for number in (1, 2):
        found = save(tmp_path, replicas())
        assert [str(each) for each in found] == [f"m@{number}"] * 4
    np.testing.assert_array_equal(saver.Saver(tmp_path).load("m")["matrix"], np.arange(24.0).reshape(6, 4))


@given(
    rank=st.integers(0, 3),
    what=st.sampled_from(["matrix", "vector"]),
    bit=st.integers(0, 7),
    at=st.integers(0, 11),
)
def test_one_other_bit_is_named_by_all_and_nothing_is_saved(rank: int, what: str, bit: int, at: int) -> None:
    objects = replicas()
    if what == "matrix":
        changed = objects[rank]["matrix"].array[ROWS[rank % 2].slices]
        others = {(rank + 2) % 4}
    else:
        changed = objects[rank]["vector"]
        others = {0, 1, 2, 3} - {rank}
    flat = changed.reshape(-1).view(np.uint8)
    flat[at % flat.size] ^= 1 << bit
    with pytest.MonkeyPatch.context() as patch:
        encoded_in_pieces(patch)
        found = save(store := MemoryStorage(), objects)
    assert [type(each) for each in found] == [CannotSaveError] * 4, found
    box = ROWS[rank % 2] if what == "matrix" else Box((0,), (2000,))
    for error in map(str, found):
        assert f"'{what}' at {box}" in error, error
        assert f"rank {rank}" in error
        assert all(str(other) in error for other in others)
    assert not saver.Saver(store).exists() or not saver.Saver(store).models()


def test_otherwise_one_of_them_is_saved(tmp_path: Path) -> None:
    found = saved(tmp_path, [{"a": np.zeros(3000)}, {"a": np.ones(3000)}])
    assert [str(each) for each in found] == ["m@1"] * 2


def test_many_differences_are_summed_up(tmp_path: Path) -> None:
    objects = [{"a": [np.full(900, float(rank + at)) for at in range(40)]} for rank in range(2)]
    found = saved(tmp_path, objects, compare_replicas=True)
    assert all("and so do 37 more boxes" in str(each) for each in found), found


def test_all_must_request_it() -> None:
    clusters, storage = ranks(3), MemoryStorage()

    def one(cluster: Cluster) -> Any:
        compare = cluster.rank != 1
        return saver.Saver(storage).save(
            "m", {"a": np.zeros(3000)}, cluster=cluster, compare_replicas=compare
        )

    found = together(clusters, one)
    end(clusters)
    assert [type(each) for each in found] == [LostRankError] * 3, found
    assert "compare replicas" in str(found[0])


def test_a_run_says_it_in_all_ranks_and_goes_on() -> None:
    clusters, storage = ranks(2), MemoryStorage()

    def one(cluster: Cluster) -> Any:
        objects = {"w": np.zeros(1000)}
        run = saver.Saver(storage).checkpoints(
            "run", objects, every=Every(steps=1), cluster=cluster, compare_replicas=True
        )
        failed = []
        with run:
            for step in range(run.resume(), 6):
                objects["w"] += 1 if step != 2 or cluster.rank == 0 else 2
                if step == 3:
                    objects["w"][:] = 4.0
                try:
                    run.step(step, loss=1.0)
                    run.flush()
                except CannotSaveError as error:
                    failed.append((step, str(error)))
        return failed

    found = together(clusters, one)
    end(clusters)
    for failed in found:
        assert not isinstance(failed, BaseException), failed
        assert {step for step, _ in failed} <= {2, 3}
        assert "one thing in rank 0 and another in rank 1" in failed[0][1]
    steps = [version.step for version in saver.Saver(storage).versions("run")]
    assert steps[:2] == [0, 1]
    assert 2 not in steps
    assert steps[-1] == 5


def test_training_goes_on_while_a_run_compares_what_was() -> None:
    """What is compared are copies: each rank changes its own after the step, and all have the same in it."""
    clusters, storage = ranks(2), MemoryStorage()

    def one(cluster: Cluster) -> Any:
        objects = {"w": np.zeros(200_000)}
        run = saver.Saver(storage).checkpoints(
            "run", objects, every=Every(steps=1), cluster=cluster, compare_replicas=True
        )
        with run:
            for step in range(run.resume(), 5):
                objects["w"][:] = step
                run.step(step, loss=1.0)
                objects["w"][:] = -1 - cluster.rank

    found = together(clusters, one)
    end(clusters)
    assert found == [None] * 2
    store = saver.Saver(storage)
    assert [version.step for version in store.versions("run")] == [*range(5)]
    assert all((store.load(f"run@step={step}")["w"] == step).all() for step in range(5))
