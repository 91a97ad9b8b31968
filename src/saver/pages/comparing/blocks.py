"""The bytes of an array, verified, piece by piece: of nothing is more in memory than a few pieces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from saver.errors import IncompatibleError
from saver.opened import Opened
from saver.reading.arrays import Array
from saver.tensors import BLOCK, Bytes, TensorInfo


def is_cut(view: Opened, array: Array) -> bool:
    """Whether parts of the array can be read without the rest."""
    if not array.name or array.pieces:
        return False
    info = view.tensors.info(array.name)
    return len(info.shards) == 1 and bool(info.shards[0].blocks)


def stored(view: Opened, array: Array, start: int = 0, end: int | None = None) -> Iterator[Bytes]:
    """The bytes of an array from `start` to `end`, in the order in which they are stored, in pieces of any
    size, to be read only. Raises DamagedError; IncompatibleError if the file has too few bytes."""
    end = array.length if end is None else end
    found = 0
    for piece in _every(view, array, start, end):
        found += piece.size
        yield piece
    if found != max(0, end - start):
        raise IncompatibleError(
            f"{view.where}: {array.name!r} has {found} of {end - start} bytes; this version of Saver did not "
            "save it, so it cannot be read"
        )


def _every(view: Opened, array: Array, start: int, end: int) -> Iterator[Bytes]:
    if start >= end:
        return
    if array.pieces:
        at = 0
        for piece in array.pieces:
            first, last = max(start - at, 0), min(end - at, piece.length)
            if first < last:
                yield from _every(view, piece, first, last)
            at += piece.length
    elif not array.name:
        yield np.frombuffer(array.data, np.uint8)[start:end]
    else:
        yield from _of_tensor(view, array.name, array.offset + start, array.offset + end)


def _of_tensor(view: Opened, name: str, start: int, end: int) -> Iterator[Bytes]:
    info = view.tensors.info(name)
    at, blocks = 0, _blocks(info, start, end)
    if blocks is not None:
        at = blocks.start * BLOCK
    for piece in view.tensors.stream(name, blocks):
        first, last = max(start - at, 0), min(end - at, piece.size)
        if first < last:
            yield piece[first:last]
        at += piece.size
        if at >= end:
            return


def _blocks(info: TensorInfo, start: int, end: int) -> range | None:
    """The blocks with these bytes; None if there are no blocks to choose from."""
    if len(info.shards) != 1 or not info.shards[0].blocks:
        return None
    return range(start // BLOCK, min(-(-end // BLOCK), len(info.shards[0].blocks)))


def even(pieces: Iterator[Bytes], size: int) -> Iterator[Bytes]:
    """The same bytes in pieces of `size` bytes, and the rest; what is cut well already is not copied."""
    rest: list[Bytes] = []
    held = 0
    for piece in pieces:
        at = 0
        if held:
            at = min(size - held, piece.size)
            rest.append(piece[:at])
            held += at
            if held < size:
                continue
            yield np.concatenate(rest)
            rest, held = [], 0
        whole = at + (piece.size - at) // size * size
        for first in range(at, whole, size):
            yield piece[first : first + size]
        if whole < piece.size:
            rest, held = [piece[whole:].copy()], piece.size - whole
    if held:
        yield np.concatenate(rest)


def release(view: Opened, array: Array) -> None:
    """Give back the memory of an array that has tensors of its own, once it was read."""
    for each in array.pieces or (array,):
        if each.name and each.offset == 0 and each.length == view.tensors.info(each.name).length:
            view.tensors.release(each.name)
