"""An object of a bucket, opened for reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from saver.disk.copied import TOGETHER, CopiedBlob
from saver.disk.copy import Copy
from saver.errors import DamagedError
from saver.storage import ALIGNMENT

FIRST = 256 << 10
"""The bytes that are fetched when an object is opened: all of a small version, and the header of most packs.
At 100 MB/s they take 2.6 ms, a twentieth of what a call takes."""

PIECE = 4 << 20
"""A longer range is fetched in pieces of this size at the same time."""
AT_ONCE = 64
"""Pieces that are requested at the same time."""

Get: TypeAlias = Callable[[Sequence[int], Sequence[int]], Sequence["bytes | memoryview"]]
"""Gets ranges (starts and ends) of an object at the same time."""


class ObjectBlob(CopiedBlob):
    """An object whose first bytes are here, and whose others `get` gets."""

    fetchers = TOGETHER

    def __init__(self, name: str, size: int, first: bytes, get: Get) -> None:
        super().__init__(name, size)
        self._first = first
        self._get = get

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        stop = self.size if end is None else min(end, self.size)
        if start >= stop:
            return b""
        if stop <= len(self._first):
            return self._first[start:stop]
        return b"".join(self._parts(start, stop))

    def _parts(self, start: int, end: int) -> Iterator[memoryview]:
        """The pieces of a range, many at the same time: no more than `AT_ONCE`, as an object need not have
        the bytes that its server says."""
        for first in range(start, end, AT_ONCE * PIECE):
            starts = range(first, min(first + AT_ONCE * PIECE, end), PIECE)
            ends = [min(at + PIECE, end) for at in starts]
            found = [memoryview(each) for each in self._get(starts, ends)]
            if [len(each) for each in found] != [stop - at for at, stop in zip(starts, ends, strict=True)]:
                raise DamagedError(
                    f"{self.name} was cut off or replaced while it was read; restore it from a copy"
                )
            yield from found

    def _begun(self) -> Copy:
        copy = super()._begun()
        first = len(self._first)
        copy.fill(0, first if first == self.size else first // ALIGNMENT * ALIGNMENT, self._from_first)
        return copy

    def _from_first(self, start: int, end: int, memory: memoryview) -> None:
        memory[:] = self._first[start:end]

    def _fill(self, start: int, end: int, memory: memoryview) -> None:
        at = 0
        for part in self._parts(start, end):
            memory[at : at + len(part)] = part
            at += len(part)

    def near(self, start: int, end: int) -> bool:
        return end <= len(self._first)
