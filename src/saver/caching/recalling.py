"""A storage whose packs are also kept in the memory of this host, and read from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from saver.caching.blob import CachedBlob
from saver.caching.host_memory import HostMemory, Room
from saver.mask import Mask
from saver.storage import Blob, Content, Listed, Sink, Stat, Storage

T = TypeVar("T")

_PACKS = "packs/"
_ENDING = ".safetensors"


class RecallingStorage(Storage):
    """Does what `storage` does. What is put as a pack is kept in `memory`, too, as it is stored; what is
    there is read from there, and from the storage if it is wrong. Nothing is put that the storage has not
    taken."""

    def __init__(self, storage: Storage, memory: HostMemory) -> None:
        self.storage, self.memory = storage, memory
        self.seals, self.seals_new, self.far = storage.seals, storage.seals_new, storage.far
        self._new: list[str] = []

    def __str__(self) -> str:
        return str(self.storage)

    def taken(self) -> list[str]:
        """The packs that were put and kept since the last call."""
        found, self._new = self._new, []
        return found

    def put(self, key: str, content: Content) -> None:
        name = _pack(key)
        if not name:
            self.storage.put(key, content)
            return
        kept = _Kept(content, self.memory, name)
        self.storage.put(key, kept)
        if kept.is_here:
            self._new.append(name)

    def open(self, key: str) -> Blob:
        blob, name = self.storage.open(key), _pack(key)
        if not name or self.memory.size(name) != blob.size:
            return blob
        found = CachedBlob(blob, self.memory, name)
        found.fetchers = 0  # what is in memory is not far away
        return found

    def delete(self, *keys: str) -> None:
        self.memory.drop(filter(None, map(_pack, keys)))
        self.storage.delete(*keys)

    # What the storage does

    @property
    def mask(self) -> Mask | None:
        return self.storage.mask

    def is_inside(self, other: Storage) -> bool:
        return self.storage.is_inside(other)

    def probe(self) -> None:
        self.storage.probe()

    def begin(self, ident: str) -> dict[str, Any] | None:
        return self.storage.begin(ident)

    def admit(self, ident: str, seal: Mapping[str, Any] | None) -> None:
        self.storage.admit(ident, seal)

    def renew(self, bundle: str | None = None) -> None:
        self.storage.renew(bundle)

    def copy_in(self, place: Storage) -> Storage:
        return self.storage.copy_in(place)

    def create(self, key: str, data: bytes) -> bool:
        return self.storage.create(key, data)

    def replace(self, key: str, content: Content) -> None:
        self.storage.replace(key, content)

    def stat(self, key: str) -> Stat | None:
        return self.storage.stat(key)

    def stats(self, *keys: str) -> Iterable[Stat | None]:
        return self.storage.stats(*keys)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self.storage.list(prefix, after)

    def read(self, key: str) -> bytes:
        return self.storage.read(key)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return self.storage.keys(prefix, after)

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        return self.storage.together(asks)


def _pack(key: str) -> str:
    """The name of a pack; empty for other keys."""
    return key[len(_PACKS) : -len(_ENDING)] if key.startswith(_PACKS) and key.endswith(_ENDING) else ""


class _Kept(Content):
    """A pack that is kept while it is written. `is_here` says whether that succeeded."""

    def __init__(self, content: Content, memory: HostMemory, name: str) -> None:
        self.start = content.start
        self.is_here = False
        self._content, self._memory, self._name = content, memory, name

    @property
    def size(self) -> int:  # type: ignore[override]
        return self._content.size

    def settle(self) -> None:
        self._content.settle()

    def items(self) -> Iterable[tuple[int, int, int]]:
        return self._content.items()

    def write(self, sink: Sink) -> None:
        room = self._memory.begin(self._name, self.size)
        if room is None:
            self._content.write(sink)
            return
        try:
            self._content.write(_Both(sink, room))
        except BaseException:
            room.give_up()
            raise
        self.is_here = room.finish(self.size)

    def pieces(self) -> Iterator[bytes | memoryview]:
        pieces = self._content.pieces()
        first = next(pieces, b"")  # now the size is exact
        room, at = self._memory.begin(self._name, self.size), 0
        try:
            for piece in _after(first, pieces):
                if room is not None:
                    room.write(piece, at)
                at += len(piece)
                yield piece
        except BaseException:
            if room is not None:
                room.give_up()
            raise
        self.is_here = room is not None and room.finish(at)


def _after(first: bytes | memoryview, rest: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    yield first
    yield from rest


class _Both(Sink):
    """Writes the same to an object, and to memory. Bytes beyond the object's end go when it is
    whole."""

    def __init__(self, sink: Sink, room: Room) -> None:
        self._sink, self._room = sink, room

    def write(self, data: bytes | memoryview, offset: int) -> None:
        self._sink.write(data, offset)
        self._room.write(data, offset)

    def write_aligned(self, data: memoryview, offset: int) -> None:
        self._sink.write_aligned(data, offset)
        self._room.write(data, offset)
