"""A blob whose bytes come from elsewhere, into memory of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from saver import forks
from saver.disk.mapped import Copy
from saver.storage import Blob
from saver.threads import Threads

GAP = 256 << 10
"""Ranges that are no farther apart are fetched as one."""

TOGETHER = 16
"""The most ranges that are fetched at the same time."""


class CopiedBlob(Blob):
    """An object of which what was requested is in memory; `_fill` brings it there."""

    _copy: Copy | None = None

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._begin()
        forks.begin_anew(self, CopiedBlob._begin)

    def _begin(self) -> None:
        self._lock = Lock()

    @abstractmethod
    def _fill(self, start: int, end: int, memory: memoryview) -> None:
        """Bring a range, which begins with a page of `ALIGNMENT` bytes, into memory."""

    def _begun(self) -> Copy:
        """The memory, before anything was fetched."""
        return Copy(self.size)

    def map(self) -> NDArray[np.uint8]:
        return self._mapped().memory

    def _mapped(self) -> Copy:
        with self._lock:
            if self._copy is None:
                self._copy = self._begun()
            return self._copy

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self._mapped().fill(start, end, self._fill)

    def fetch_many(self, ranges: Sequence[tuple[int, int]], scratch: memoryview) -> None:
        found = merged(ranges)
        if len(found) <= 1:
            for start, end in found:
                self.fetch(start, end, scratch)
            return
        with Threads(min(len(found), TOGETHER)) as threads:
            for each in [threads.submit(self.fetch, start, end, scratch) for start, end in found]:
                each.result()


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges in order, those with small gaps between them as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start - found[-1][1] <= GAP:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
