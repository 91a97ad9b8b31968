"""Who writes what: every element once, by a rank that holds it, and all about equally."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saver.distributed import planning
from saver.distributed.notes import leader_of, led_by
from saver.distributed.planning import Described, Held, Task, plan
from saver.errors import CannotSaveError
from saver.tensors import ITEM_SIZE, Box, whole

MESHES = st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 1), (2, 2), (1, 4), (4, 2), (3, 3)])
"""Into how many boxes the ranks cut a tensor, and how many ranks hold each."""


def rows(shape: tuple[int, ...], pieces: int) -> list[Box]:
    """A tensor cut along its first axis, as torch cuts it: some pieces may be empty."""
    size = -(-shape[0] // pieces)
    found = []
    for number in range(pieces):
        start, end = min(number * size, shape[0]), min((number + 1) * size, shape[0])
        found.append(Box((start, *[0] * (len(shape) - 1)), (end - start, *shape[1:])))
    return found


def held(shape: tuple[int, ...], pieces: int, copies: int, rank: int, dtype: str = "F32") -> Held:
    """What a rank of a mesh of pieces times copies holds."""
    cut = pieces > 1 and math.prod(shape) and shape
    box = rows(shape, pieces)[rank // copies] if cut else whole(shape)
    empty = not math.prod(box.sizes) and math.prod(shape)
    return Held(dtype, shape, [] if empty else [(box.offsets, box.sizes)])


def assert_every_element_once(described: list[Described], tasks: list[Task]) -> None:
    names = {name for each in described for name in each.tensors}
    for name in names:
        shape = next(each.tensors[name].shape for each in described if name in each.tensors)
        times = np.zeros(shape, np.int8)
        for rank, task in enumerate(tasks):
            for offsets, sizes in task.tensors.get(name, []):
                box = Box(offsets, sizes)
                own = [Box(*each) for each in described[rank].tensors[name].boxes]
                assert any(outer.cut(box) == box or outer == box for outer in own), "it does not hold this"
                times[box.slices] += 1
                assert (name in task.complete) == (sizes == shape)
        assert (times == 1).all(), name


@settings(max_examples=50)
@given(
    mesh=MESHES,
    shapes=st.lists(
        st.lists(st.sampled_from([0, 1, 2, 3, 5, 64, 1000]), max_size=3).map(tuple), min_size=1, max_size=6
    ),
    replicated=st.lists(st.booleans(), min_size=6, max_size=6),
    small=st.sampled_from([1, 100, 4 << 20]),
)
def test_every_element_is_written_once_by_a_rank_that_holds_it(
    mesh: tuple[int, int], shapes: list[tuple[int, ...]], replicated: list[bool], small: int
) -> None:
    pieces, copies = mesh
    described = [
        Described(
            {"model": "h"}, True,
            {
                f"w{at}": held(shape, 1 if replicated[at] else pieces, copies, rank)
                for at, shape in enumerate(shapes)
            },
        )
        for rank in range(pieces * copies)
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "WORTH_CUTTING", small)
        tasks = plan("here", described)
        assert tasks == plan("here", described)
    assert_every_element_once(described, tasks)
    assert [part for task in tasks for part in task.parts] == ["model"]


@pytest.mark.parametrize("copies", [2, 4, 8])
def test_replicas_are_written_by_all_who_hold_them(copies: int) -> None:
    """A large tensor alone, and many of all sizes: no rank writes more than 1.1 times the mean."""
    mixed = random.Random(0)
    for shapes in ([(4096, 4096)], [(mixed.randrange(1, 3000), 1000) for _ in range(100)], [(1, 1 << 24)]):
        tensors = {f"w{at}": held(shape, 1, copies, 0) for at, shape in enumerate(shapes)}
        described = [Described({}, True, tensors) for _ in range(copies)]
        tasks = plan("here", described)
        assert_every_element_once(described, tasks)
        loads = [
            sum(math.prod(sizes) * ITEM_SIZE["F32"] for boxes in task.tensors.values() for _, sizes in boxes)
            for task in tasks
        ]
        assert max(loads) <= 1.1 * sum(loads) / copies, (shapes[0], loads)


def test_tensors_that_cannot_be_cut_are_written_whole() -> None:
    solid = Held("F32", (4096, 4096), [((0, 0), (4096, 4096))], solid=True)
    tasks = plan("here", [Described({}, True, {"w": solid})] * 3)
    assert [task.complete for task in tasks] == [["w"], [], []]


def differing() -> dict[str, tuple[list[Described], str]]:
    def one(shape: tuple[int, ...], box: Box, dtype: str = "F32") -> Described:
        return Described({"a": "h"}, True, {"a/w": Held(dtype, shape, [(box.offsets, box.sizes)])})

    half, rest = Box((0,), (2,)), Box((2,), (2,))
    return {
        "a gap": ([one((4,), half), one((4,), half)], "do not hold the tensor 'a/w' once and whole"),
        "an overlap": ([one((4,), half), one((4,), Box((1,), (3,)))], "once and whole"),
        "beyond the shape": ([one((4,), half), one((4,), Box((2,), (3,)))], "once and whole"),
        "other shapes": ([one((4,), half), one((5,), rest)], r"F32 \[4\] in rank 0 and F32 \[5\] in rank 1"),
        "other dtypes": ([one((4,), half), one((4,), rest, "F16")], "F32 .* and F16"),
        "other structure": (
            [Described({"a": "h"}, True, {}), Described({"a": "g"}, True, {})],
            r"\$\.a is not the same in the ranks 0 and 1.*per_rank",
        ),
        "one object here, a mapping there": (
            [Described({"object": "h"}, False, {}), Described({"a": "h"}, True, {})], "pass a dict in all",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("what", differing())
def test_what_does_not_belong_together_is_refused_with_its_place(what: str) -> None:
    described, message = differing()[what]
    with pytest.raises(CannotSaveError, match=message):
        plan("here", described)


@pytest.mark.parametrize("size", [*range(1, 40), 100, 101, 10_000])
def test_the_notes_of_each_rank_are_collected_once_by_few(size: int) -> None:
    collected = [led_by(rank, size) for rank in range(size)]
    assert sorted(each for found in collected for each in found) == [*range(1, size)]
    assert all(rank not in found for rank, found in enumerate(collected))
    assert max(map(len, collected)) <= max(16, 2 * math.isqrt(size) + 1)
    for rank in range(1, size):
        leader = leader_of(rank, size)
        assert rank in collected[0 if leader == rank else leader]
