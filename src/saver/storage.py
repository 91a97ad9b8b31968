"""The contract of a place that keeps bytes: a folder, a bucket, memory.

A storage holds objects under keys such as `packs/4f….safetensors`: relative paths of lower-case ASCII
letters, digits, dots and hyphens, 16 names deep at most, which are file names on every system: none ends
with a dot, none is a device of Windows (`con`, `aux.json`). An object never changes: it is put, read and
deleted, nothing else. To write a storage, implement `put`, `create`, `open`, `stat`, `list` and `delete`;
all others have defaults that may be improved on. Test it by subclassing `saver.testing.StorageTests`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.admission import into_store
from saver.errors import CannotWriteError, KeyNeededError
from saver.mask import Mask

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the total bytes."""

Bring: TypeAlias = Callable[[int, int, memoryview], None]
"""Writes the bytes of an object from a start to an end into memory of that length."""

T = TypeVar("T")

ALIGNMENT = 4096
"""Direct I/O needs buffers, lengths and offsets in multiples of this many bytes."""


class Sink(ABC):
    """An object being written. Threads may write different parts at the same time, in any order."""

    computes: bool = False
    """Whether a write keeps a processor busy, as encryption does."""

    @abstractmethod
    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""

    @abstractmethod
    def write_aligned(self, data: memoryview, offset: int) -> None:
        """Write a buffer whose address, length and offset in the object are multiples of `ALIGNMENT`; bytes
        beyond the object's size are dropped."""


class Content(ABC):
    """The content of a new object. It can be read in two ways, and a storage uses the one that it needs.

    `write` writes a file at any offset, from several threads. `pieces` yields the bytes in order, as clients
    of object stores take them. Both give the same bytes, and may be called again after a failed write.
    """

    size: int
    """In bytes. Of what is compressed while it is written, an upper bound until `settle` or `write` returned,
    or `pieces` yielded the first piece."""

    start: int = 0  # where large writes begin, in bytes: they are cut at multiples of some MiB after it

    @abstractmethod
    def pieces(self) -> Iterator[bytes | memoryview]:
        """All bytes, in order, in pieces of at most a few MiB, each valid until the next one is requested.
        If it raises, the storage must keep nothing of the object."""

    def write(self, sink: Sink) -> None:
        """Write all bytes, in any order."""
        at = 0
        for piece in self.pieces():
            sink.write(piece, at)
            at += len(piece)

    def settle(self) -> None:  # noqa: B027 (most know it)
        """Make `size` exact."""

    def items(self) -> Iterable[tuple[int, int, int]]:
        """Ranges of bytes that are numbers, each with the bytes of one number: a hint for compression."""
        return ()


@final
class Bytes(Content):
    """Bytes that are in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def pieces(self) -> Iterator[bytes | memoryview]:
        yield self._data


class Blob(ABC):
    """An object, opened for reading. It stays readable as long as the blob exists. If the object is deleted
    meanwhile, it stays readable or raises NotFoundError."""

    name: str
    """What messages call it: a path or an address."""

    size: int
    """In bytes."""

    fetchers: int = 0
    """How many threads should fetch at the same time, where calls are slow; 0: as many as processors."""

    decrypts: bool = False
    """Whether `fetch` keeps a processor busy: then one thread more keeps the disk busy."""

    hashed: bool = False
    """Whether the hashes of readers were taken from the array of `map`: then there is nothing to compare."""

    @abstractmethod
    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` to `end`; fewer if the object ends before."""

    def read_into(self, start: int, memory: memoryview) -> int:
        """Read the bytes from `start` on into memory, which they fill unless the object ends before. Returns
        their number."""
        found = self.read(start, start + len(memory))
        memory[: len(found)] = found
        return len(found)

    @abstractmethod
    def map(self) -> NDArray[np.uint8]:
        """All bytes as one writable array, which is private to the caller and outlives the blob.

        Only ranges that were fetched are guaranteed to hold the bytes. A second call returns the same array.
        """

    def own(self) -> None:  # noqa: B027 (most have nothing that could be shared)
        """Have `map` give memory of the caller's own, where most of it will be written, rather than memory
        whose pages are copied when they are. Only before the first call of `map`; a wish that may be
        ignored."""

    @abstractmethod
    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        """Bring a range into the array of `map`, or near it (the page cache). Bytes of the array that were
        brought there before stay as they are: the caller may have changed them. `scratch`, which is at
        least as long as the range, may be overwritten. Several threads may call this at once."""

    def fetch_many(self, ranges: Sequence[tuple[int, int]], scratch: memoryview) -> None:
        """Fetch all of these ranges (start and end), which do not overlap. `scratch` is at least as long as
        the longest. A storage with slow calls fetches all of them at once, and neighbours in one call."""
        for start, end in ranges:
            self.fetch(start, end, scratch)

    def anew(self, ranges: Sequence[tuple[int, int]]) -> bool:
        """Called when the bytes of these ranges are not those that were saved. If they came from a copy that
        is kept elsewhere, fetch them from the object itself into the array of `map`, and return True. Raises
        DamagedError and NotFoundError as `fetch` does."""
        return False

    def receive(self, start: int, end: int, bring: Bring) -> bool:
        """Have `bring`, instead of the object itself, put what is missing of a range into the array of `map`:
        bytes that another process has read. If they are wrong, `anew` fetches them. The range begins with a
        page of `ALIGNMENT` bytes, and ends with one or with the object. False if the object itself is to be
        read instead; `bring` was not called then."""
        return False

    def release(self, start: int, end: int) -> None:  # noqa: B027 (most have nothing to give back)
        """Give back memory that a range of the array of `map` takes, where it can be read again. Whoever
        calls this has no use for what was read there."""

    @abstractmethod
    def near(self, start: int, end: int) -> bool:
        """Whether the range is already in memory, so that `fetch` would be a waste of time."""


class Stat(msgspec.Struct, frozen=True):
    """`size` in bytes; `time` when the object was created, in seconds, by the storage's own clock."""

    size: int
    time: float


class Listed(msgspec.Struct, frozen=True):
    """A listed key, with the size and time of its object. `stat` is None if there is something else under
    the name of an object, or if it could not be examined: then `Storage.stat` raises an error that says
    why."""

    key: str
    stat: Stat | None


class Storage(ABC):
    """A place that keeps bytes. Its `str` is its name in messages. Safe to use from several threads.
    Nothing outside of the place is ever read, written or deleted, no matter what someone else put into it.
    If something that is not an object can have the name of one, such as a symbolic link, it is listed;
    `open` and `stat` raise DamagedError for it, and `put` and `create` CannotWriteError.
    """

    seals: bool = False  # whether it seals what is stored, or may do so
    seals_new: bool = False  # whether a store that is made in it is sealed
    far: bool = False  # whether its calls are slow: then a save compares hashes, and no bytes that are there

    @property
    def mask(self) -> Mask | None:
        """What hides names and hashes where they are kept on this machine; None if they need not be hidden,
        or nothing was read here yet."""
        return None

    def is_inside(self, other: Storage) -> bool:
        """Whether this place is within another one, to which its objects would be foreign files."""
        return False

    def probe(self) -> None:  # noqa: B027 (most keep their promises by the system that they are written for)
        """Try whether the place keeps what this contract promises; called before a store is made there.
        Raises CannotWriteError, which names the promise that was not kept."""

    def begin(self, ident: str) -> dict[str, Any] | None:
        """Called before the store with this id is made here: how objects are sealed, for `store.json`."""
        return None

    def admit(self, ident: str, seal: Mapping[str, Any] | None) -> None:
        """Called with what `store.json` says of the store here, before anything else is read or written.
        Raises KeyNeededError or WrongKeyError if it is sealed, and this storage cannot open it, and
        IncompatibleError if it is not, though it should be."""
        if seal is not None:
            raise KeyNeededError(f"{self} is sealed, and no key was passed; {self.ways_in()}")

    def ways_in(self) -> str:
        """What helps somebody who cannot open what is sealed here, for messages."""
        return into_store(str(self))

    def renew(self, bundle: str | None = None) -> None:  # noqa: B027 (most have no keys)
        """Called when the keys of the store here may have changed: what is written from now on is sealed with
        the newest one. Called before something is written, with the `bundle` of keys that the log names."""

    def copy_in(self, place: Storage) -> Storage:
        """The storage in `place` to which copies of objects of this one are written: sealed as they are here.
        Objects under `keys/` are copied as they are."""
        return place

    @abstractmethod
    def put(self, key: str, content: Content) -> None:
        """Store a new object with this content. It is durable when this returns, and never visible
        half-written. If anything fails, there is no object. No key is ever put twice.

        Raises CannotWriteError; CommitUnknownError if it is unknown whether the object exists; or what
        `content` raises.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Like `put`, and returns True; but if there is an object with this key, changes nothing and
        returns False. In that case, too, the object is durable when this returns.

        Of several callers at the same time, exactly one succeeds: the only arbitration that a storage does.
        """

    def replace(self, key: str, content: Content) -> None:
        """Put a new object in the place of one whose content means the same, such as one that is sealed with
        an older key. Durable and whole when this returns; readers find the one or the other."""
        raise CannotWriteError(f"{self}: objects cannot be replaced here; push the versions to another store")

    @abstractmethod
    def open(self, key: str) -> Blob:
        """Open the object with this key. Raises NotFoundError. A storage with slow calls fetches the first
        bytes along with it: then all of a small object is `near`."""

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Size and time of an object; None if it does not exist."""

    def stats(self, *keys: str) -> Iterable[Stat | None]:
        """What `stat` returns for each of these keys."""
        return self.together(partial(self.stat, key) for key in keys)

    @abstractmethod
    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """The objects whose keys begin with `prefix` (which ends with `/`, or is empty) and are greater
        than `after`, sorted by key.

        Includes every object that exists from before the call to its end. Reads lazily where that saves
        time: a caller who wants the first key takes only the first.
        """

    @abstractmethod
    def delete(self, *keys: str) -> None:
        """Remove objects for good. Missing ones are ignored. Tries all of them, then raises CannotWriteError
        if some could not be removed."""

    def read(self, key: str) -> bytes:
        """Read a whole small object. Raises NotFoundError."""
        return self.open(key).read()

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """The keys that `list` yields. In a folder, names cost much less than sizes and times."""
        return (found.key for found in self.list(prefix, after))

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        """The results of calls to this storage that do not depend on each other, in order. The first error
        ends it. By default they are made one after another, each when its result is requested; a storage with
        slow calls makes all of them at once."""
        return (ask() for ask in asks)
