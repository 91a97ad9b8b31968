"""Which tensors of a save the store already has, byte for byte.

Hashing everything before writing would cost a pass over the data that finds nothing if all weights have
changed, as they do in training. So large tensors are first compared by their first bytes, block by block;
the rest is hashed only if those are equal. In a storage that is far, each comparison would be a call, and a
pack is hashed before it is sent in any case, since its header goes first: there, all is hashed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.repo.extents import merged
from saver.tensors import (
    ITEM_SIZE,
    Extent,
    Hashed,
    Shard,
    TensorData,
    block_count,
    block_span,
    hash_of,
    hashed_of,
    length_of,
    pieces,
    root_of,
    whole,
)

if TYPE_CHECKING:
    from saver.repo.index import Index

PROBE = 4096
"""Bytes at the beginning of a tensor or block, in which most changes show."""

PROBED = 1 << 20
"""Smaller tensors are hashed directly: that is as fast as comparing their first bytes."""

THREADS = 4
CHUNKS = 16
SERIAL = 4 << 20

T = TypeVar("T")
R = TypeVar("R")

Block = tuple[str, Extent]
"""The hash of a block, and where it is stored."""

ReadExtent = Callable[[Extent], bytes]
Lookup = Callable[[Iterable[str]], Mapping[str, Shard]]


class Reuse(msgspec.Struct, frozen=True):
    """What a save need not write: whole tensors, and blocks (by number) of others; and the hashes of all
    tensors, if they were needed to find out."""

    whole: dict[str, Shard]
    blocks: dict[str, dict[int, Block]]
    hashed: Mapping[str, Hashed] = MappingProxyType({})


def find_reuse(
    tensors: Mapping[str, TensorData],
    sources: Sequence[Mapping[str, Shard]],
    read: ReadExtent,
    index: Index | None,
    lookup: Lookup,
    known_hashes: Mapping[str, Hashed],
    far: bool,
) -> Reuse:
    """What of `tensors` is stored in `sources` (the parent version first, then the declared bases), or
    anywhere else.

    `read` returns the bytes of an extent. `lookup` asks the index for hashes, and returns what live versions
    confirm. `known_hashes` are those of all tensors, if they are known: then none is read. If the storage is
    `far`, all tensors are hashed, and nothing is read.
    """
    have = _Have(sources, read, index)
    lengths = {name: length_of(data) for name, data in tensors.items()}
    sized = {name: data for name, data in tensors.items() if lengths[name]}
    if far and not known_hashes:
        known_hashes = _hash_all(sized)
    if known_hashes:
        hashed = {name: known_hashes[name] for name in sized}
    else:
        hashed = _hash_all({name: its for name, its in sized.items() if have.may_have(its, lengths[name])})
    whole = {}
    unknown = []
    for name, (digest, _) in hashed.items():
        known = have.by_hash.get((digest, lengths[name]))
        if known is not None:
            whole[name] = known
        else:
            unknown.append(digest)
    if index is not None and unknown:
        elsewhere = lookup(unknown)
        for name, (digest, _) in hashed.items():
            known = elsewhere.get(digest)
            # A small tensor may consist of the hashes of a large one's blocks: then both have the same hash.
            if name not in whole and known is not None and known.length == lengths[name]:
                whole[name] = known
    blocks = {
        name: _same_blocks(data, have.named(name, data), read, hashed.get(name))
        for name, data in tensors.items()
        if name not in whole and block_count(lengths[name])
    }
    return Reuse(whole, {name: same for name, same in blocks.items() if same}, known_hashes)


class _Have:
    """The tensors of the sources, indexed by what a new tensor can be compared with."""

    def __init__(self, sources: Sequence[Mapping[str, Shard]], read: ReadExtent, index: Index | None) -> None:
        self._sources = sources
        self._read = read
        self._index = index
        self._by_length: dict[int, list[Shard]] = {}
        self._firsts: dict[int, set[bytes]] = {}
        self.by_hash: dict[tuple[str, int], Shard] = {}
        for source in sources:
            for known in source.values():
                length = known.length
                if self.by_hash.setdefault((known.hash, length), known) is known and length:
                    self._by_length.setdefault(length, []).append(known)

    def may_have(self, data: TensorData, length: int) -> bool:
        """Whether it is worth hashing the tensor, which has `length` bytes."""
        same = self._by_length.get(length, ())
        if length < PROBED:
            return length > 0 and (bool(same) or (self._index is not None and self._index.has(length, None)))
        first = first_bytes(data)
        if first in self._first_of(length, same):
            return True
        return self._index is not None and self._index.has(length, probe_of(first))

    def named(self, name: str, data: TensorData) -> Shard | None:
        """The tensor with this name, if it can share blocks with `data`."""
        for source in self._sources:
            known = source.get(name)
            if known is not None and known.dtype == data.dtype and known.length == length_of(data):
                return known
        return None

    def _first_of(self, length: int, same: Iterable[Shard]) -> set[bytes]:
        """The first bytes of all known tensors of a length."""
        if length not in self._firsts:
            extents = (known.extents[0] for known in same)
            self._firsts[length] = {self._read((pack, at, min(PROBE, size))) for pack, at, size in extents}
        return self._firsts[length]


def first_bytes(data: TensorData) -> bytes:
    """The first `PROBE` bytes of a tensor."""
    for piece in pieces(data):
        return piece[:PROBE].tobytes()
    return b""


def probe_of(first: bytes) -> bytes:
    """What the index stores for a tensor's first bytes."""
    return blake3(first).digest(16)


def flat(data: TensorData) -> NDArray[np.uint8] | None:
    """The bytes of a tensor that is contiguous in memory; None for others."""
    if isinstance(data.data, np.ndarray) and data.data.flags.c_contiguous:
        return data.data.reshape(-1).view(np.uint8)
    return None


def _same_blocks(
    data: TensorData, known: Shard | None, read: ReadExtent, hashed: Hashed | None
) -> dict[int, Block]:
    """The blocks of a large tensor that equal those of the known one; `hashed` is its hash, if known
    already."""
    memory = flat(data)
    if known is None or (memory is None and data.block is None):
        return {}
    if hashed is not None:
        return {n: (digest, extent) for n, digest, extent in known.block_extents() if hashed[1][n] == digest}
    if memory is None:
        return {}
    candidates = []
    for number, digest, extent in known.block_extents():
        pack, offset, length = extent
        start, end = block_span(number, memory.size)
        if read((pack, offset, min(PROBE, length))) == memory[start:end][:PROBE].tobytes():
            candidates.append((number, digest, extent))

    def same(candidate: tuple[int, str, Extent]) -> bool:
        start, end = block_span(candidate[0], memory.size)
        return blake3(memory[start:end].data).hexdigest() == candidate[1]

    answers = _on_threads(same, candidates, sum(extent[2] for _, _, extent in candidates))
    return {n: (digest, at) for (n, digest, at), is_same in zip(candidates, answers, strict=True) if is_same}


def _hash_all(tensors: Mapping[str, TensorData]) -> dict[str, Hashed]:
    """The hashes of tensors. Threads share the blocks of large ones, so that a single tensor is as fast as
    many."""
    blocks: list[NDArray[np.uint8]] = []
    large: dict[str, range] = {}
    for name, data in tensors.items():
        memory = flat(data)
        if memory is not None and block_count(memory.size):
            large[name] = range(len(blocks), len(blocks) + block_count(memory.size))
            spans = (block_span(number, memory.size) for number in range(block_count(memory.size)))
            blocks += [memory[start:end] for start, end in spans]
    rest = {name: data for name, data in tensors.items() if name not in large}
    total = sum(map(length_of, tensors.values()))
    digests = _on_threads(lambda block: blake3(block.data).digest(), blocks, total)
    found = dict(zip(rest, _on_threads(hash_of, rest.values(), total), strict=True))
    for name, numbers in large.items():
        found[name] = hashed_of([digests[number] for number in numbers], length_of(tensors[name]))
    return found


def _on_threads(function: Callable[[T], R], items: Iterable[T], size: int) -> list[R]:
    """`function` of every item, on several threads if `size` bytes make that worthwhile."""
    if size <= SERIAL:
        return list(map(function, items))
    from saver.threads import Threads

    listed = list(items)
    some = max(1, len(listed) // (THREADS * CHUNKS))  # how many a thread takes at a time
    chunks = [listed[at : at + some] for at in range(0, len(listed), some)]
    with Threads(THREADS) as pool:
        return [
            found
            for answers in pool.map(lambda chunk: list(map(function, chunk)), chunks)
            for found in answers
        ]


class Writing(msgspec.Struct):
    """What goes into packs, by its name there; which block of which tensor it is; and its hashes, if they are
    known."""

    tensors: dict[str, TensorData]
    block_of: dict[str, tuple[str, int]]
    hashed: dict[str, Hashed]


def what_to_write(tensors: Mapping[str, TensorData], reuse: Reuse) -> Writing:
    """The tensors, and the blocks of partly known ones, that the store does not have."""
    writing = Writing({}, {}, {name: its for name, its in reuse.hashed.items() if name not in reuse.blocks})
    for name, data in tensors.items():
        if name in reuse.whole or length_of(data) == 0:
            continue
        if name not in reuse.blocks:
            writing.tensors[name] = data
            continue
        for number in range(block_count(length_of(data))):
            if number not in reuse.blocks[name]:
                block, data_ = _block(name, data, number)
                while block in tensors:
                    block += "#"
                writing.tensors[block] = data_
                writing.block_of[block] = (name, number)
                if name in reuse.hashed:
                    writing.hashed[block] = reuse.hashed[name][1][number], ()
    return writing


def _block(name: str, data: TensorData, number: int) -> tuple[str, TensorData]:
    start, end = block_span(number, length_of(data))
    item, memory, read = ITEM_SIZE[data.dtype], flat(data), data.block
    array: Any
    if memory is not None:
        array = memory[start:end]
    else:
        assert read is not None
        array = partial(_one, read, number)
    found = TensorData(data.dtype, ((end - start) // item,), array)
    return f"{name}[{start // item}:{end // item}]", found


def _one(read: Callable[[int], NDArray[np.uint8]], number: int) -> Iterator[NDArray[np.uint8]]:
    yield read(number)


def assemble(data: TensorData, blocks: Mapping[int, Block]) -> Shard:
    """A large tensor, assembled from all of its blocks, by number."""
    numbers = range(block_count(length_of(data)))
    hashes, extents = zip(*(blocks[number] for number in numbers), strict=True)
    root = root_of(map(bytes.fromhex, hashes))
    return Shard(data.dtype, whole(data.shape), root, hashes, merged(extents))
