"""Tensors that are to be saved: their elements, which lie in memory or are produced piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.tensors.dtypes import ITEM_SIZE
from saver.tensors.hashing import Hashed, Hasher, hash_whole

Bytes: TypeAlias = NDArray[np.uint8]

PIECE = 8 << 20
"""Arrays that are not contiguous are copied in pieces of about this many bytes."""


class TensorData(msgspec.Struct, frozen=True):
    """What a save adds to the pack under one name.

    `dtype` is a safetensors dtype, `shape` in elements. `data` holds the elements in C order,
    little-endian; or it is a function that yields such arrays one after another, for data that
    should not be held in memory whole; then `block`, if there is one, returns the bytes of a block (see
    `saver.tensors.hashing`) by its number. `changes` counts how often the elements were changed, where that
    is known: it shows whether they stayed the same while they were copied.
    """

    dtype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | Callable[[], Iterator[NDArray[Any]]]
    changes: Callable[[], int] | None = None
    block: Callable[[int], NDArray[np.uint8]] | None = None


class ShardedData(msgspec.Struct, frozen=True):
    """A tensor to be saved as several shards: the elements of each, by the offsets of its box."""

    dtype: str
    shape: tuple[int, ...]
    shards: Mapping[tuple[int, ...], TensorData]


def length_of(data: TensorData | ShardedData) -> int:
    """Bytes of a tensor."""
    return math.prod(data.shape) * ITEM_SIZE[data.dtype]


def pieces(data: TensorData) -> Iterator[Bytes]:
    """The bytes of a tensor in order, as flat arrays. Contiguous arrays are not copied."""
    arrays = [data.data] if isinstance(data.data, np.ndarray) else data.data()
    for array in arrays:
        if array.flags.c_contiguous:
            yield array.reshape(-1).view(np.uint8)
        else:
            rows = max(1, PIECE * len(array) // max(1, array.nbytes))
            for at in range(0, len(array), rows):
                yield np.ascontiguousarray(array[at : at + rows]).reshape(-1).view(np.uint8)


def bytes_of(data: TensorData) -> bytes:
    """A copy of the bytes of a tensor."""
    if isinstance(data.data, np.ndarray):
        return data.data.tobytes()
    return b"".join([piece.data for piece in pieces(data)])


def hash_of(data: TensorData) -> Hashed:
    """The hash of a shard and those of its blocks."""
    if isinstance(data.data, np.ndarray) and data.data.flags.c_contiguous:
        return hash_whole(data.data.reshape(-1).view(np.uint8).data)
    hasher = Hasher(length_of(data))
    for piece in pieces(data):
        hasher.update(piece.data)
    return hasher.hashed()
