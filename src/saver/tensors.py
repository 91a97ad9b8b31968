"""What a tensor is, the shards that hold its bytes, how they are hashed, and where they are read from.

A tensor is stored as one shard, or as several whose boxes tile it. A shard is a box of the tensor, stored
as one run of bytes in C order, with its own hash. That hash covers the bytes alone, so equal bytes are
shared no matter which tensor they belong to.
"""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count, pairwise, product
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.tree import ITEM_SIZE, TensorData, decodable, to_json

BLOCK = 4 << 20
"""Shards of `BLOCKS_FROM` bytes and more are hashed in blocks of this size, each of which can be verified
alone. docs/decisions/0017 has the measurement."""

BLOCKS_FROM = 8 << 20

CUT_AXES = 5
"""A tensor may be cut along at most this many axes: each box costs 2 to this power steps to check."""

ZERO = "0" * 64
"""Stands for a hash that is not known yet."""

Extent: TypeAlias = tuple[str, int, int]
"""The name of a pack, and a range of its file: offset and length in bytes."""

Bytes: TypeAlias = NDArray[np.uint8]


class Box(msgspec.Struct, frozen=True, gc=False):
    """A piece of a tensor: where it begins and how far it reaches along each axis, in elements."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    def cut(self, other: Box) -> Box | None:
        """The intersection of two boxes of one tensor; None if it is empty."""
        starts = tuple(map(max, self.offsets, other.offsets))
        ends = (min(a + n, b + m) for a, n, b, m in zip(*self._sides, *other._sides, strict=True))
        sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
        return Box(starts, sizes) if all(size > 0 for size in sizes) else None

    def within(self, outer: Box) -> Box:
        """The same box, relative to the beginning of `outer`."""
        return Box(tuple(a - b for a, b in zip(self.offsets, outer.offsets, strict=True)), self.sizes)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether the box is inside a tensor of this shape."""
        return len(self.offsets) == len(self.sizes) == len(shape) and all(
            offset >= 0 and size >= 0 and offset + size <= axis
            for offset, size, axis in zip(self.offsets, self.sizes, shape, strict=True)
        )

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index into an array."""
        return tuple(slice(a, a + n) for a, n in zip(*self._sides, strict=True))

    @property
    def _sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.offsets, self.sizes


def whole(shape: tuple[int, ...]) -> Box:
    """The box that covers a tensor of this shape."""
    return Box((0,) * len(shape), shape)


def check_boxes(shape: tuple[int, ...], boxes: Sequence[Box], tiling: bool = True) -> None:
    """Raise ValueError unless the boxes are inside the shape, in the order of their offsets, and tile it:
    no gap, no overlap. With `tiling=False` gaps are allowed.

    Boxes tile a shape exactly if their corners cancel out to those of the shape, each counted with the sign
    of its parity: the mixed difference of a sum of boxes determines that sum. That takes 2^k steps for each
    box, where k is the number of axes along which the tensor is cut.
    """
    if not all(box.fits(shape) for box in boxes):
        raise ValueError(f"a box reaches beyond the shape {str(list(shape))[:80]}")
    if not tiling or len(boxes) == 1:
        if tiling and boxes[0].sizes != shape:
            raise ValueError("the only box does not cover the tensor")
        return
    if not all(math.prod(box.sizes) for box in boxes):
        raise ValueError("a box of several holds no element")
    if any(one.offsets >= other.offsets for one, other in pairwise(boxes)):
        raise ValueError("the boxes are not in the order of their offsets, or overlap")
    axes = [axis for axis, size in enumerate(shape) if any(box.sizes[axis] != size for box in boxes)]
    if len(axes) > CUT_AXES:
        raise ValueError(f"a tensor is cut along {len(axes)} axes; at most {CUT_AXES} are read")
    corners = _Corners(axes)
    for box in boxes:
        corners.add(box, 1)
    corners.add(whole(shape), -1)
    if any(corners.counts.values()):
        raise ValueError("the boxes do not tile the tensor: there is a gap or an overlap")


class _Corners:
    """Adds up the signed corners of boxes along some axes.

    Each coordinate gets a number, by its text. Used directly, coordinates from a file could collide in the
    hash table, as multiples of 2**61 - 1 do: counting 100,000 of those took hours.
    """

    def __init__(self, axes: Sequence[int]) -> None:
        self.counts: dict[tuple[int, ...], int] = {}
        self._axes = [(axis, defaultdict[str, int](count().__next__)) for axis in axes]
        self._signs = [(-1) ** sum(ends) for ends in product((0, 1), repeat=len(axes))]

    def add(self, box: Box, times: int) -> None:
        offsets, sizes, counts = box.offsets, box.sizes, self.counts
        sides = [
            (numbers[hex(offsets[axis])], numbers[hex(offsets[axis] + sizes[axis])])
            for axis, numbers in self._axes
        ]
        for corner, sign in zip(product(*sides), self._signs, strict=True):
            counts[corner] = counts.get(corner, 0) + times * sign


class Shard(msgspec.Struct, frozen=True, gc=False):
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
        return all(size % BLOCK == 0 for _, _, size in self.extents[:-1])

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
            for at in range(0, length, BLOCK):
                yield number, self.blocks[number], (pack, offset + at, min(BLOCK, length - at))
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
    if not sides or sides[0][2] <= BLOCK:
        found.update(range(first // BLOCK, last // BLOCK + 1))
        return
    offset, size, stride = sides[0]
    for row in range(offset, offset + size):
        _add_blocks(box, strides, item, axis + 1, base + row * stride, found)


class TensorInfo(msgspec.Struct, frozen=True, gc=False):
    """A tensor: safetensors dtype, shape in elements, and the shards that hold its bytes, in the order of
    their offsets."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    shards: tuple[Shard, ...]

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


def shards_of(tensors: Iterable[TensorInfo]) -> dict[str, Shard]:
    """All shards of tensors, by the names that they have in packs."""
    infos = {info.name: info for info in tensors}
    found: dict[str, Shard] = {}
    for name, info in infos.items():
        found.update(zip(shard_names(name, info.shape, info.boxes, infos), info.shards, strict=True))
    return found


def shard_names(
    tensor: str, shape: tuple[int, ...], boxes: Sequence[Box], taken: Collection[str]
) -> list[str]:
    """The names of these shards of a tensor in packs: that of the tensor itself for a shard that covers it,
    otherwise `<tensor>#<i>`, where `i` is the number of its first element in C order. So processes that save
    different boxes of a tensor agree on the names. Names in `taken` are avoided."""
    if [box.sizes for box in boxes] == [shape]:
        return [tensor]
    found = []
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    for box in boxes:
        name = f"{tensor}#{sum(map(operator.mul, box.offsets, strides))}"
        while name in taken:
            name += "#"
        found.append(name)
    return found


# What is saved


class ShardedData(msgspec.Struct, frozen=True):
    """A tensor to be saved as several shards: the elements of each, by the offsets of its box."""

    dtype: str
    shape: tuple[int, ...]
    shards: Mapping[tuple[int, ...], TensorData]


@decodable
class Cut(msgspec.Struct, frozen=True):
    """How a tensor of several shards is cut: its shape, and the offsets of each shard by its name in packs.
    A pack need not have all of them."""

    shape: tuple[int, ...]
    shards: dict[str, tuple[int, ...]]

    def box(self, name: str, sizes: tuple[int, ...]) -> Box:
        """The box of a shard."""
        return Box(self.shards[name], sizes)


def in_shards(
    tensors: Mapping[str, TensorData | ShardedData], tiling: bool = True
) -> tuple[dict[str, TensorData], dict[str, Cut]]:
    """The shards of tensors by their names in packs, and how the tensors with several shards are cut.

    Raises ValueError if boxes do not tile their tensor, or have another dtype. With `tiling=False`, others
    may have the missing boxes.
    """
    shards: dict[str, TensorData] = {}
    cuts: dict[str, Cut] = {}
    for name, data in tensors.items():
        if isinstance(data, TensorData):
            shards[name] = data
            continue
        parts = sorted(data.shards.items())
        boxes = [Box(offsets, part.shape) for offsets, part in parts]
        try:
            check_boxes(data.shape, boxes, tiling)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if any(part.dtype != data.dtype for _, part in parts):
            raise ValueError(f"{name}: its shards have other dtypes than {data.dtype}")
        names = shard_names(name, data.shape, boxes, tensors)
        shards.update((shard, part) for shard, (_, part) in zip(names, parts, strict=True))
        if names != [name]:
            offsets = [offsets for offsets, _ in parts]
            cuts[name] = Cut(data.shape, dict(zip(names, offsets, strict=True)))
    return shards, cuts


def joined(cuts: Iterable[Mapping[str, Cut]]) -> dict[str, Cut]:
    """How tensors are cut of which several Staged have boxes. Raises ValueError if their shapes differ."""
    found: dict[str, Cut] = {}
    for name, cut in (item for each in cuts for item in each.items()):
        before = found.get(name, Cut(cut.shape, {}))
        if before.shape != cut.shape:
            raise ValueError(f"{name!r} has the shape {list(before.shape)} here and {list(cut.shape)} there")
        shards = sorted({**before.shards, **cut.shards}.items(), key=operator.itemgetter(1))
        found[name] = Cut(cut.shape, dict(shards))
    return found


def put_together(shards: Mapping[str, Shard], cuts: Mapping[str, Cut]) -> dict[str, TensorInfo]:
    """Tensors made of their shards, which are given by their names in packs: the reverse of `in_shards`.

    Raises ValueError if the boxes do not tile, and KeyError if a shard is missing.
    """
    if not cuts:
        return {name: in_one(name, shard) for name, shard in shards.items()}
    of = {shard: tensor for tensor, cut in cuts.items() for shard in cut.shards}
    found: dict[str, TensorInfo] = {}
    for name, shard in shards.items():
        tensor = of.get(name)
        if tensor is None:
            found[name] = in_one(name, shard)
        elif tensor not in found:
            found[tensor] = _joined(tensor, cuts[tensor], shards)
    return found


def _joined(name: str, cut: Cut, shards: Mapping[str, Shard]) -> TensorInfo:
    parts = [
        msgspec.structs.replace(shards[part], box=cut.box(part, shards[part].shape)) for part in cut.shards
    ]
    if len({part.dtype for part in parts}) != 1:
        raise ValueError(f"the shards of {name!r} have different dtypes")
    try:
        check_boxes(cut.shape, [part.box for part in parts])
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from None
    return TensorInfo(name, parts[0].dtype, cut.shape, tuple(parts))


# Bytes

PIECE = 8 << 20
"""Arrays that are not contiguous are copied in pieces of about this many bytes."""


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


# Hashes

Hashed: TypeAlias = tuple[str, tuple[str, ...]]
"""The hash of a shard, and those of its blocks, if it has any."""


def block_count(length: int) -> int:
    """The number of blocks in which a shard of `length` bytes is hashed; 0 if it is hashed whole."""
    return -(-length // BLOCK) if length >= BLOCKS_FROM else 0


def block_span(number: int, length: int) -> tuple[int, int]:
    """Start and end of a block of a shard of `length` bytes."""
    return number * BLOCK, min((number + 1) * BLOCK, length)


def root_of(digests: Iterable[bytes]) -> str:
    """The hash of a shard that is hashed by blocks."""
    return blake3(b"".join(digests)).hexdigest()


def hashed_of(digests: Sequence[bytes], length: int) -> Hashed:
    """The hashes of a shard of `length` bytes, from the digests of its blocks, or from its own."""
    if not block_count(length):
        return digests[0].hex(), ()
    return root_of(digests), tuple(digest.hex() for digest in digests)


class Hasher:
    """Hashes one shard of `length` bytes, given in order."""

    __slots__ = ("_block", "_digests", "_done", "_partial", "length")

    def __init__(self, length: int) -> None:
        self.length = length
        self._block = BLOCK if block_count(length) else max(length, 1)
        self._done = 0
        self._digests: list[bytes] = []
        self._partial: Any = None

    @property
    def missing(self) -> int:
        """How many bytes are still to come."""
        return self.length - self._done

    def update(self, data: memoryview) -> int:
        """Take as many of the next bytes as are missing; returns how many it took."""
        at, end = 0, min(len(data), self.missing)
        if not self._done and end == self.length <= self._block:  # most shards come whole
            self._digests.append(blake3(data[:end]).digest())
            self._done = at = end
        while at < end:
            take = min(end - at, self._block - self._done % self._block)
            if self._partial is None:
                self._partial = blake3()
            self._partial.update(data[at : at + take])
            at += take
            self._done += take
            if self._done % self._block == 0 or not self.missing:
                self._digests.append(self._partial.digest())
                self._partial = None
        return at

    def hashed(self) -> Hashed:
        """The hash, once all bytes have been taken. Raises AssertionError while some are missing."""
        if self.missing:
            raise AssertionError("fewer bytes than its shape says")
        return hashed_of(self._digests or [blake3(b"").digest()], self.length)


def hash_of(data: TensorData) -> Hashed:
    """The hash of a shard and those of its blocks."""
    hasher = Hasher(length_of(data))
    for piece in pieces(data):
        hasher.update(piece.data)
    return hasher.hashed()


# Where bytes come from


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

    def read(self, name: str, box: Box | None = None) -> Bytes:
        """The bytes of a tensor, or of a box of it: verified, flat, in C order, writable. Only the blocks
        that the box cuts are read. Raises KeyError if there is no such tensor, ValueError if the box
        reaches beyond its shape, and DamagedError."""

    def verify(self, names: Iterable[str] | None = None, progress: Any = None) -> None:
        """Read and verify these tensors (None: all) on several threads. Raises DamagedError."""


def data_of(source: TensorSource, name: str) -> TensorData | ShardedData:
    """A tensor that was saved, to be saved again in the same shards."""
    info = source.info(name)
    if len(info.shards) == 1:
        return TensorData(info.dtype, info.shape, source.read(name))
    shards = {
        shard.box.offsets: TensorData(info.dtype, shard.shape, source.read(name, shard.box))
        for shard in info.shards
    }
    return ShardedData(info.dtype, info.shape, shards)


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

    def read(self, name: str, box: Box | None = None) -> Bytes:
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

    def verify(self, names: Iterable[str] | None = None, progress: Any = None) -> None:
        """There is nothing to verify."""


def room_for(box: Box, tensor: Shard | TensorInfo) -> Bytes:
    """Memory for a box of a tensor. Raises ValueError if the box reaches beyond its shape."""
    if not box.fits(tensor.shape):
        raise ValueError(f"{box} reaches beyond the shape {list(tensor.shape)}")
    return np.empty(math.prod(box.sizes) * ITEM_SIZE[tensor.dtype], np.uint8)


def copy_box(target: Bytes, box: Box, source: Bytes, shard: Shard, common: Box) -> None:
    """Copy what `common` covers from the bytes of a shard into those of a box; all three are boxes of one
    tensor."""
    dtype = np.dtype(f"u{ITEM_SIZE[shard.dtype]}")
    into = target.view(dtype).reshape(box.sizes)
    # A shard may begin at any byte of a pack.
    held: NDArray[Any] = np.ndarray(shard.shape, dtype, source)
    into[common.within(box).slices] = held[common.within(shard.box).slices]
