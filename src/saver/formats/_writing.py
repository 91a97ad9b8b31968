"""Files made of pieces whose lengths are known, written in order with little memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from saver.pack.ring import write_through_ring
from saver.storage import Content, Progress, Sink
from saver.tensors import Bytes

PIECE = 4 << 20

AHEAD = 4 << 20
"""Bytes that are read together, ahead of those that are written."""

SMALL = 8 << 20
"""Bytes from which on it pays to write past the page cache, on several threads."""


class Later(NamedTuple):
    """Bytes that are read when they are written: `length` of them, in `pieces`. `done` is called once they
    are written. They are read in another thread, while those before are written."""

    length: int
    pieces: Callable[[], Iterable[Bytes]]
    done: Callable[[], None]


Piece: TypeAlias = bytes | Later


class Streamed(Content):
    """A file of these pieces. A large one is written past the page cache, while its pieces are read."""

    def __init__(self, pieces: Sequence[Piece], progress: Progress | None = None) -> None:
        self._pieces = pieces
        self._progress = progress
        self.size = sum(map(length_of, pieces))

    def pieces(self) -> Iterator[bytes | memoryview]:
        done = 0
        for data in _each(self._pieces, self.size):
            for at in range(0, data.size, PIECE):
                yield data[at : at + PIECE].data
            done += data.size
            if self._progress is not None:
                self._progress(done, self.size)

    def write(self, sink: Sink) -> None:
        if self.size < SMALL:
            super().write(sink)
        else:
            read = _each(self._pieces, self.size)
            write_through_ring(sink, read, _unhashed, 0, self.size, self._progress)


_Read: TypeAlias = tuple[Bytes, Callable[[], None] | None]
"""Bytes, and what is to be called once they are no longer used."""


def _each(pieces: Sequence[Piece], size: int) -> Iterator[Bytes]:
    """The bytes of the pieces, of `size` bytes in all. Those of one are no longer used when the next is
    requested."""
    read = _read(pieces)
    for data, done in read if size < SMALL else _ahead(read):
        yield data
        if done is not None:
            done()


def _read(pieces: Iterable[Piece]) -> Iterator[_Read]:
    for piece in pieces:
        if not isinstance(piece, Later):
            yield np.frombuffer(piece, np.uint8), None
            continue
        found = 0
        for data in piece.pieces():
            found += data.size
            yield data, None
        if found != piece.length:
            raise AssertionError(f"{found} bytes came where {piece.length} were planned")
        yield np.empty(0, np.uint8), piece.done


def _ahead(read: Iterator[_Read]) -> Iterator[_Read]:
    """The same, read by a thread: some `AHEAD` bytes while those before are used."""
    from saver.threads import Threads

    with Threads(1) as reader:
        try:
            coming = deque([reader.submit(_some, read)])
            while some := coming.popleft().result():
                coming.append(reader.submit(_some, read))
                yield from some
        finally:
            reader.shutdown(cancel_futures=True)


def _some(read: Iterator[_Read]) -> list[_Read]:
    """What comes next, `AHEAD` bytes or somewhat more; nothing at the end."""
    found, size = list[_Read](), 0
    for each in read:
        found.append(each)
        size += each[0].size
        if size >= AHEAD:
            break
    return found


def length_of(piece: Piece) -> int:
    """In bytes."""
    return piece.length if isinstance(piece, Later) else len(piece)


def _unhashed(data: memoryview) -> None:
    """These formats have no hashes."""


def padding(length: int, alignment: int, fill: bytes = b"\0") -> bytes:
    """What follows `length` bytes, so that the next ones are aligned."""
    return fill * (-length % alignment)


def spread(progress: Progress | None, lengths: Iterable[int]) -> Callable[[int], None]:
    """A function to call with the bytes of each array that was written, which reports them all."""
    total, done = sum(lengths), 0

    def report(length: int) -> None:
        nonlocal done
        done += length
        if progress is not None:
            progress(done, total)

    return report
