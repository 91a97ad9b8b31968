"""A store as a hub has it, with what is to be added: its objects come when they are read, and what is put is
kept on this machine until it is sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from heapq import merge
from threading import RLock
from typing import TypeVar

from saver.admission import into_hub
from saver.errors import CannotWriteError, NotFoundError
from saver.repo.manifest import manifest_key
from saver.repo.objects import pack_key, tree_key
from saver.repo.repository import Repository
from saver.storage import Blob, Content, Listed, Stat, Storage
from saver.storages._keys import checked, checked_prefix
from saver.storages._together import together
from saver.storages.local import LocalStorage
from saver.storages.sealed import SealedStorage

T = TypeVar("T")

LEFT_BEHIND = ("state/", "clock/")
"""The prefixes of what only saves time, or is of one machine: it is not sent, and not read."""


class Snapshot(Storage):
    """The objects that a hub has, whose sizes are `there`, and those that were put since.

    `fetch` gives the content of one, which raises DamagedError if its bytes are not those that were sent.
    `folder` is a folder of this machine that nobody else uses; what is put goes to `added` in it.
    """

    def __init__(
        self, address: str, there: Mapping[str, int], fetch: Callable[[str], Content], folder: str,
        added: str = "added",
    ) -> None:  # fmt: skip
        self._address = address
        self._there = there
        self._fetch = fetch
        self._fetched = LocalStorage(os.path.join(folder, "fetched"))
        self.added = LocalStorage(os.path.join(folder, added))
        self._locks: dict[str, RLock] = {}

    def __str__(self) -> str:
        return self._address

    def ways_in(self) -> str:
        """Nobody is added to what was sent: another tag is sealed anew."""
        host, slash, name = self._address.rpartition("/")
        return into_hub(f"{host}{slash}{name.partition('@')[0].partition(':')[0]}:OTHER_TAG")

    def path(self, key: str) -> str:
        """The file of an object that was put."""
        return os.path.join(str(self.added), *key.split("/"))

    def put(self, key: str, content: Content) -> None:
        if key in self._there:
            raise CannotWriteError(f"{self._address}/{key}: this object exists already; it was not changed")
        self.added.put(key, content)

    def create(self, key: str, data: bytes) -> bool:
        return key not in self._there and self.added.create(key, data)

    def open(self, key: str) -> Blob:
        if checked(key) not in self._there:
            return self.added.open(key)
        with self._locks.setdefault(key, RLock()):  # no object is fetched twice at once
            with suppress(NotFoundError):
                return self._fetched.open(key)
            self._fetched.put(key, self._fetch(key))
            return self._fetched.open(key)

    def stat(self, key: str) -> Stat | None:
        size = self._there.get(checked(key))
        return self.added.stat(key) if size is None else Stat(size, 0.0)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        checked_prefix(prefix)
        keys = sorted(key for key in self._there if key.startswith(prefix) and key > after)
        theirs = (Listed(key, Stat(self._there[key], 0.0)) for key in keys)
        return merge(theirs, self.added.list(prefix, after), key=lambda listed: listed.key)

    def delete(self, *keys: str) -> None:
        kept = [key for key in keys if checked(key) in self._there]
        self.added.delete(*(key for key in keys if key not in self._there))
        if kept:
            raise CannotWriteError(f"{self._address}: what was sent there cannot be deleted: {kept[0]}")

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        return together(asks)


def to_send(repo: Repository, snapshot: Snapshot) -> list[str]:
    """The keys of what was added and is needed, as they are stored, records last. An interrupted save may
    have left more."""
    found = dict[str, None]()
    for model, _ in repo.models():
        for version in repo.versions(model):
            found |= dict.fromkeys(map(pack_key, version.packs)) | dict.fromkeys(map(tree_key, version.trees))
            found[manifest_key(version.manifest, version.file)] = None
    added = {listed.key for listed in snapshot.added.list("")}
    names = repo.storage.mask if isinstance(repo.storage, SealedStorage) else None
    stored = found if names is None else map(names.sealed, found)
    first = [key for key in stored if key in added]
    return [*first, *sorted(key for key in added if key.startswith(("store.json", "keys/", "log/")))]
