"""Boxes: the pieces that a tensor is cut into, and whether they tile it. Knows no bytes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import count, pairwise, product

import msgspec
import numpy as np

from saver.page import Said

CUT_AXES = 5
"""A tensor may be cut along at most this many axes: each box costs 2 to this power steps to check."""


class Box(Said, msgspec.Struct, frozen=True, gc=False):
    """A piece of a tensor: where it begins and how far it reaches along each axis, in elements."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    def _line(self) -> str:
        ranges = zip(self.offsets, self.sizes, strict=False)  # a file may have any numbers here
        return f"[{', '.join(f'{offset}:{offset + size}' for offset, size in ranges)}]"

    def cut(self, other: Box) -> Box | None:
        """The intersection of two boxes of one tensor; None if it is empty."""
        starts = tuple(map(max, self.offsets, other.offsets))
        ends = (min(a + n, b + m) for a, n, b, m in zip(*self._sides, *other._sides, strict=True))
        sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
        return Box(starts, sizes) if all(size > 0 for size in sizes) else None

    def within(self, outer: Box) -> Box:
        """The same box, relative to the beginning of `outer`."""
        return Box(tuple(a - b for a, b in zip(self.offsets, outer.offsets, strict=True)), self.sizes)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether the box is inside a tensor of this shape."""
        return len(self.offsets) == len(self.sizes) == len(shape) and all(
            offset >= 0 and size >= 0 and offset + size <= axis
            for offset, size, axis in zip(self.offsets, self.sizes, shape, strict=True)
        )

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index into an array."""
        return tuple(slice(a, a + n) for a, n in zip(*self._sides, strict=True))

    @property
    def _sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.offsets, self.sizes


def whole(shape: tuple[int, ...]) -> Box:
    """The box that covers a tensor of this shape."""
    return Box((0,) * len(shape), shape)


FEW = 8
"""Comparing so many boxes one by one takes no longer than making arrays of them."""


class Overlaps:
    """Finds those of a tensor's boxes that others overlap. Of more than `FEW`, in one comparison of arrays: a
    tensor that is read box by box would otherwise take a number of steps that grows with the square of their
    number."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._boxes = boxes
        if len(boxes) <= FEW:
            return
        self._starts = np.array([box.offsets for box in boxes])
        self._ends = np.array([tuple(map(sum, zip(*box._sides, strict=True))) for box in boxes])

    def of(self, box: Box) -> dict[int, Box]:
        """The numbers of the boxes that have elements in common with `box`, each with what they share."""
        if len(self._boxes) <= FEW:
            return {at: part for at, each in enumerate(self._boxes) if (part := each.cut(box)) is not None}
        end = tuple(map(sum, zip(*box._sides, strict=True)))
        near = np.flatnonzero(((self._starts < end) & (self._ends > box.offsets)).all(1)).tolist()
        return {at: part for at in near if (part := self._boxes[at].cut(box)) is not None}


def check_inside(shape: tuple[int, ...], boxes: Sequence[Box]) -> None:
    """Raise ValueError unless each box is inside the shape. They may overlap and leave gaps: this is for
    some boxes of a tensor, `check_boxes` for all of them."""
    if not all(box.fits(shape) for box in boxes):
        raise ValueError(f"a box reaches beyond the shape {str(list(shape))[:80]}")


def check_boxes(shape: tuple[int, ...], boxes: Sequence[Box]) -> None:
    """Raise ValueError unless the boxes are inside the shape, in the order of their offsets, and tile it:
    no gap, no overlap.

    Boxes tile a shape exactly if their corners cancel out to those of the shape, each counted with the sign
    of its parity: the mixed difference of a sum of boxes determines that sum. That takes 2^k steps for each
    box, where k is the number of axes along which the tensor is cut.
    """
    check_inside(shape, boxes)
    if len(boxes) == 1:
        if boxes[0].sizes != shape:
            raise ValueError("the only box does not cover the tensor")
        return
    if not all(math.prod(box.sizes) for box in boxes):
        raise ValueError("a box of several holds no element")
    if any(one.offsets >= other.offsets for one, other in pairwise(boxes)):
        raise ValueError("the boxes are not in the order of their offsets, or overlap")
    axes = [axis for axis, size in enumerate(shape) if any(box.sizes[axis] != size for box in boxes)]
    if len(axes) > CUT_AXES:
        raise ValueError(f"a tensor is cut along {len(axes)} axes; at most {CUT_AXES} are read")
    corners = _Corners(axes)
    for box in boxes:
        corners.add(box, 1)
    corners.add(whole(shape), -1)
    if any(corners.counts.values()):
        raise ValueError("the boxes do not tile the tensor: there is a gap or an overlap")


class _Corners:
    """Adds up the signed corners of boxes along some axes.

    Each coordinate gets a number, by its text. Used directly, coordinates from a file could collide in the
    hash table, as multiples of 2**61 - 1 do: counting 100,000 of those took hours.
    """

    def __init__(self, axes: Sequence[int]) -> None:
        self.counts: dict[tuple[int, ...], int] = {}
        self._axes = [(axis, defaultdict[str, int](count().__next__)) for axis in axes]
        self._signs = [(-1) ** sum(ends) for ends in product((0, 1), repeat=len(axes))]

    def add(self, box: Box, times: int) -> None:
        offsets, sizes, counts = box.offsets, box.sizes, self.counts
        sides = [
            (numbers[hex(offsets[axis])], numbers[hex(offsets[axis] + sizes[axis])])
            for axis, numbers in self._axes
        ]
        for corner, sign in zip(product(*sides), self._signs, strict=True):
            counts[corner] = counts.get(corner, 0) + times * sign
