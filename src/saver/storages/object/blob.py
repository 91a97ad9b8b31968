"""An object of a bucket, opened for reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from saver import forks
from saver.disk.mapped import Copy
from saver.errors import DamagedError
from saver.storage import ALIGNMENT, Blob
from saver.threads import Threads

FIRST = 256 << 10
"""The bytes that are fetched when an object is opened: all of a small version, and the header of most packs.
At 100 MB/s they take 2.6 ms, a twentieth of what a call takes."""

PIECE = 4 << 20
"""A longer range is fetched in pieces of this size at the same time."""

GAP = 256 << 10
"""Ranges that are no farther apart are fetched as one."""

TOGETHER = 16
"""The most ranges that are fetched at the same time."""

Get: TypeAlias = Callable[[Sequence[int], Sequence[int]], Sequence["bytes | memoryview"]]
"""Gets ranges (starts and ends) of an object at the same time."""


class ObjectBlob(Blob):
    """An object whose first bytes are here, and whose others `get` gets."""

    fetchers = TOGETHER

    def __init__(self, name: str, size: int, first: bytes, get: Get) -> None:
        self.name = name
        self.size = size
        self._first = first
        self._get = get
        self._copy: Copy | None = None
        self._begin()
        forks.begin_anew(self, ObjectBlob._begin)

    def _begin(self) -> None:
        self._lock = Lock()

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        stop = self.size if end is None else min(end, self.size)
        if start >= stop:
            return b""
        if stop <= len(self._first):
            return self._first[start:stop]
        return b"".join(self._parts(start, stop))

    def _parts(self, start: int, end: int) -> Sequence[bytes | memoryview]:
        starts = range(start, end, PIECE)
        ends = [min(at + PIECE, end) for at in starts]
        found = [memoryview(each) for each in self._get(starts, ends)]
        if [len(each) for each in found] != [stop - at for at, stop in zip(starts, ends, strict=True)]:
            raise DamagedError(
                f"{self.name} was cut off or replaced while it was read; restore it from a copy"
            )
        return found

    def map(self) -> NDArray[np.uint8]:
        return self._mapped().memory

    def _mapped(self) -> Copy:
        with self._lock:
            if self._copy is None:
                copy = Copy(self.size)
                first = len(self._first)
                copy.fill(
                    0, first if first == self.size else first // ALIGNMENT * ALIGNMENT, self._from_first
                )
                self._copy = copy
            return self._copy

    def _from_first(self, start: int, end: int, memory: memoryview) -> None:
        memory[:] = self._first[start:end]

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self._mapped().fill(start, end, self._fill)

    def _fill(self, start: int, end: int, memory: memoryview) -> None:
        at = 0
        for part in self._parts(start, end):
            memory[at : at + len(part)] = part
            at += len(part)

    def fetch_many(self, ranges: Sequence[tuple[int, int]], scratch: memoryview) -> None:
        found = merged(ranges)
        if len(found) <= 1:
            for start, end in found:
                self.fetch(start, end, scratch)
            return
        with Threads(min(len(found), TOGETHER)) as threads:
            for each in [threads.submit(self.fetch, start, end, scratch) for start, end in found]:
                each.result()

    def near(self, start: int, end: int) -> bool:
        return end <= len(self._first)


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges in order, those with small gaps between them as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start - found[-1][1] <= GAP:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
