"""Seals everything in a store anew, with its newest data key, while others save and load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import msgspec

from saver.errors import DamagedError, NotFoundError
from saver.repo.objects import FOLDERS, own
from saver.repo.repository import Repository
from saver.storage import Blob, Content, Progress

PIECE = 4 << 20


class Resealed(msgspec.Struct, frozen=True):
    """How many objects were sealed anew, and their bytes. `damaged` are the keys of those that cannot be
    read: they stay as they are."""

    objects: int
    bytes: int
    damaged: tuple[str, ...]


@runtime_checkable
class Resealable(Protocol):
    """A storage that knows which of its objects are sealed with the newest key."""

    def is_current(self, key: str) -> bool: ...


def reseal(repo: Repository, progress: Progress | None = None) -> Resealed:
    """Seal every object anew that an older data key sealed. What others do meanwhile goes on: an object is
    replaced by one that means the same. After an interruption, the next call goes on."""
    storage = repo.storage
    if not isinstance(storage, Resealable):
        return Resealed(0, 0, ())
    storage.renew(repo.state.bundle())
    listed = [(each.key, each.stat.size) for folder in FOLDERS for each in own(storage, folder) if each.stat]
    total, done, changed, count = sum(size for _, size in listed), 0, 0, 0
    damaged = list[str]()
    for key, size in listed:
        try:
            if not storage.is_current(key):
                storage.replace(key, _Again(storage.open(key)))
                changed, count = changed + size, count + 1
        except NotFoundError:
            pass  # a collection was faster
        except DamagedError:
            damaged.append(key)
        done += size
        if progress is not None:
            progress(done, total)
    return Resealed(count, changed, tuple(damaged))


class _Again(Content):
    """The content of an object."""

    def __init__(self, blob: Blob) -> None:
        blob.read(0, 0)  # raises if it was cut off: then nobody knows its size
        self.size = blob.size
        self._blob = blob

    def pieces(self) -> Iterator[bytes | memoryview]:
        for at in range(0, self.size, PIECE):
            yield self._blob.read(at, at + PIECE)
