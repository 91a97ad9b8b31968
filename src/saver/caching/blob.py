"""A pack that is far away, and of which some bytes may be here."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.caching.folder import opened, runs
from saver.disk.copied import CopiedBlob
from saver.errors import DamagedError
from saver.storage import ALIGNMENT, Blob


def kept(store: str, pack: str, blob: Blob) -> Blob:
    """A pack, opened for reading, of the store with this id: if calls to its storage are slow, with those
    bytes that were kept here. No other pack has its name, and it never changes."""
    if not blob.fetchers or blob.near(0, blob.size):
        return blob
    cache = opened()
    name = blake3(f"{store}/{pack}".encode(errors="surrogatepass")).hexdigest()
    return CachedBlob(blob, cache, name) if cache.limit else blob


class Pages(Protocol):
    """Where pages of packs are kept."""

    def read(self, name: str, start: int, memory: memoryview) -> NDArray[np.bool_]:
        """Fill memory with the pages that are here of a pack, from `start`, where a page begins; says of each
        whether it was here."""

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Keep pages of a pack, from `start`, where a page begins; only the pack's last may be shorter."""


class CachedBlob(CopiedBlob):
    """An object whose bytes come from the cache if it has them, and else from `blob`, and are kept then."""

    def __init__(self, blob: Blob, cache: Pages, name: str) -> None:
        super().__init__(blob.name, blob.size)
        self.fetchers = blob.fetchers
        self._blob = blob
        self._cache = cache
        self._name = name

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Of the object itself: nobody would say that these bytes are wrong."""
        return self._blob.read(start, end)

    def read_into(self, start: int, memory: memoryview) -> int:
        """With bytes that were kept: who calls this finds out if they are wrong, and calls `anew`."""
        end = min(start + len(memory), self.size)
        if start % ALIGNMENT or start >= end:
            return super().read_into(start, memory)
        self._fill(start, end, memory[: end - start])
        return end - start

    def near(self, start: int, end: int) -> bool:
        return False

    def _fill(self, start: int, end: int, memory: memoryview) -> None:
        if self._blob.near(start, end):
            memory[:] = self._fetched(start, end)
            return
        there = self._cache.read(self._name, start, memory)
        first = start // ALIGNMENT
        self._mapped().foreign[first : first + len(there)] = there
        for one, other in runs(~there):
            at, stop = one * ALIGNMENT, min(other * ALIGNMENT, len(memory))
            memory[at:stop] = self._fetched(start + at, start + stop)
            self._cache.write(self._name, start + at, memory[at:stop])

    def _fetched(self, start: int, end: int) -> bytes:
        found = self._blob.read(start, end)
        if len(found) != end - start:
            raise DamagedError(
                f"{self.name} was cut off or replaced while it was read; restore it from a copy"
            )
        return found

    def _fill_anew(self, start: int, end: int, memory: memoryview) -> None:
        memory[:] = self._fetched(start, end)
        self._cache.write(self._name, start, memory)
