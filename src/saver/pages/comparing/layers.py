"""The arrays of some versions side by side, by path: the layers of their models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from saver.compare.contents import Side
from saver.compare.walk import Location
from saver.errors import printable
from saver.opened import Opened
from saver.reading.arrays import Array
from saver.tree import Node

LOG = "saver.TrainingLog"
"""The codec of training logs."""


class Layer(NamedTuple):
    """An array at one path: in each version, None where a version has none there."""

    path: str
    arrays: tuple[Array | None, ...]

    @property
    def groups(self) -> tuple[int | None, ...]:
        """For each version the first version that is known to have the same entries, without reading any:
        itself, mostly. None where it has no array."""
        found: list[int | None] = []
        for at, array in enumerate(self.arrays):
            same = (before for before in range(at) if _equal(self.arrays[before], array))
            found.append(None if array is None else next(same, at))
        return tuple(found)

    @property
    def distinct(self) -> dict[int, Array]:
        """The arrays that must be read, by the number of their version."""
        return {at: array for at, array in enumerate(self.arrays) if array and self.groups[at] == at}


def _equal(one: Array | None, other: Array | None) -> bool:
    return one is not None and other is not None and one.equals(other)


def layers(views: Sequence[Opened]) -> list[Layer]:
    """The arrays of numbers of all parts but training logs, in the order in which they appear. Nothing is
    read; each value of a tree is visited once."""
    each = [_arrays(view) for view in views]
    paths = dict.fromkeys(path for arrays in each for path in arrays)
    return [Layer(path, tuple(arrays.get(path) for arrays in each)) for path in paths]


def _arrays(view: Opened) -> dict[str, Array]:
    side, found, seen = Side(view), dict[str, Array](), set[int]()
    for name, tree in view.trees.items():
        if type(tree.root) is Node and tree.root.codec == LOG:
            continue  # the pages of curves show it
        batched = tuple(f"{printable(batch)}." for batch in tree.batches)
        stack: list[tuple[Location, Any]] = [(Location(printable(name), whole=True), tree.root)]
        stack += [(Location(printable(batch)), value) for batch, value in tree.batches.items()]
        while stack:
            place, value = stack.pop()
            value = side.resolve(value)
            if type(value) is Array:
                if value.form.number:
                    known = place.path.startswith(batched) and value.name
                    _put(found, printable(known) if known else place.path, value)
                continue
            if type(value) is Node:
                if id(value) in seen:
                    continue
                seen.add(id(value))
            inside = side.inside(value)
            if inside is not None:
                stack += [(place.below(step), child) for step, child in reversed(inside.children.items())]
    return found


def _put(found: dict[str, Array], path: str, array: Array) -> None:
    """Keep an array under its path, or under the next free one: long paths are shortened, and may agree."""
    unique, times = path, 1
    while unique in found:
        if found[unique] == array:
            return
        times += 1
        unique = f"{path}#{times}"
    found[unique] = array
