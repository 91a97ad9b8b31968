"""The arrays of a version as pieces of a file, which are read when they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from saver.formats._arrays import LARGE, pieces, release
from saver.formats._writing import AHEAD, Later
from saver.opened import Opened
from saver.reading.arrays import Array
from saver.tensors import Bytes


def later(opened: Opened, array: Array) -> Later:
    """An array that is read when it is written."""
    return Later(array.length, partial(pieces, opened, array), partial(release, opened, array))


def later_in_turn(opened: Opened, arrays: Sequence[Array]) -> list[Later]:
    """Arrays that are read when they are written, in this order. Small ones are verified together, which is
    half of the work if there are thousands."""
    found, names, size = [later(opened, array) for array in arrays], dict[str, None](), 0
    for at in reversed(range(len(arrays))):
        array = arrays[at]
        if array.name and not array.pieces and array.length < LARGE:
            names[array.name], size = None, size + array.length
        if names and (size >= AHEAD or at == 0):
            found[at] = found[at]._replace(pieces=partial(_verified, opened, array, tuple(names)))
            names, size = {}, 0
    return found


def _verified(opened: Opened, array: Array, names: Sequence[str]) -> Iterable[Bytes]:
    opened.tensors.verify(names)
    return pieces(opened, array)
