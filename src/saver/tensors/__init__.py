"""What a tensor is, the shards that hold its bytes, how they are hashed, and where they are read from.

A tensor is stored as one shard, or as several whose boxes tile it. A shard is a box of the tensor, stored
as one run of bytes in C order, with its own hash. That hash covers the bytes alone, so equal bytes are
shared no matter which tensor they belong to.
"""

from __future__ import annotations

from saver.tensors.boxes import Box, Overlaps, check_boxes, check_inside, whole
from saver.tensors.cuts import Cut, boxes_of, in_shards, joined, put_together, shard_names, shards_of
from saver.tensors.data import Bytes, ShardedData, TensorData, bytes_of, hash_of, length_of, pieces
from saver.tensors.dtypes import ITEM_SIZE, NUMPY_DTYPE, TENSOR_DTYPE
from saver.tensors.hashing import (
    BLOCK,
    ZERO,
    Hashed,
    Hasher,
    block_count,
    block_span,
    hash_whole,
    hashed_of,
    root_of,
)
from saver.tensors.shards import Extent, Shard, TensorInfo, in_one, packs_of
from saver.tensors.sources import MemoryTensors, TensorSource, box_of, copy_box, data_of, read_later, room_for

__all__ = [
    "BLOCK",
    "ITEM_SIZE",
    "NUMPY_DTYPE",
    "TENSOR_DTYPE",
    "ZERO",
    "Box",
    "Bytes",
    "Cut",
    "Extent",
    "Hashed",
    "Hasher",
    "MemoryTensors",
    "Overlaps",
    "Shard",
    "ShardedData",
    "TensorData",
    "TensorInfo",
    "TensorSource",
    "block_count",
    "block_span",
    "box_of",
    "boxes_of",
    "bytes_of",
    "check_boxes",
    "check_inside",
    "copy_box",
    "data_of",
    "hash_of",
    "hash_whole",
    "hashed_of",
    "in_one",
    "in_shards",
    "joined",
    "length_of",
    "packs_of",
    "pieces",
    "put_together",
    "read_later",
    "room_for",
    "root_of",
    "shard_names",
    "shards_of",
    "whole",
]
