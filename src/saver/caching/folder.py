"""The folder of the cache: pieces of packs in files, of which those that were used last stay."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from saver.caching.private import entered, existing, filled, freed, listed, made, written
from saver.disk.files import FILES, Files, Inside
from saver.logger import logger
from saver.storage import ALIGNMENT

VARIABLE = "SAVER_CACHE_BYTES"

LARGEST = 10_000_000_000
"""Bytes that are kept by default, or a tenth of the disk, if that is less."""

SEGMENT = 64 << 20
"""Bytes of a pack that share a file, which goes as a whole."""

PAGES = SEGMENT // ALIGNMENT
START = ALIGNMENT + PAGES
"""Where the bytes begin in a file: after a page whose first byte is written when the file is used, which
moves its time, and one byte for each page that says whether it is there."""

PAUSE = 60.0
"""Seconds to do without the cache after the system refused something; and how long a file counts as just
used."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([KMGT]?)B?", re.IGNORECASE)
_NAME = re.compile(r"[0-9a-f]{64}-[0-9]{1,12}")


def cache_folder() -> str:
    """The folder of all that Saver keeps to save time: `$SAVER_CACHE`, else in the XDG folder for caches."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get("SAVER_CACHE") or os.path.join(home, "saver")


def opened() -> Cache:
    """The cache as the environment has it. Raises ValueError if the size that it names is invalid."""
    text = os.environ.get(VARIABLE, "").strip()
    found = _SIZE.fullmatch(text or "0")
    if found is None:
        raise ValueError(f"{VARIABLE} is {text[:80]!r}; write a size, as in 20GB, or 0 for no cache")
    wanted = int(float(found[1]) * _UNITS[found[2].upper()]) if text else None
    return _cache(os.path.join(os.path.abspath(cache_folder()), "packs"), wanted)


@lru_cache(16)
def _cache(folder: str, limit: int | None) -> Cache:
    """One for each folder, so that this process says once what is wrong with it."""
    return Cache(folder, _usual(folder) if limit is None else limit)


def _usual(folder: str) -> int:
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    try:
        return min(LARGEST, shutil.disk_usage(folder).total // 10)
    except OSError:
        return LARGEST


class Cache:
    """At most about `limit` bytes of packs, in a folder that only this user may enter. Any number of threads
    and processes may use it, and delete it.

    `trouble` says why nothing is kept, if the system refuses it. No method raises an error then: what was not
    kept is not there.
    """

    def __init__(self, folder: str, limit: int, files: Files = FILES) -> None:
        self.folder = folder
        self.limit = limit
        self.trouble = ""
        self._files = files
        self._again = 0.0
        self._since = limit  # so that the first write looks at what others left
        self._used: dict[str, float] = {}

    def read(self, name: str, start: int, memory: memoryview) -> NDArray[np.bool_]:
        """Fill memory with the pages that are here of a pack, from `start`, where a page begins; says of each
        whether it was here."""
        there = np.zeros(-(-len(memory) // ALIGNMENT), np.bool_)
        for segment, within, at, size in _segments(start, len(memory)):
            pages = there[at // ALIGNMENT : -(-(at + size) // ALIGNMENT)]
            with self._trying(), entered(self._files, self.folder) as folder:
                place = Inside(folder, f"{name}-{segment}")
                file = existing(self._files, place)
                try:
                    self._read(file, within, memory[at : at + size], pages)
                    self._touch(file, place.name)
                finally:
                    self._files.close(file)
        return there

    def _read(self, file: int, within: int, memory: memoryview, pages: NDArray[np.bool_]) -> None:
        marks = np.zeros(len(pages), np.uint8)
        filled(self._files, file, ALIGNMENT + within // ALIGNMENT, marks.data)
        for first, last in runs(marks == 1):
            piece = memory[first * ALIGNMENT : last * ALIGNMENT]
            pages[first:last] = filled(self._files, file, START + within + first * ALIGNMENT, piece)

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Keep pages of a pack, from `start`, where a page begins; only the pack's last may be shorter."""
        for segment, within, at, size in _segments(start, len(data)):
            if time.monotonic() < self._again:
                return
            with self._trying(), entered(self._files, self.folder, make=True) as folder:
                file = made(self._files, Inside(folder, f"{name}-{segment}"))
                try:
                    written(self._files, file, START + within, data[at : at + size])
                    marks = np.ones(-(-size // ALIGNMENT), np.uint8)
                    written(self._files, file, ALIGNMENT + within // ALIGNMENT, marks.data)
                finally:
                    self._files.close(file)
                self._since += size
                if self._since >= self.limit // 16:
                    self._since = 0
                    self._sweep(folder)

    def _touch(self, file: int, name: str) -> None:
        """Say that a file was used now."""
        now = time.monotonic()
        if now >= self._again and now - self._used.get(name, -PAUSE) >= PAUSE:
            self._used[name] = now
            with suppress(OSError):  # it can be read, and that is enough
                self._files.write(file, memoryview(b"\1"), 0)

    def _sweep(self, folder: int) -> None:
        """Remove the files that were used longest ago, so that there is room for the next ones."""
        found = [(each.st_mtime, name, _size(each)) for name, each in listed(self._files, folder, _NAME)]
        freed(self._files, folder, found, self.limit * 7 // 8)

    def held(self) -> int:
        """How many bytes are kept."""
        with self._trying(), entered(self._files, self.folder) as folder:
            return sum(_size(each) for _, each in listed(self._files, folder, _NAME))
        return 0

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """What the system refuses is said once, and nothing fails."""
        try:
            yield
        except FileNotFoundError:  # nothing was kept, or it was deleted in this moment
            pass
        except OSError as error:
            self._again = time.monotonic() + PAUSE
            before = self.trouble
            self.trouble = (
                f"{self.folder}: bytes of packs are not kept here ({error.strerror or error}), so each load "
                f"fetches them; free some room, set SAVER_CACHE to another folder, or {VARIABLE}=0"
            )
            if not before:
                logger.warning("%s", self.trouble)


def _segments(start: int, size: int) -> Iterator[tuple[int, int, int, int]]:
    """The files that hold `size` bytes from `start`: the number of each, the place in it, the place in these
    bytes, and how many."""
    at = 0
    while at < size:
        segment, within = divmod(start + at, SEGMENT)
        some = min(size - at, SEGMENT - within)
        yield segment, within, at, some
        at += some


def _size(found: os.stat_result) -> int:
    """The bytes that a file takes on the disk: most are sparse."""
    blocks: int | None = getattr(found, "st_blocks", None)
    return found.st_size if blocks is None else 512 * blocks


def runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The starts and ends of the runs of what is marked."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marked, [False]))))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
