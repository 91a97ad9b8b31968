"""Files made of pieces whose lengths are known, written in order with little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from saver.pack.ring import write_through_ring
from saver.storage import ALIGNMENT, Content, Progress, Sink
from saver.tensors import Bytes

PIECE = 4 << 20

SMALL = 8 << 20
"""Bytes from which on it pays to write past the page cache, on several threads."""


class Later(NamedTuple):
    """Bytes that are read when they are written: `length` of them. `done` is called once they are."""

    length: int
    read: Callable[[], Bytes]
    done: Callable[[], None]


Piece: TypeAlias = bytes | Later


class Streamed(Content):
    """A file of these pieces. If the first one is as long as `ALIGNMENT` wants, the others are written past
    the page cache."""

    def __init__(self, pieces: Sequence[Piece], progress: Progress | None = None) -> None:
        self._pieces = pieces
        self._progress = progress
        self.size = sum(map(_length, pieces))

    def pieces(self) -> Iterator[bytes | memoryview]:
        done = 0
        for data in _each(self._pieces):
            for at in range(0, data.size, PIECE):
                yield data[at : at + PIECE].data
            done += data.size
            if self._progress is not None:
                self._progress(done, self.size)

    def write(self, sink: Sink) -> None:
        first = _length(self._pieces[0]) if self._pieces else 0
        if first % ALIGNMENT or self.size - first < SMALL:
            super().write(sink)
            return
        rest = _each(self._pieces[1:])
        write_through_ring(sink, rest, _unhashed, first, self.size, self._progress)
        sink.write(_bytes(self._pieces[0]).data, 0)


def _each(pieces: Sequence[Piece]) -> Iterator[Bytes]:
    """The bytes of the pieces. Those of one are no longer used when the next is requested."""
    for piece in pieces:
        yield _bytes(piece)
        if isinstance(piece, Later):
            piece.done()


def _length(piece: Piece) -> int:
    return piece.length if isinstance(piece, Later) else len(piece)


def _bytes(piece: Piece) -> Bytes:
    if not isinstance(piece, Later):
        return np.frombuffer(piece, np.uint8)
    found = piece.read()
    if found.size != piece.length:
        raise AssertionError(f"{found.size} bytes came where {piece.length} were planned")
    return found


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
