"""What a snapshot copies: all tensors, and the boxes of those of which this rank has a part."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from saver.repo.draft import Encoded
from saver.tensors import TensorData


def pieces_of(encoded: Encoded) -> Mapping[str, TensorData]:
    """All tensors; of those that this process holds in part, its boxes."""
    if not encoded.sharded:
        return encoded.tensors
    boxes = [(name, data) for name, cut in encoded.sharded.items() for data in cut.shards.values()]
    return {f"{at}: {name}": data for at, (name, data) in enumerate([*encoded.tensors.items(), *boxes])}


def of_pieces(encoded: Encoded, pieces: Mapping[str, TensorData]) -> Encoded:
    """The same with these tensors, which are in the order of `pieces_of`."""
    found = iter(pieces.values())
    tensors = {name: next(found) for name in encoded.tensors}
    sharded = {
        name: replace(cut, shards={offsets: next(found) for offsets in cut.shards})
        for name, cut in encoded.sharded.items()
    }
    return replace(encoded, tensors=tensors, sharded=sharded)
