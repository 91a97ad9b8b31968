"""Where the bytes of tensors are read from: the contract of a source, and one that lies in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from saver.tensors.boxes import Box, whole
from saver.tensors.data import Bytes, ShardedData, TensorData, hash_of, length_of, pieces
from saver.tensors.dtypes import ITEM_SIZE
from saver.tensors.hashing import block_span
from saver.tensors.shards import Shard, TensorInfo, in_one

ROWS = 8 << 20
"""Bytes of a tensor of several shards that are put together at a time, where it is read piece by piece."""


LINE = 64
"""Bytes of a cache line."""


class TensorSource(Protocol):
    """Tensors that can be read: those of a file, of a version in a store, or of memory."""

    @property
    def names(self) -> Iterable[str]:
        """The names of all tensors."""

    @property
    def size(self) -> int:
        """How many bytes are stored, which decides what loading may use."""

    def info(self, name: str) -> TensorInfo:
        """What a tensor is, without reading it. Raises KeyError if there is none."""

    def read(self, name: str, box: Box | None = None, mapped: bool = False) -> Bytes:
        """The bytes of a tensor, or of a box of it: verified, flat, in C order, writable. Only the blocks
        that the box cuts are read. What is written to a box is seen by nobody who reads again; with
        `mapped`, it may be, if the box was stored as it is: then nothing is copied.

        Raises KeyError if there is no such tensor, ValueError if the box reaches beyond its shape, and
        DamagedError."""

    def stream(self, name: str, blocks: range | None = None) -> Iterator[Bytes]:
        """The bytes of a tensor in C order, verified, piece by piece, to be read only; or those of some of
        its blocks, if it is one shard that has blocks."""

    def own(self) -> None:
        """Read into memory of the reader's own from now on: for arrays that will be changed."""

    def release(self, name: str) -> None:
        """Give back what memory a tensor takes that was read, once no array of it is in use."""

    def verify(
        self,
        names: Iterable[str] | None = None,
        progress: Any = None,
        boxes: Mapping[str, Sequence[Box]] = MappingProxyType({}),
    ) -> None:
        """Read and verify these tensors (None: all), and these boxes of others, on several threads. Raises
        DamagedError."""


def data_of(source: TensorSource, name: str) -> TensorData | ShardedData:
    """A tensor that was saved, to be saved again in the same shards."""
    info = source.info(name)
    if len(info.shards) == 1:
        return TensorData(info.dtype, info.shape, source.read(name))
    shards = {
        shard.box.offsets: TensorData(info.dtype, shard.shape, partial(box_of, source, name, shard.box))
        for shard in info.shards
    }
    return ShardedData(info.dtype, info.shape, shards)


def read_later(source: TensorSource, name: str) -> TensorData | ShardedData:
    """The same, but read when it is written, piece by piece, and only if it is."""
    info = source.info(name)
    if len(info.shards) > 1 or not info.shards:
        return data_of(source, name)

    def every() -> Iterator[Bytes]:
        yield from source.stream(name)
        source.release(name)

    def block(number: int) -> Bytes:
        (found,) = source.stream(name, range(number, number + 1))
        return found

    return TensorData(info.dtype, info.shape, every, block=block)


def box_of(source: TensorSource, name: str, box: Box) -> Iterator[Bytes]:
    """The bytes of a box of a tensor that has elements, verified: some rows at a time, about `ROWS` bytes."""
    source.verify([name])
    (start, *other_starts), (count, *others) = box.offsets, box.sizes
    step = max(1, ROWS * count // (math.prod(box.sizes) * ITEM_SIZE[source.info(name).dtype]))
    for first in range(start, start + count, step):
        rows = min(step, start + count - first)
        yield source.read(name, Box((first, *other_starts), (rows, *others)))


class MemoryTensors:
    """Tensors in memory: what was encoded can be read without being written."""

    def __init__(self, tensors: Mapping[str, TensorData]) -> None:
        self._tensors = tensors
        self._infos: dict[str, TensorInfo] = {}
        self.names = tensors.keys()
        self.size = sum(map(length_of, tensors.values()))

    def info(self, name: str) -> TensorInfo:
        """What a tensor is. It is hashed on first use. Raises KeyError if there is none."""
        if name not in self._infos:
            data = self._tensors[name]
            self._infos[name] = in_one(name, Shard(data.dtype, whole(data.shape), *hash_of(data)))
        return self._infos[name]

    def read(self, name: str, box: Box | None = None, mapped: bool = False) -> Bytes:
        """A copy of the bytes of a tensor, or of a box of it. Raises KeyError or ValueError."""
        data = self._tensors[name]
        held = np.concatenate([np.empty(0, np.uint8), *pieces(data)])
        every = whole(data.shape)
        if box is None or box == every:
            return held
        shard = Shard(data.dtype, every)
        target = room_for(box, shard)
        copy_box(target, box, held, shard, box)
        return target

    def stream(self, name: str, blocks: range | None = None) -> Iterator[Bytes]:
        """The bytes of a tensor, or of some of its blocks. Raises KeyError."""
        data = self._tensors[name]
        if blocks is None:
            return pieces(data)
        held, length = self.read(name), length_of(data)
        return (held[slice(*block_span(number, length))] for number in blocks)

    def own(self) -> None:
        """It is."""

    def release(self, name: str) -> None:
        """There is nothing to give back."""

    def verify(
        self,
        names: Iterable[str] | None = None,
        progress: Any = None,
        boxes: Mapping[str, Sequence[Box]] = MappingProxyType({}),
    ) -> None:
        """There is nothing to verify."""


def room_for(box: Box, tensor: Shard | TensorInfo) -> Bytes:
    """Memory for a box of a tensor, from the beginning of a cache line on, where libraries want it. Raises
    ValueError if the box reaches beyond its shape."""
    if not box.fits(tensor.shape):
        raise ValueError(f"{box} reaches beyond the shape {list(tensor.shape)}")
    size = math.prod(box.sizes) * ITEM_SIZE[tensor.dtype]
    memory = np.empty(size + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + size]


def copy_box(target: Bytes, box: Box, source: Bytes, shard: Shard, common: Box) -> None:
    """Copy what `common` covers from the bytes of a shard into those of a box; all three are boxes of one
    tensor."""
    dtype = np.dtype(f"u{ITEM_SIZE[shard.dtype]}")
    into = target.view(dtype).reshape(box.sizes)
    # A shard may begin at any byte of a pack.
    held: NDArray[Any] = np.ndarray(shard.shape, dtype, source)
    into[common.within(box).slices] = held[common.within(shard.box).slices]
