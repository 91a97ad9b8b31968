"""A place that keeps bytes: what a folder, a bucket and memory have in common.

A storage holds objects under keys such as `packs/4f….safetensors`: relative paths of lower-case ASCII
letters, digits, dots and hyphens, 16 names deep at most. An object never changes once it is there; it is put,
read and deleted, no more. Six methods suffice for everything that Saver keeps: write them, and it is a
storage. Test it by subclassing `saver.testing.StorageTests`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Progress: TypeAlias = Callable[[int, int], None]
"""Called with bytes done and bytes in total."""

ALIGNMENT = 4096
"""What direct I/O asks of buffers, lengths and offsets, in bytes."""


class Sink(ABC):
    """An object being written. Threads may write different parts at the same time, in any order."""

    @abstractmethod
    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""

    @abstractmethod
    def write_aligned(self, data: memoryview, offset: int) -> None:
        """Write a buffer that begins in memory, lies in the object, and ends on multiples of `ALIGNMENT`.

        What reaches beyond the object's size is dropped.
        """


class Blob(ABC):
    """An object, opened for reading. It stays readable as long as this lives, also once deleted, or
    raises NotFoundError."""

    name: str
    """What messages call it: a path or an address."""

    size: int
    """In bytes."""

    @abstractmethod
    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` to `end`; all there are, where fewer are left."""

    @abstractmethod
    def map(self) -> NDArray[np.uint8]:
        """All bytes as one writable array that is private to the caller and outlives the blob.

        Only ranges that were fetched are sure to be there. Called twice, it gives the same array.
        """

    @abstractmethod
    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        """Bring a range into the array of `map`, or close by (the page cache). `scratch`, at least as long,
        may be overwritten. Called by several threads at once."""

    @abstractmethod
    def near(self, start: int, end: int) -> bool:
        """Whether `fetch` of this range would be a waste of time."""


class Stat(msgspec.Struct, frozen=True):
    """`size` in bytes; `time` when the object came to be, in seconds, by the clock of the storage itself."""

    size: int
    time: float


class Storage(ABC):
    """A place that keeps bytes. Its `str` is what messages call it. Safe to use from several threads.

    Nothing outside of the place is ever read, written or deleted, whatever somebody else put into it. Where
    it can hold what has the name of an object and is none, such as a symbolic link, that is listed; `open`
    and `stat` raise DamagedError for it, `put` and `create` CannotWriteError.
    """

    @abstractmethod
    def put(self, key: str, size: int, fill: Callable[[Sink], Any]) -> None:
        """A new object of `size` bytes, which `fill` writes: durable when this returns, and never seen
        half-written. When anything fails, nothing is there. Keys are never put twice.

        Raises CannotWriteError; CommitUnknownError when the object may be there or not.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Like `put`, unless there is an object of this key: then False, and nothing is changed. That object,
        too, is durable when this returns.

        Of all who try at the same time, one succeeds: the only thing in a storage that is decided.
        """

    @abstractmethod
    def open(self, key: str) -> Blob:
        """The object of this key. Raises NotFoundError."""

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Size and time of an object; None when there is none."""

    @abstractmethod
    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """The keys that begin with `prefix` (which ends with `/`, or is empty) and come after `after`, in
        order.

        Every object that was there from before the call to its end is among them.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object for good; nothing happens when there is none. Raises CannotWriteError."""

    def read(self, key: str) -> bytes:
        """A whole small object. Raises NotFoundError."""
        return self.open(key).read()
