"""Writes a pack: copies, hashes and writes at once, through a small ring of buffers; or hashes it first, and
gives its bytes in order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.errors import CannotWriteError
from saver.memory import huge_pages
from saver.pack.layout import (
    BLOCK,
    BLOCKS_FROM,
    ZERO,
    Describe,
    Entry,
    block_count,
    header_bytes,
    header_hash,
    plan,
)
from saver.storage import ALIGNMENT, Content, Progress, Sink
from saver.tree import TensorData

if TYPE_CHECKING:
    from concurrent.futures import Future

RING_BUFFER = 4 << 20
RING_LENGTH = 8
"""Buffers of the ring: 32 MiB keep two writers and the hasher busy; larger rings were not faster."""

SMALL = 4 << 20
"""Data up to this size is written in one go; the threads would cost more than they bring."""

WRITERS = 2
PIECE = 8 << 20
SMALL_PIECE = 64 << 10
"""Arrays up to this size are given on together, where bytes are given in order."""


def _nothing(hashes: Mapping[str, str]) -> Mapping[str, str]:
    return {}


class PackWriter(Content):
    """A pack to be written: `storage.put(key, writer)`.

    `write` writes the tensors, then the header: what was cut off shows itself. `pieces` hashes the tensors
    first, and then reads them again, header first, for places where bytes arrive in order. They are hashed
    again on their way, and CannotWriteError is raised before the last byte of a pack whose tensors changed
    meanwhile.

    `describe` is given the hash of every tensor and returns the metadata to add. It is also called beforehand
    with zeros, and its answers must have the same length. `id` is random unless it is given. `start` is where
    the data begins, and `size` all there is, in bytes. `entries` say where in the data the tensors are, and
    once it is written their hashes; `hash` is then that of the header. Memory: the ring of `RING_LENGTH`
    buffers of `RING_BUFFER` bytes, whatever the size of the tensors.
    """

    def __init__(
        self,
        tensors: Mapping[str, TensorData],
        describe: Describe = _nothing,
        progress: Progress | None = None,
        ident: str | None = None,
    ) -> None:
        self._tensors = tensors
        self._describe = describe
        self._progress = progress
        self.id = ident or os.urandom(16).hex()
        self.hash = ZERO
        self.entries: Sequence[Entry] = plan(tensors)
        blank = [msgspec.structs.replace(e, blocks=(ZERO,) * block_count(e.length)) for e in self.entries]
        self.start = len(self._header(blank))
        self.size = self.start + sum(entry.length for entry in self.entries)

    def write(self, sink: Sink) -> None:
        """Write it all. When it is called again, the tensors are read again."""
        write = _write_small if self.size - self.start <= SMALL else _write_large
        self.entries = write(sink, self.entries, self._tensors, self.start, self.size, self._progress)
        sink.write(self._final_header(), 0)

    def pieces(self) -> Iterator[bytes | memoryview]:
        first, again = _Hashing(self.entries), _Hashing(self.entries)
        for piece in self._data():
            first.update(piece)
        self.entries = first.done()
        yield self._final_header()
        at = self.start
        for piece in self._data():
            again.update(piece)
            at += len(piece)
            if at == self.size and again.done() != self.entries:
                raise CannotWriteError(
                    "a tensor changed while it was saved; nothing was written; save when nothing changes it"
                )
            yield piece
            if self._progress is not None:
                self._progress(at, self.size)

    def _data(self) -> Iterator[memoryview]:
        """The bytes of the tensors, in order; small ones come together."""
        small = bytearray()
        for piece in (p.data for e in self.entries for p in pieces(self._tensors[e.name])):
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

    def _final_header(self) -> bytes:
        header = self._header(self.entries)
        if len(header) != self.start:
            raise AssertionError("the header changed its length between plan and write")
        self.hash = header_hash(header)
        return header

    def _header(self, entries: Sequence[Entry]) -> bytes:
        return header_bytes(entries, self.id, self._describe({e.name: e.hash for e in entries}))


def pieces(data: TensorData) -> Iterator[NDArray[np.uint8]]:
    """The bytes of a tensor in order, as flat arrays, without copying what is contiguous."""
    arrays = [data.data] if isinstance(data.data, np.ndarray) else data.data()
    for array in arrays:
        if array.flags.c_contiguous:
            yield array.reshape(-1).view(np.uint8)
        else:
            rows = max(1, PIECE * len(array) // max(1, array.nbytes))
            for at in range(0, len(array), rows):
                yield np.ascontiguousarray(array[at : at + rows]).reshape(-1).view(np.uint8)


class _Hashing:
    """The hashes of tensors whose bytes arrive in order."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._hashes: list[str] = []
        self._blocks: dict[str, tuple[str, ...]] = {}
        self._partial: Any = None
        self._done = 0
        self._digests: list[bytes] = []

    def update(self, data: memoryview) -> None:
        """Take the next bytes, of however many tensors."""
        at, end = 0, len(data)
        while at < end or self._next_is_empty():
            if len(self._hashes) == len(self._entries):
                raise AssertionError("more bytes than the tensors have")
            entry = self._entries[len(self._hashes)]
            length = entry.length
            if self._done == 0 and length <= end - at and length < BLOCKS_FROM:
                self._hashes.append(blake3(data[at : at + length]).hexdigest())
                at += length
            else:
                at += self._take(entry, data[at:])

    def _next_is_empty(self) -> bool:
        count = len(self._hashes)
        return count < len(self._entries) and self._entries[count].length == 0

    def _take(self, entry: Entry, data: memoryview) -> int:
        """Take what `data` has of the tensor, up to the end of a block."""
        whole = BLOCK if entry.length >= BLOCKS_FROM else entry.length
        take = min(len(data), entry.length - self._done, whole - self._done % whole)
        if self._partial is None:
            self._partial = blake3()
        self._partial.update(data[:take])
        self._done += take
        if self._done % whole == 0 or self._done == entry.length:
            self._digests.append(self._partial.digest())
            self._partial = None
        if self._done == entry.length:
            self._close(entry)
        return take

    def _close(self, entry: Entry) -> None:
        if entry.length >= BLOCKS_FROM:
            self._blocks[entry.name] = tuple(digest.hex() for digest in self._digests)
            self._hashes.append(blake3(b"".join(self._digests)).hexdigest())
        else:
            self._hashes.append(self._digests[0].hex())
        self._digests, self._done = [], 0

    def done(self) -> list[Entry]:
        """The entries with their hashes."""
        self.update(memoryview(b""))
        if len(self._hashes) != len(self._entries):
            raise AssertionError(f"{self._entries[len(self._hashes)].name}: fewer bytes than its shape says")
        return [
            Entry(e.name, e.dtype, e.shape, e.offset, e.length, digest, self._blocks.get(e.name, ()))
            for e, digest in zip(self._entries, self._hashes, strict=True)
        ]


def _write_small(
    sink: Sink,
    entries: Sequence[Entry],
    tensors: Mapping[str, TensorData],
    start: int,
    end: int,
    progress: Progress | None,
) -> list[Entry]:
    data = b"".join(piece.data for entry in entries for piece in pieces(tensors[entry.name]))
    hashing = _Hashing(entries)
    hashing.update(memoryview(data))
    sink.write(data, start)
    if progress is not None:
        progress(end, end)
    return hashing.done()


def _write_large(
    sink: Sink,
    entries: Sequence[Entry],
    tensors: Mapping[str, TensorData],
    start: int,
    end: int,
    progress: Progress | None,
) -> list[Entry]:
    """Copy into a ring of aligned buffers; beside that, hash them in one thread and write them in two."""
    from saver.threads import Threads  # small files do without: 5 ms of `import saver`

    hashing = _Hashing(entries)
    ring = _ring()
    busy: list[list[Future[None]]] = [[] for _ in ring]
    with Threads(1) as hasher, Threads(WRITERS) as writers:
        try:
            filled = _fill(ring, busy, (p for e in entries for p in pieces(tensors[e.name])))
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
    return hashing.done()


def _ring() -> list[NDArray[np.uint8]]:
    """The buffers. Raises CannotWriteError when there is no memory for them."""
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
    """Copy `source` into the ring, buffer by buffer: yields the buffer's number and the bytes in it."""
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
