"""The plan that rank 0 keeps: it fits what ranks hold now, whatever they held before, and small changes of
what one rank alone holds change nothing for the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_planning import assert_every_element_once

from saver.distributed import planning, plans
from saver.distributed.planning import Described, Held, Task, placed
from saver.distributed.plans import Plans, said, small_changes
from saver.errors import CannotSaveError
from saver.repo import grid

SIZE = 3


def rows(start: int, end: int, of: int) -> Held:
    return Held("F32", (of,), [((start,), (end - start,))])


@st.composite
def holding(draw: st.DrawFn) -> list[Described]:
    """What three ranks hold: what all have, what is cut, and what one has alone."""
    found = [Described({"m": "same"}, True, {}) for _ in range(SIZE)]
    for at in range(draw(st.integers(0, 2))):
        length = draw(st.sampled_from([1, 6, 700]))
        for each in found:
            each.tensors[f"all{at}"] = rows(0, length, length)
    if draw(st.booleans()):
        length = draw(st.sampled_from([3, 9]))
        for rank, each in enumerate(found):
            each.tensors["cut"] = rows(rank * length // 3, (rank + 1) * length // 3, length)
    for at in range(draw(st.integers(0, 3))):
        rank, length = draw(st.integers(0, SIZE - 1)), draw(st.sampled_from([0, 1, 2, 700]))
        found[rank].tensors[f"own{at}"] = rows(0, length, length)
    return [
        Described({**each.parts, f"of{rank}": draw(st.sampled_from("ab"))}, True, each.tensors)
        for rank, each in enumerate(found)
    ]


@given(saves=st.lists(st.tuples(holding(), st.sets(st.integers(0, SIZE - 1))), min_size=1, max_size=5),
       in_grids=st.booleans())  # fmt: skip
def test_every_plan_fits_what_the_ranks_hold_then(
    saves: list[tuple[list[Described], set[int]]], in_grids: bool
) -> None:
    """In each save, some ranks fail before they hear their tasks, and say everything in the next one."""
    known, sent = Plans(), list[Any]([None] * SIZE)
    tasks: list[Task] = [Task([], {}, [])] * SIZE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "WORTH_CUTTING", 16)
        patch.setattr(plans, "WORTH_CUTTING", 16)
        patch.setattr(grid, "BOXES", -1 if in_grids else 1000)
        for held, fail in saves:
            notes = [said(before, now) for before, now in zip(sent, held, strict=True)]
            found = known.tasks("here", notes)
            tasks = [old if new is None else new for old, new in zip(tasks, found, strict=True)]
            assert_every_element_once(held, tasks)
            assert {part: rank for rank, task in enumerate(tasks) for part in task.parts} == {
                "m": 0,
                **{f"of{rank}": rank for rank in range(SIZE)},
            }
            assert known.placed == (placed(held, tasks) if in_grids else {})
            tasks = [Task([], {}, []) if rank in fail else task for rank, task in enumerate(tasks)]
            sent = [None if rank in fail else each for rank, each in enumerate(held)]


def test_what_changes_in_each_save_of_a_run_is_not_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of rank 0 grows, and the hashes of parts are others."""
    counted, before = [0], plans.plan

    def counting(*args: Any) -> Any:
        counted[0] += 1
        return before(*args)

    monkeypatch.setattr(plans, "plan", counting)
    known, sent = Plans(), list[Any]([None] * SIZE)
    for save in range(5):
        tensors = {"w": rows(0, 9000, 9000), "v": rows(0, 9000, 9000)}
        held = [Described({"m": str(save), "log": "x"} if rank == 0 else {"m": str(save)}, True, tensors)
                for rank in range(SIZE)]  # fmt: skip
        held[0] = Described(held[0].parts, True, {**tensors, "log/loss": rows(0, save + 1, save + 1)})
        notes = [said(before, now) for before, now in zip(sent, held, strict=True)]
        found = known.tasks("here", notes)
        if save:
            assert max(map(len, notes[1:])) < 80, "tensors are not said again"
            assert found[1:] == [None, None]
            assert found[0] is not None
            assert found[0].tensors["log/loss"] == [((0,), (save + 1,))]
        sent = list(held)
    assert counted == [1]


def test_a_part_that_ranks_have_otherwise_is_refused_also_when_no_tensor_changed() -> None:
    known = Plans()
    held = [Described({"m": "a"}, True, {"w": rows(0, 9, 9)}) for _ in range(SIZE)]
    known.tasks("here", [said(None, each) for each in held])
    other = Described({"m": "b"}, True, held[0].tensors)
    with pytest.raises(CannotSaveError, match="not the same in the ranks 0 and 1"):
        known.tasks("here", [b"", said(held[1], other), b""])


@pytest.mark.parametrize("held", [Held("F32", (9,), [((0,), (4,))]), Held("F32", (9,), [((0,), (10,))])])
def test_a_new_tensor_that_is_not_whole_is_refused(held: Held) -> None:
    known = Plans()
    before = Described({"m": "a"}, True, {"w": rows(0, 9, 9)})
    known.tasks("here", [said(None, before)] * SIZE)
    now = Described({"m": "a"}, True, {"w": rows(0, 9, 9), "new": held})
    with pytest.raises(CannotSaveError, match="do not hold the tensor 'new' once and whole"):
        known.tasks("here", [b"", said(before, now), b""])


def test_many_bytes_are_no_small_change() -> None:
    assert small_changes({}, {"a": rows(0, 1 << 20, 1 << 20)}) == ["a"]
    assert small_changes({}, {"a": rows(0, 1 + (1 << 20), 1 + (1 << 20))}) is None


@pytest.mark.parametrize("there", [False, True])
def test_pages_have_other_numbers_once_a_rank_stages_its_first_or_last_tensor(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "BOXES", 0)
    some, nothing = {"a": rows(0, 9, 9)}, dict[str, Held]()
    last = Described({"m": "a"}, True, {"b": rows(0, 9, 9)})
    first = [Described({"m": "a"}, True, each) for each in ((some, nothing) if there else (nothing, some))]
    known = Plans()
    known.tasks("here", [said(None, first[0]), said(None, last)])
    known.tasks("here", [said(first[0], first[1]), b""])
    assert {name: pages[0][0] for name, (_, _, pages) in known.placed.items()} == (
        {"b": 0} if there else {"a": 0, "b": 1}
    )
