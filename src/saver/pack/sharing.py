"""Tensors that lie at the same place of a pack, and such as lie at several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from saver.tensors import Box, Bytes, TensorInfo

ROWS = 8 << 20
"""Bytes of a tensor of several shards that are put together at a time, where it is read piece by piece."""


def sharing(tensors: Mapping[str, TensorInfo]) -> frozenset[str]:
    """The names of tensors that share bytes with one that begins before them, or at the same place."""
    found, end = set[str](), dict[str, int]()
    extents = [
        (extent, name)
        for name, info in tensors.items()
        if len(info.shards) == 1 and len(info.shards[0].extents) == 1
        for extent in info.shards[0].extents
    ]
    for (pack, offset, length), name in sorted(extents):
        if offset < end.get(pack, 0):
            found.add(name)
        end[pack] = max(end.get(pack, 0), offset + length)
    return frozenset(found)


def in_one_run(pieces: list[Bytes], length: int) -> Bytes:
    """The pieces as one array; not copied if there is only one."""
    if len(pieces) == 1:
        return pieces[0]
    memory, at = np.empty(length, np.uint8), 0
    for piece in pieces:
        memory[at : at + piece.size] = piece
        at += piece.size
    return memory


def in_rows(info: TensorInfo) -> Iterator[Box]:
    """A tensor that has elements as boxes of whole rows, in order: as many as take some `ROWS` bytes."""
    first, *others = info.shape
    step = max(1, ROWS * first // info.length)
    for start in range(0, first, step):
        yield Box((start, *[0] * len(others)), (min(step, first - start), *others))
