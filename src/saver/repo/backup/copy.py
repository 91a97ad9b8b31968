"""The copy of a store: whether a storage holds one, its records, and what it no longer needs."""

from __future__ import annotations

import os

from blake3 import blake3

from saver.errors import CannotWriteError, DamagedError
from saver.repo import document
from saver.repo.format import STORE_KEY, Format, read_format
from saver.repo.log import ZERO, Log, log_key
from saver.repo.objects import collectables, is_own, own, pack_key
from saver.repo.repository import Repository
from saver.repo.state.needs import pack_in
from saver.storage import Bytes, Storage

MARKS_LEFT = 3600.0
"""Seconds after which a mark beside an object belongs to no backup that is under way."""


class Copy:
    """The copy of the store `repo` in a storage. Beside an object that was not found sound yet is a marker:
    see `marker`."""

    def __init__(self, repo: Repository, storage: Storage) -> None:
        self._repo, self.storage = repo, storage
        self.log = Log(storage)
        self._now = 0.0
        """When the backup began, by the clock of the storage."""

    def agreed(self) -> int:
        """The number of its last record. Raises CannotWriteError unless it is a copy of this store."""
        repo, storage = self._repo, self.storage
        if storage.is_inside(repo.storage):
            raise self._refused("it is inside of the store")
        try:
            found = read_format(storage)
        except DamagedError:  # while the records of a first backup are written
            found = None
        if found is not None and found.id != repo.format().id:
            raise self._refused("it is another store, or a copy of another one")
        foreign = next((key for key in storage.keys("") if not is_own(key)), None) if found is None else None
        if foreign is not None:
            raise self._refused(f"it is not a store, and holds other files: {foreign}")
        head = self.log.head()
        if head > repo.state.head:
            raise self._refused(f"it has {head:,} records, and the store {repo.state.head:,}")
        if head and storage.read(log_key(head)) != repo.storage.read(log_key(head)):
            raise self._refused(f"{log_key(head)} is another record there: somebody wrote to it")
        self._demand_apart()
        return head

    def _refused(self, why: str) -> CannotWriteError:
        return CannotWriteError(
            f"{self.storage} is not a copy of {self._repo.storage}: {why}; nothing was changed; name another "
            "place, which may be new"
        )

    def _demand_apart(self) -> None:
        """Raise CannotWriteError if both are the same place, under whatever names."""
        key = f"clock/{os.urandom(16).hex()}"
        self.storage.put(key, Bytes(b""))
        try:
            same = self._repo.storage.stat(key) is not None
            stat = self.storage.stat(key)
            self._now = stat.time if stat is not None else 0.0
        finally:
            self.storage.delete(key)
        if same:
            raise CannotWriteError(
                f"{self.storage} is {self._repo.storage} itself; nothing was copied; name another place"
            )

    def has(self, key: str) -> bool:
        """Whether it has an object, and it was sound when it was copied."""
        found = self.storage.stat(key)
        return found is not None and self.storage.stat(marker(key)) is None

    def write_records(self, head: int, upto: int) -> int:
        """Copy the records after `head`, in order. Until the last one is written, the copy may still lack
        versions of the store."""
        source = self._repo.storage
        if not head:
            self.storage.probe()
        previous = self.log.read(head)[1] if head else ZERO
        for number, data in self._repo.state.log.bytes_on(head + 1, upto):
            record, digest = self._repo.state.log.decoded(number, data)  # these very bytes
            if record.previous != previous:
                raise DamagedError(
                    f"{source}: {log_key(number)} does not follow the record before it; the copy ends "
                    "there; run `saver check`"
                )
            if not self.storage.create(log_key(number), data) and self.storage.read(log_key(number)) != data:
                raise self._refused(f"{log_key(number)} is another record there: somebody wrote to it")
            if self.storage.read(log_key(number)) != data:
                raise CannotWriteError(
                    f"{self.storage}: {log_key(number)} is not what was written; check that disk"
                )
            previous = digest
        data = source.read(STORE_KEY)
        document.decode(data, Format, f"{source}: {STORE_KEY}")  # these very bytes
        self.storage.create(STORE_KEY, data)
        return upto - head

    def remove_condemned(self, needed: set[str], lost: set[str]) -> int:
        """Delete what its own records condemn: no version will ever need it, but for packs whose
        bytes were moved to one that is `lost`, and may be whole there."""
        state, removed = self._repo.state, list[str]()
        head = self.log.head()
        for found in list(collectables(self.storage)):
            number = state.gone(found.key)
            if number is None or number > head or found.key in needed:
                continue
            if not lost or lost.isdisjoint(map(pack_key, self._repo.extents.reached([pack_in(found.key)]))):
                removed.append(found.key)
        self.storage.delete(*removed)
        return len(removed)

    def remove_left(self, markers: set[str]) -> None:
        """Delete the marks that backups left which were killed, once they are an hour old. `markers` say
        that an object is damaged still."""
        left = [each for each in own(self.storage, "clock/") if each.key not in markers]
        stats = ((each.key, each.stat or self.storage.stat(each.key)) for each in left)
        self.storage.delete(*(key for key, its in stats if its and self._now - its.time > MARKS_LEFT))


def marker(key: str) -> str:
    """The key of the marker beside an object in a copy that has not been found sound yet. It is made of the
    whole key: a store that somebody made may have a pack whose name is the beginning of a manifest's."""
    return f"clock/{blake3(key.encode()).hexdigest()[:32]}"
