"""A storage that fails on demand, in one of the ways in which a storage may fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.errors import CannotWriteError, CommitUnknownError
from saver.storage import Blob, Bring, Content, Listed, Stat, Storage
from saver.testing.faults import Crash, Faults

T = TypeVar("T")


class Call(msgspec.Struct, frozen=True):
    """A call to a storage: the name of a method of `Storage`, and a key, which for `list` is the prefix; or
    `read` or `fetch` of the blob that `open` returned for the key.

    `do` makes the call, and returns its result. `storage` is the storage that is called, without faults.
    """

    name: str
    key: str
    storage: Storage
    do: Callable[[], Any]


class Kind(msgspec.Struct, frozen=True):
    """A way to fail: `strike` replaces a call, and returns what its caller gets, or raises.

    It fits calls with these names, for keys that begin with `below`. A `lasting` kind strikes from then on
    at every call that it fits for the same key. With a Crash the process dies: it does nothing more.
    """

    name: str
    calls: tuple[str, ...]
    strike: Callable[[Call], Any]
    below: str = ""
    lasting: bool = False

    def fits(self, name: str, key: str) -> bool:
        """Whether a call can fail in this way."""
        return name in self.calls and key.startswith(self.below)


class FaultyStorage(Storage, Faults):
    """A storage that counts calls, and fails on demand.

        store = FaultyStorage(MemoryStorage())
        store.fail(3, CannotWriteError("the disk is full"))      # or store.lose(3), or store.crash(3)
        store.strike(3, kind)                               # one of saver.testing.KINDS, or your own

    `create` and `put` count when they are called, not when they are done. `read` and `fetch` of blobs
    count, too: nothing is ever near, so every used range of a map is fetched first. `every_fault` makes
    every call fail in turn, in every way.
    """

    def __init__(self, storage: Storage) -> None:
        Faults.__init__(self)
        self._storage = storage
        self.far = storage.far
        self._kind: Kind | None = None
        self._strikes = 0
        self._key = ""

    def lose(self, at: int) -> None:
        """Make call number `at`, but lose its result: CommitUnknownError."""
        error = CommitUnknownError(f"{self._storage}: the reply was lost; check whether it was done")
        self.fail(at, error, after=True)

    def strike(self, at: int, kind: Kind) -> None:
        """Let call number `at` (the next call is 1) fail in this way."""
        self._kind, self._strikes = kind, len(self.calls) + at

    def mend(self) -> None:
        """Stop failing. A process that died stays dead."""
        self._kind, self._at = None, 0

    def _call(self, name: str, key: str, action: Callable[[], T]) -> T:
        with self._lock:
            kind = self._kind if self._is_struck(name, key) else None
        if kind is None:
            return self._run(f"{name} {key}", action)
        with self._lock:
            self._count(f"{name} {key}")
            self.struck, self._key = True, key
        try:
            result: T = kind.strike(Call(name, key, self._storage, action))
        except Crash:
            self._dead = True
            raise
        return result

    def _is_struck(self, name: str, key: str) -> bool:
        kind = self._kind
        if kind is None or not kind.fits(name, key):
            return False
        again = kind.lasting and self.struck and key == self._key
        return again or len(self.calls) + 1 == self._strikes

    def __str__(self) -> str:
        return str(self._storage)

    def put(self, key: str, content: Content) -> None:
        self._call("put", key, lambda: self._storage.put(key, content))

    def replace(self, key: str, content: Content) -> None:
        self._call("put", key, lambda: self._storage.replace(key, content))

    def create(self, key: str, data: bytes) -> bool:
        return self._call("create", key, lambda: self._storage.create(key, data))

    def open(self, key: str) -> Blob:
        blob = self._call("open", key, lambda: self._storage.open(key))
        return _FaultyBlob(key, blob, self._call)

    def stat(self, key: str) -> Stat | None:
        return self._call("stat", key, lambda: self._storage.stat(key))

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self._call("list", prefix, lambda: self._storage.list(prefix, after))

    def delete(self, *keys: str) -> None:
        """Each key counts as a call, since a storage may fail midway."""
        failed: CannotWriteError | None = None
        for key in keys:
            try:
                self._call("delete", key, partial(self._storage.delete, key))
            except CannotWriteError as error:
                failed = failed or error
        if failed is not None:
            raise failed


class _FaultyBlob(Blob):
    def __init__(self, key: str, blob: Blob, call: Callable[[str, str, Callable[[], Any]], Any]) -> None:
        self.name = blob.name
        self.size = blob.size
        self.fetchers = blob.fetchers
        self._key = key
        self._blob = blob
        self._call = call

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        found: bytes = self._call("read", self._key, lambda: self._blob.read(start, end))
        return found

    def map(self) -> NDArray[np.uint8]:
        return self._blob.map()

    def own(self) -> None:
        self._blob.own()

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self._call("fetch", self._key, lambda: self._blob.fetch(start, end, scratch))

    def receive(self, start: int, end: int, bring: Bring) -> bool:
        return self._blob.receive(start, end, bring)

    def anew(self, ranges: Sequence[tuple[int, int]]) -> bool:
        return self._blob.anew(ranges)

    def near(self, start: int, end: int) -> bool:
        return False
