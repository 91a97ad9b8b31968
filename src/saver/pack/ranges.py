"""Which bytes of packs hold what is to be read, with the hashes to hold against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from saver.errors import DamagedError
from saver.pack.verify import Range
from saver.storage import Progress
from saver.tensors import TensorInfo

Wanted: TypeAlias = Mapping[int, set[int]] | None
"""The blocks of a tensor to read, by the number of their shard; None for the whole tensor."""


def ranges_of(
    tensors: Mapping[str, TensorInfo], wanted: Mapping[str, Wanted], where: str, advice: str
) -> dict[str, list[Range]]:
    """What to verify of each pack. Raises DamagedError if the hashes of a tensor contradict each other;
    `where` and `advice` are for the message."""
    found: dict[str, list[Range]] = {}
    for name, blocks in wanted.items():
        shards = tensors[name].shards
        for at in range(len(shards)) if blocks is None else blocks:
            shard = shards[at]
            if not shard.blocks:  # most have none, and there may be very many
                if blocks is None or 0 in blocks[at]:
                    for pack, offset, length in shard.extents:
                        each = Range(name, offset, offset + length, shard.hash)
                        found.setdefault(pack, []).append(each)
                continue
            if not shard.root_matches():
                raise DamagedError(f"{where}: the hashes of {name!r} contradict each other; {advice}")
            for number, digest, (pack, offset, length) in shard.block_extents():
                if blocks is None or number in blocks[at]:
                    each = Range(name, offset, offset + length, digest)
                    found.setdefault(pack, []).append(each)
    return found


def further(progress: Progress, done: int, total: int) -> Progress:
    """Tells of bytes after those that are `done`."""
    return lambda more, _: progress(done + more, total)
