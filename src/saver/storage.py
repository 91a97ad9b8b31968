"""A place that keeps bytes: what a folder, a bucket and memory have in common.

A storage holds objects under keys such as `packs/4f….safetensors`: relative paths of lower-case ASCII
letters, digits, dots and hyphens, 16 names deep at most. An object never changes once it is there; it is put,
read and deleted, no more. Six methods suffice for everything that Saver keeps: write them, and it is a
storage. Four more have a default, for storages that can do better: `read`, `keys`, `together`, and
`Blob.read_many`. Test it by subclassing `saver.testing.StorageTests`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar, final

import msgspec
import numpy as np
from numpy.typing import NDArray

Progress: TypeAlias = Callable[[int, int], None]
"""Called with bytes done and bytes in total."""

T = TypeVar("T")

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


class Content(ABC):
    """What an object is to hold. It can be had in two ways, and a storage takes the one that it needs.

    A file is written at any offset by several threads: `write`. Clients of object stores take bytes in order:
    `pieces`. Both give the same bytes, and may be asked for again when writing failed.
    """

    size: int
    """In bytes."""

    @abstractmethod
    def pieces(self) -> Iterator[bytes | memoryview]:
        """All bytes, in order, in pieces of at most some MiB. A piece is valid until the next one is asked
        for. What it raises must leave nothing in the storage."""

    def write(self, sink: Sink) -> None:
        """Write all bytes, in whichever order is best."""
        at = 0
        for piece in self.pieces():
            sink.write(piece, at)
            at += len(piece)


@final
class Bytes(Content):
    """Bytes that are in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def pieces(self) -> Iterator[bytes | memoryview]:
        yield self._data


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

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """What `read` gives for each of these ranges (start and end). A storage whose calls take long asks
        for all of them at once, and for neighbours together."""
        return [self.read(start, end) for start, end in ranges]

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


class Listed(msgspec.Struct, frozen=True):
    """A key that was listed, with the size and time of its object. `stat` is None for what has the name of an
    object and is none, or could not be looked at: `Storage.stat` of it raises an error that says why."""

    key: str
    stat: Stat | None


class Storage(ABC):
    """A place that keeps bytes. Its `str` is what messages call it. Safe to use from several threads.

    Nothing outside of the place is ever read, written or deleted, whatever somebody else put into it. Where
    it can hold what has the name of an object and is none, such as a symbolic link, that is listed; `open`
    and `stat` raise DamagedError for it, `put` and `create` CannotWriteError.
    """

    @abstractmethod
    def put(self, key: str, content: Content) -> None:
        """A new object, which holds `content`: durable when this returns, and never seen half-written. When
        anything fails, nothing is there. Keys are never put twice.

        Raises CannotWriteError; CommitUnknownError when the object may be there or not; or what `content`
        raises.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Like `put`, unless there is an object of this key: then False, and nothing is changed. That object,
        too, is durable when this returns.

        Of all who try at the same time, one succeeds: the only thing in a storage that is decided.
        """

    @abstractmethod
    def open(self, key: str) -> Blob:
        """The object of this key. Raises NotFoundError.

        Where a call takes long, it brings the first bytes along: then all of a small object is `near`.
        """

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Size and time of an object; None when there is none."""

    @abstractmethod
    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """The objects whose keys begin with `prefix` (which ends with `/`, or is empty) and come after
        `after`, in the order of their keys.

        Every object that was there from before the call to its end is among them. No more is read than is
        asked for, as far as that saves anything: who wants the first key takes the first.
        """

    @abstractmethod
    def delete(self, *keys: str) -> None:
        """Remove objects for good; nothing happens for those that are not there.

        Raises CannotWriteError when some could not be removed; all were tried.
        """

    def read(self, key: str) -> bytes:
        """A whole small object. Raises NotFoundError."""
        return self.open(key).read()

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """The keys that `list` gives. In a folder, names cost much less than sizes and times."""
        return (found.key for found in self.list(prefix, after))

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        """The answers to questions to this storage that need not wait for each other, in their order. The
        first error ends it.

        One is asked after another, and none before its answer is wanted; a storage whose calls take long asks
        all of them at once.
        """
        return (ask() for ask in asks)
