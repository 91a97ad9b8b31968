"""A storage around another one: every call goes through one method."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from saver.storage import Blob, Bring, Content, Listed, Stat, Storage

T = TypeVar("T")


class WrappedStorage(Storage):
    """Does what another storage does. Every call passes through `call`, with the name of its method."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.far = storage.far

    @abstractmethod
    def call(self, name: str, act: Callable[[], T]) -> T:
        """Return the result of `act`, which calls the method of this name. `read` and `fetch` of blobs are
        such calls, too; so is `fetch_many`, as one `fetch`."""

    def __str__(self) -> str:
        return str(self.storage)

    def probe(self) -> None:
        self.storage.probe()

    def put(self, key: str, content: Content) -> None:
        self.call("put", lambda: self.storage.put(key, content))

    def replace(self, key: str, content: Content) -> None:
        self.call("put", lambda: self.storage.replace(key, content))

    def create(self, key: str, data: bytes) -> bool:
        return self.call("create", lambda: self.storage.create(key, data))

    def open(self, key: str) -> Blob:
        return _WrappedBlob(self.call("open", lambda: self.storage.open(key)), self)

    def stat(self, key: str) -> Stat | None:
        return self.call("stat", lambda: self.storage.stat(key))

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self.call("list", lambda: self.storage.list(prefix, after))

    def delete(self, *keys: str) -> None:
        self.call("delete", lambda: self.storage.delete(*keys))

    def read(self, key: str) -> bytes:
        return self.call("read", lambda: self.storage.read(key))

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return self.call("list", lambda: self.storage.keys(prefix, after))


class _WrappedBlob(Blob):
    def __init__(self, blob: Blob, storage: WrappedStorage) -> None:
        self.name = blob.name
        self.size = blob.size
        self.fetchers = blob.fetchers
        self._blob = blob
        self._call = storage.call

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        if self.near(start, self.size if end is None else end):
            return self._blob.read(start, end)
        return self._call("read", lambda: self._blob.read(start, end))

    def map(self) -> NDArray[np.uint8]:
        return self._blob.map()

    def own(self) -> None:
        self._blob.own()

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self._call("fetch", lambda: self._blob.fetch(start, end, scratch))

    def fetch_many(self, ranges: Sequence[tuple[int, int]], scratch: memoryview) -> None:
        self._call("fetch", lambda: self._blob.fetch_many(ranges, scratch))

    def receive(self, start: int, end: int, bring: Bring) -> bool:
        return self._blob.receive(start, end, bring)

    def anew(self, ranges: Sequence[tuple[int, int]]) -> bool:
        return self._blob.anew(ranges)

    def near(self, start: int, end: int) -> bool:
        return self._blob.near(start, end)
