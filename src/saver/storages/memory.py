"""Objects in memory: for tests, and for data that need not last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from saver.errors import CannotWriteError, NotFoundError
from saver.storage import Blob, Content, Listed, Stat, Storage
from saver.storages._keys import check_size, checked, checked_prefix

SCHEME = "memory://"


class MemoryStorage(Storage):
    """Objects that last as long as the process. `clock` gives their times, which never go backwards.

    It takes the bytes of an object in order, as clients of object stores do. Threads may share it: each
    change is one operation of a dict, so that there is no lock which an interrupt could leave locked.
    """

    def __init__(self, name: str = "", clock: Callable[[], float] = time.time) -> None:
        self._address = f"{SCHEME}{name}"
        self._clock = clock
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._last = 0.0

    def __str__(self) -> str:
        return self._address

    def put(self, key: str, content: Content) -> None:
        data = b"".join(content.pieces())
        check_size(key, len(data), content)
        if not self._add(checked(key), data):
            raise CannotWriteError(f"{self._where(key)}: this object exists already; it was not changed")

    def replace(self, key: str, content: Content) -> None:
        data = b"".join(content.pieces())
        check_size(key, len(data), content)
        self._last = max(self._last, self._clock())
        self._objects[checked(key)] = data, self._last

    def create(self, key: str, data: bytes) -> bool:
        return self._add(checked(key), bytes(data))

    def _add(self, key: str, data: bytes) -> bool:
        self._last = max(self._last, self._clock())
        new = data, self._last
        return self._objects.setdefault(key, new) is new

    def open(self, key: str) -> Blob:
        found = self._objects.get(checked(key))
        if found is None:
            raise NotFoundError(f"{self._where(key)}: there is no such object")
        return MemoryBlob(self._where(key), found[0])

    def stat(self, key: str) -> Stat | None:
        found = self._objects.get(checked(key))
        return None if found is None else Stat(len(found[0]), found[1])

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        checked_prefix(prefix)
        found = [item for item in [*self._objects.items()] if item[0].startswith(prefix) and item[0] > after]
        found.sort(key=itemgetter(0))
        return (Listed(key, Stat(len(data), time)) for key, (data, time) in found)

    def delete(self, *keys: str) -> None:
        for key in map(checked, keys):
            self._objects.pop(key, None)

    def copy(self) -> MemoryStorage:
        """Another storage with the same objects, as of now. Later changes to one do not affect the other.

        It costs no more than copying a dict of the keys, since the bytes are shared: a test may start from
        the same large store a thousand times.
        """
        found = MemoryStorage(self._address.removeprefix(SCHEME), self._clock)
        found._objects, found._last = dict(self._objects), self._last
        return found

    def _where(self, key: str) -> str:
        return f"{self._address}/{key}"


class MemoryBlob(Blob):
    """Bytes that are in memory already."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.size = len(data)
        self._data = data
        self._maps: dict[int, NDArray[np.uint8]] = {}

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return self._data[start:end]

    def map(self) -> NDArray[np.uint8]:
        if not self._maps:
            self._maps.setdefault(0, np.frombuffer(self._data, np.uint8).copy())
        return self._maps[0]

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        """Nothing to do: all bytes are in memory."""

    def near(self, start: int, end: int) -> bool:
        return True


_STORES: dict[str, MemoryStorage] = {}


def open_storage(address: str) -> Storage:
    """The storage `memory://name` of this process, which is created on first use."""
    name = address.removeprefix(SCHEME).strip("/")
    return _STORES.setdefault(name, MemoryStorage(name))
