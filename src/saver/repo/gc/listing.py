"""The objects that a collection has seen."""

from __future__ import annotations

from functools import cached_property

from saver.repo.objects import collectables
from saver.storage import Stat, Storage


class Listing:
    """Objects of a store with their sizes and times, which do not change: from a listing or asked for."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.keys: list[str] = []
        self._stats: dict[str, Stat | None] = {}

    def read(self) -> None:
        """List all objects that may be collected. Raises DamagedError if something is in the place of one."""
        for found in collectables(self._storage):
            self.keys.append(found.key)
            if found.stat is not None:
                self._stats[found.key] = found.stat

    @cached_property
    def all(self) -> set[str]:
        """The keys of all listed objects."""
        return set(self.keys)

    def stat(self, key: str) -> Stat | None:
        """Size and time of an object, from the listing or else from one call."""
        if key not in self._stats:
            self._stats[key] = self._storage.stat(key)
        return self._stats[key]

    def size(self, *keys: str) -> int:
        """Bytes of these objects; those that do not exist have none."""
        return sum(stat.size for key in keys if (stat := self.stat(key)) is not None)
