"""Tensors that lie at the same place of a pack, and such as lie at several."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from saver.tensors import Bytes, TensorInfo


def sharing(tensors: Mapping[str, TensorInfo]) -> frozenset[str]:
    """The names of tensors with a shard that shares bytes with another one, which begins before it or at the
    same place: that of another tensor, or of the same one."""
    found, end = set[str](), dict[str, int]()
    extents = [
        (extent, name)
        for name, info in tensors.items()
        for shard in info.shards
        if len(shard.extents) == 1
        for extent in shard.extents
    ]
    if len(extents) < 2:
        return frozenset()
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
