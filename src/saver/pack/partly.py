"""What was verified of a tensor that was not verified whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from saver.tensors import Box, Bytes, Extent, TensorInfo, block_span


class Partly:
    """The bytes that were verified of a tensor: `shards` of which all blocks were, and lie side by side, by
    their numbers; and other `blocks`, by shard and number."""

    __slots__ = ("blocks", "shards")

    def __init__(self) -> None:
        self.shards: dict[int, Bytes] = {}
        self.blocks: dict[tuple[int, int], Bytes] = {}

    def missing(self, info: TensorInfo, parts: Mapping[int, Box]) -> dict[int, set[int]]:
        """The numbers of the blocks that these parts of shards need and that are not here, by shard."""
        found = {}
        for at, part in parts.items():
            if at not in self.shards:
                blocks = info.shards[at].blocks_of(part.within(info.shards[at].box))
                found[at] = {number for number in blocks if (at, number) not in self.blocks}
        return found

    def keep(self, info: TensorInfo, new: Mapping[int, set[int]], taken: Callable[[Extent], Bytes]) -> None:
        """Keep these blocks, which were verified. `taken` returns what an extent holds."""
        for at, numbers in new.items():
            shard = info.shards[at]
            if len(numbers) == max(len(shard.blocks), 1) and len(shard.extents) == 1:
                self.shards[at] = taken(shard.extents[0])
                continue
            for number, _, extent in shard.block_extents():
                if number in numbers:
                    self.blocks[at, number] = taken(extent)

    def shard(self, info: TensorInfo, at: int) -> Bytes:
        """The bytes of a shard as one array; only those of verified blocks are certain to be right."""
        if at in self.shards:
            return self.shards[at]
        shard = info.shards[at]
        if not shard.blocks:
            return self.blocks[at, 0]
        memory = np.empty(shard.length, np.uint8)  # pages that are never written to take no memory
        for number in range(len(shard.blocks)):
            block = self.blocks.get((at, number))
            if block is not None:
                start, end = block_span(number, shard.length)
                memory[start:end] = block
        return memory
