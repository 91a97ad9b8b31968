"""The bytes of an object in memory, as far as they were requested."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Condition

import numpy as np
from numpy.typing import NDArray

from saver.forks import begin_anew
from saver.memory import HUGE_PAGE, huge_pages
from saver.storage import ALIGNMENT, Bring

GAP = 256 << 10
"""Ranges that are no farther apart are fetched as one."""


class Copy:
    """A file's bytes in memory of its own, as far as they were requested: where most of it will be written,
    and where a mapped file can be neither replaced nor deleted (Windows). What is there is not read again,
    since its user may have changed it.

    Raises MemoryError if there is not that much.
    """

    def __init__(self, size: int) -> None:
        self.memory: NDArray[np.uint8] = huge_pages(size) if size >= HUGE_PAGE else np.empty(size, np.uint8)
        pages = -(-size // ALIGNMENT)
        self._there = np.zeros(pages, np.bool_)
        self.foreign = np.zeros(pages, np.bool_)
        """The pages that came from elsewhere than from the file itself."""
        self._begin()
        begin_anew(self, Copy._begin)

    def _begin(self) -> None:
        """Have no thread reading: after a fork there is none."""
        self._changed = Condition()
        self._claimed = self._there.copy()

    def fill(self, start: int, end: int, bring: Bring, foreign: bool = False) -> None:
        """Have `bring` put the pages of this range that are missing into their places, each in one thread.
        Waits for those that another thread brings. `foreign` ones do not come from the file itself."""
        pages = _pages(start, end)
        while True:
            missing = np.empty(0, np.intp)
            try:
                with self._changed:
                    missing = pages.start + np.flatnonzero(~self._claimed[pages])
                    self._claimed[missing] = True
                for run in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
                    if run.size:
                        first = int(run[0]) * ALIGNMENT
                        last = min((int(run[-1]) + 1) * ALIGNMENT, len(self.memory))
                        bring(first, last, self.memory.data[first:last])
                        if foreign:
                            self.foreign[run] = True
                        self._there[run] = True
            finally:
                with self._changed:
                    self._claimed[missing] = self._there[missing]
                    self._changed.notify_all()
            with self._changed:
                while (self._claimed[pages] & ~self._there[pages]).any():
                    self._changed.wait()
                if self._there[pages].all():
                    return  # otherwise another thread failed to read some of it

    def replace(self, ranges: Sequence[tuple[int, int]], bring: Bring) -> bool:
        """Whether some of these ranges, which are there, have foreign pages: then `bring` puts what the file
        itself has into the place of their bytes, and of no others."""
        wrong = [each for each in ranges if self.foreign[_pages(*each)].any()]
        for start, end in merged(wrong):
            first = start // ALIGNMENT * ALIGNMENT
            last = min(-(-end // ALIGNMENT) * ALIGNMENT, len(self.memory))
            data = np.empty(last - first, np.uint8)
            bring(first, last, data.data)
            for one, other in wrong:
                if start <= one and other <= end:
                    self.memory[one:other] = data[one - first : other - first]
        return bool(wrong)


def _pages(start: int, end: int) -> slice:
    return slice(start // ALIGNMENT, -(-end // ALIGNMENT))


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges in order, those with small gaps between them as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start - found[-1][1] <= GAP:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
