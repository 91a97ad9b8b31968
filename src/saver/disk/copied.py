"""A blob whose bytes come from elsewhere, into memory of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from saver import forks
from saver.disk.copy import Copy, merged
from saver.storage import Blob, Bring
from saver.threads import Threads

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

    def receive(self, start: int, end: int, bring: Bring) -> bool:
        self._mapped().fill(start, end, bring, foreign=True)
        return True

    def anew(self, ranges: Sequence[tuple[int, int]]) -> bool:
        return self._mapped().replace(ranges, self._fill_anew)

    def _fill_anew(self, start: int, end: int, memory: memoryview) -> None:
        """As `_fill`, from the object itself."""
        self._fill(start, end, memory)
