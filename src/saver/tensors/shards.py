"""Tensors that are stored: the shards that hold their bytes, and where those lie."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec
from blake3 import blake3

from saver.human import counted
from saver.page import Said
from saver.tensors import hashing
from saver.tensors.boxes import Box
from saver.tensors.dtypes import ITEM_SIZE
from saver.tensors.hashing import ZERO, block_count, root_of
from saver.tree import to_json

Extent: TypeAlias = tuple[str, int, int]
"""The name of a pack, and a range of its file: offset and length in bytes."""


class Shard(Said, msgspec.Struct, frozen=True, gc=False):
    """A box of a tensor, whose bytes are stored as one run: the bytes of all `extents`, concatenated.

    `hash` is the BLAKE3 of the bytes; for a shard with `blocks`, of the concatenated digests of its blocks.
    Offsets in extents are from the beginning of the pack's file; if there are several extents, each but the
    last holds whole blocks.
    """

    dtype: str
    box: Box
    hash: str = ZERO
    blocks: tuple[str, ...] = ()
    extents: tuple[Extent, ...] = ()

    def _line(self) -> str:
        places = f" in {counted(len(self.extents), 'place')}" if len(self.extents) != 1 else ""
        return f"{self.dtype} {self.box}{places}, hash {self.hash[:12]}"

    @property
    def shape(self) -> tuple[int, ...]:
        """In elements."""
        return self.box.sizes

    @property
    def length(self) -> int:
        """In bytes."""
        return math.prod(self.box.sizes) * ITEM_SIZE[self.dtype]

    def is_whole(self) -> bool:
        """Whether the extents have as many bytes as the box, in whole blocks, and every block has a hash."""
        length, extents = self.length, self.extents
        if sum([size for _, _, size in extents]) != length or len(self.blocks) != block_count(length):
            return False
        if not self.blocks:
            return len(extents) <= 1
        return all(size % hashing.BLOCK == 0 for _, _, size in self.extents[:-1])

    def root_matches(self) -> bool:
        """Whether the hash vouches for the hashes of the blocks, if there are any."""
        return not self.blocks or root_of(map(bytes.fromhex, self.blocks)) == self.hash

    def block_extents(self) -> Iterator[tuple[int, str, Extent]]:
        """The number, hash and extent of each block; of the whole shard, if it is hashed whole."""
        if not self.blocks:
            if self.length:
                yield 0, self.hash, self.extents[0]
            return
        number = 0
        for pack, offset, length in self.extents:
            for at in range(0, length, hashing.BLOCK):
                yield number, self.blocks[number], (pack, offset + at, min(hashing.BLOCK, length - at))
                number += 1

    def blocks_of(self, box: Box) -> set[int]:
        """The numbers of the blocks that hold any of a box, relative to the beginning of the shard."""
        if not self.blocks:
            return {0}
        found = set[int]()
        item = ITEM_SIZE[self.dtype]
        strides = [item * math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        _add_blocks(box, strides, item, 0, 0, found)
        return found


def _add_blocks(box: Box, strides: list[int], item: int, axis: int, base: int, found: set[int]) -> None:
    """Add the blocks of the sub-box that starts at byte `base` and extends along the axes from `axis` on.

    Rows that are no longer than a block touch every block from the first to the last. So only longer rows
    are visited one by one, and there are no more of those than blocks.
    """
    sides = list(zip(box.offsets, box.sizes, strides, strict=True))[axis:]
    first = base + sum(offset * stride for offset, _, stride in sides)
    last = base + sum((offset + size - 1) * stride for offset, size, stride in sides) + item - 1
    if not sides or sides[0][2] <= hashing.BLOCK:
        found.update(range(first // hashing.BLOCK, last // hashing.BLOCK + 1))
        return
    offset, size, stride = sides[0]
    for row in range(offset, offset + size):
        _add_blocks(box, strides, item, axis + 1, base + row * stride, found)


class TensorInfo(Said, msgspec.Struct, frozen=True, gc=False):
    """A tensor: safetensors dtype, shape in elements, and the shards that hold its bytes, in the order of
    their offsets."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    shards: tuple[Shard, ...]

    def _line(self) -> str:
        shape = " x ".join(map(str, self.shape)) or "scalar"
        cut = f", {counted(len(self.shards), 'shard')}" if len(self.shards) != 1 else ""
        return f"{self.name}: {self.dtype} {shape}{cut}"

    @property
    def length(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * ITEM_SIZE[self.dtype]

    @property
    def boxes(self) -> list[Box]:
        """The boxes of the shards."""
        return [shard.box for shard in self.shards]

    @property
    def hash(self) -> str:
        """Distinguishes tensors of one dtype and shape: other bytes, or other boxes, give another hash. For
        a tensor of one shard it is the hash of its bytes."""
        if len(self.shards) == 1:
            return self.shards[0].hash
        return blake3(
            to_json(self.covered[3]), derive_key_context="saver 1 tensor of several shards"
        ).hexdigest()

    @property
    def covered(self) -> tuple[str, str, tuple[int, ...], Any]:
        """What the hash of a part covers of this tensor."""
        if len(self.shards) == 1:
            return self.name, self.dtype, self.shape, self.shards[0].hash
        boxes = [(shard.box.offsets, shard.box.sizes, shard.hash) for shard in self.shards]
        return self.name, self.dtype, self.shape, boxes


def in_one(name: str, shard: Shard) -> TensorInfo:
    """A tensor of one shard."""
    return TensorInfo(name, shard.dtype, shard.box.sizes, (shard,))


def packs_of(shards: Iterable[Shard]) -> set[str]:
    """The packs in which shards are stored."""
    return {extent[0] for shard in shards for extent in shard.extents}
