"""Writes a pack: copies, hashes and writes at the same time, through a small ring of buffers; or hashes it
first, and then yields its bytes in order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.errors import CannotWriteError
from saver.memory import huge_pages
from saver.pack.layout import Describe, header_bytes, header_hash, plan
from saver.storage import ALIGNMENT, Content, Progress, Sink
from saver.tensors import (
    ZERO,
    Box,
    Cut,
    Hashed,
    Hasher,
    Shard,
    ShardedData,
    TensorData,
    block_count,
    in_shards,
    length_of,
    pieces,
    put_together,
    whole,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

RING_BUFFER = 4 << 20
RING_LENGTH = 8
"""Buffers of the ring: 32 MiB keep two writers and the hasher busy; larger rings were not faster."""

SMALL = 4 << 20
"""Data up to this size is written in one go; threads would cost more than they gain."""

WRITERS = 2
PIECE = 8 << 20
SMALL_PIECE = 64 << 10
"""Arrays up to this size are joined when bytes are yielded in order."""


class PackWriter(Content):
    """A pack to be written: `storage.put(key, writer)`.

    `write` writes the tensors, then the header, so a pack that was cut off is recognized. `pieces` hashes the
    tensors first, and then yields header and tensors, for storages that take bytes in order. The tensors are
    hashed again on the way; if they changed meanwhile, CannotWriteError is raised before the last byte.

    `describe` is the metadata to add, or a function that receives the tensors with their hashes and returns
    it. It is also called beforehand with zeros for hashes, and its results must have the same length. `id` is
    random unless it is given. `cuts` are the cuts of tensors of which some shards are among the `tensors`.
    `start` is where the data begins, and `size` the size of the whole pack, in bytes. `shards` says where
    each shard is stored in the pack and, once it is written, gives its hash; `hash` is then the hash of the
    header. Memory: the ring of `RING_LENGTH` buffers of `RING_BUFFER` bytes, whatever the tensors' size.
    """

    def __init__(
        self,
        tensors: Mapping[str, TensorData | ShardedData],
        describe: Describe | Mapping[str, str] = MappingProxyType({}),
        progress: Progress | None = None,
        ident: str | None = None,
        cuts: Mapping[str, Cut] | None = None,
    ) -> None:
        data, own_cuts = in_shards(tensors)
        self._data = {name: data[name] for name in plan(data)}
        self._cuts = {**own_cuts, **_present(cuts or {}, data)}
        self._describe = describe
        self._progress = progress
        self.id = ident or os.urandom(16).hex()
        self.hash = ZERO
        boxes = {name: cut.box(name, data[name].shape) for cut in self._cuts.values() for name in cut.shards}
        self.shards = {name: _blank(item, boxes.get(name)) for name, item in self._data.items()}
        self.start = len(self._header())
        self.size = self.start + sum(shard.length for shard in self.shards.values())
        at = self.start
        for name, shard in self.shards.items():
            if shard.length:
                place = (self.id, at, shard.length)
                self.shards[name] = msgspec.structs.replace(shard, extents=(place,))
            at += shard.length

    def write(self, sink: Sink) -> None:
        """Write everything. If this is called again, the tensors are read again."""
        hashing = self._hashing()
        write = _write_small if self.size - self.start <= SMALL else _write_large
        write(sink, list(self._data.values()), hashing, self.start, self.size, self._progress)
        sink.write(self._final_header(hashing.done()), 0)

    def pieces(self) -> Iterator[bytes | memoryview]:
        first, again = self._hashing(), self._hashing()
        for piece in self._bytes():
            first.update(piece)
        hashed = first.done()
        yield self._final_header(hashed)
        at = self.start
        for piece in self._bytes():
            again.update(piece)
            at += len(piece)
            if at == self.size and again.done() != hashed:
                raise CannotWriteError(
                    "a tensor changed while it was being saved; nothing was written; "
                    "save when nothing changes it"
                )
            yield piece
            if self._progress is not None:
                self._progress(at, self.size)

    def _bytes(self) -> Iterator[memoryview]:
        """The bytes of the tensors, in order; small ones are joined."""
        small = bytearray()
        for piece in (p.data for data in self._data.values() for p in pieces(data)):
            if len(piece) <= SMALL_PIECE:
                small += piece
                if len(small) < PIECE:
                    continue
                piece = memoryview(b"")
            if small:
                yield memoryview(bytes(small))
                small.clear()
            for at in range(0, len(piece), PIECE):
                yield piece[at : at + PIECE]
        if small:
            yield memoryview(bytes(small))

    def _hashing(self) -> _Hashing:
        return _Hashing(shard.length for shard in self.shards.values())

    def _final_header(self, hashed: Sequence[Hashed]) -> bytes:
        for (name, shard), (digest, blocks) in zip(self.shards.items(), hashed, strict=True):
            self.shards[name] = msgspec.structs.replace(shard, hash=digest, blocks=blocks)
        header = self._header()
        if len(header) != self.start:
            raise AssertionError("the header changed its length between plan and write")
        self.hash = header_hash(header)
        return header

    def _header(self) -> bytes:
        described = self._describe
        if not isinstance(described, Mapping):
            described = described(put_together(self.shards, self._cuts))
        return header_bytes(self.shards, self.id, described, self._cuts)


def _present(cuts: Mapping[str, Cut], data: Mapping[str, TensorData]) -> dict[str, Cut]:
    """The cuts, with only those shards that are in `data`."""
    found = {}
    for tensor, cut in cuts.items():
        shards = {name: offsets for name, offsets in cut.shards.items() if name in data}
        if shards:
            found[tensor] = Cut(cut.shape, shards)
    return found


def _blank(data: TensorData, box: Box | None) -> Shard:
    """A shard before it is hashed: with zeros for its hash and the hashes of its blocks."""
    return Shard(data.dtype, box or whole(data.shape), ZERO, (ZERO,) * block_count(length_of(data)))


class _Hashing:
    """The hashes of shards whose bytes arrive in order."""

    def __init__(self, lengths: Iterable[int]) -> None:
        self._lengths = iter(lengths)
        self._hasher: Hasher | None = None
        self._hashed: list[Hashed] = []

    def update(self, data: memoryview) -> None:
        """Take the next bytes, from any number of shards."""
        at, end = 0, len(data)
        while at < end:
            if not self._goes_on():
                raise AssertionError("more bytes than the tensors have")
            at += self._hasher.update(data[at:]) if self._hasher is not None else 0

    def _goes_on(self) -> bool:
        """Advance to the next shard that lacks bytes. Returns whether there is one."""
        while self._hasher is None or not self._hasher.missing:
            if self._hasher is not None:
                self._hashed.append(self._hasher.hashed())
            length = next(self._lengths, None)
            self._hasher = Hasher(length) if length is not None else None
            if self._hasher is None:
                return False
        return True

    def done(self) -> list[Hashed]:
        """The hashes of all shards. Raises AssertionError if bytes of one are missing."""
        if self._goes_on():
            raise AssertionError("fewer bytes than the shapes of the tensors say")
        return self._hashed


def _write_small(
    sink: Sink,
    shards: Sequence[TensorData],
    hashing: _Hashing,
    start: int,
    end: int,
    progress: Progress | None,
) -> None:
    data = b"".join(piece.data for shard in shards for piece in pieces(shard))
    hashing.update(memoryview(data))
    sink.write(data, start)
    if progress is not None:
        progress(end, end)


def _write_large(
    sink: Sink,
    shards: Sequence[TensorData],
    hashing: _Hashing,
    start: int,
    end: int,
    progress: Progress | None,
) -> None:
    """Copy into a ring of aligned buffers; meanwhile, one thread hashes them and two write them."""
    from saver.threads import Threads  # small files need none: saves 5 ms of `import saver`

    ring = _ring()
    busy: list[list[Future[None]]] = [[] for _ in ring]
    with Threads(1) as hasher, Threads(WRITERS) as writers:
        try:
            filled = _fill(ring, busy, (piece for shard in shards for piece in pieces(shard)))
            at = start
            for turn, length in filled:
                whole = -(-length // ALIGNMENT) * ALIGNMENT
                busy[turn] = [
                    hasher.submit(hashing.update, ring[turn][:length].data),
                    writers.submit(sink.write_aligned, ring[turn][:whole].data, at),
                ]
                at += length
                if progress is not None:
                    progress(at, end)
            for work in busy:
                _wait(work)
        except BaseException:
            for pool in (hasher, writers):
                pool.shutdown(cancel_futures=True)
            raise


def _ring() -> list[NDArray[np.uint8]]:
    """The buffers. Raises CannotWriteError if there is no memory for them."""
    size = RING_BUFFER * RING_LENGTH
    try:
        memory = huge_pages(size)
    except MemoryError as error:
        raise CannotWriteError(
            f"there is no memory for {error}, through which tensors are written; nothing was written; "
            "free some memory, and save again"
        ) from error
    return [memory[at : at + RING_BUFFER] for at in range(0, size, RING_BUFFER)]


def _wait(work: list[Future[None]]) -> None:
    for future in work:
        future.result()
    work.clear()


def _fill(
    ring: Sequence[NDArray[np.uint8]], busy: list[list[Future[None]]], source: Iterable[NDArray[np.uint8]]
) -> Iterator[tuple[int, int]]:
    """Copy `source` into the ring, buffer by buffer; yields the buffer's number and the bytes in it."""
    turn = used = 0
    for piece in source:
        at, size = 0, piece.size
        while at < size:
            if used == 0:
                _wait(busy[turn])
            take = min(size - at, RING_BUFFER - used)
            ring[turn][used : used + take] = piece[at : at + take]
            at += take
            used += take
            if used == RING_BUFFER:
                yield turn, used
                turn, used = (turn + 1) % len(ring), 0
    if used:
        yield turn, used
