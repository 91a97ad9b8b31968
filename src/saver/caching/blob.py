"""A pack that is far away, and of which some bytes may be here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from blake3 import blake3

from saver.caching.folder import Cache, opened, runs
from saver.disk.copied import CopiedBlob, merged
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


class CachedBlob(CopiedBlob):
    """An object whose bytes come from the cache if it has them, and else from `blob`, and are kept then."""

    def __init__(self, blob: Blob, cache: Cache, name: str) -> None:
        super().__init__(blob.name, blob.size)
        self.fetchers = blob.fetchers
        self._blob = blob
        self._cache = cache
        self._name = name
        self._trusted = np.ones(-(-blob.size // ALIGNMENT), np.bool_)
        """The pages that came from the object itself, or did not come yet."""

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Of the object itself: nobody would say that these bytes are wrong."""
        return self._blob.read(start, end)

    def near(self, start: int, end: int) -> bool:
        return False

    def _fill(self, start: int, end: int, memory: memoryview) -> None:
        if self._blob.near(start, end):
            memory[:] = self._fetched(start, end)
            return
        there = self._cache.read(self._name, start, memory)
        first = start // ALIGNMENT
        self._trusted[first : first + len(there)] = ~there
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

    def anew(self, ranges: Sequence[tuple[int, int]]) -> bool:
        """Fetch ranges of which bytes came from the cache, and replace those there."""
        wrong = [each for each in ranges if not self._trusted[_pages(*each)].all()]
        memory = self.map()
        for start, end in merged(wrong):
            first, last = start // ALIGNMENT * ALIGNMENT, min(-(-end // ALIGNMENT) * ALIGNMENT, self.size)
            data = np.frombuffer(self._fetched(first, last), np.uint8)
            for one, other in wrong:
                if start <= one and other <= end:
                    memory[one:other] = data[one - first : other - first]
            self._cache.write(self._name, first, data.data)
        return bool(wrong)


def _pages(start: int, end: int) -> slice:
    return slice(start // ALIGNMENT, -(-end // ALIGNMENT))
