"""One object that was sent and is not stored, as a storage: what opens sealed objects reads it from there."""

from __future__ import annotations

from collections.abc import Iterator

from saver.errors import CannotWriteError, NotFoundError
from saver.storage import Blob, Content, Listed, Stat, Storage


class OneObject(Storage):
    """A storage with one object, which can be read."""

    def __init__(self, key: str, blob: Blob) -> None:
        self._key, self._blob = key, blob

    def __str__(self) -> str:
        return "what was sent"

    def open(self, key: str) -> Blob:
        if key != self._key:
            raise NotFoundError(f"{self}: there is no object {key}")
        return self._blob

    def stat(self, key: str) -> Stat | None:
        return Stat(self._blob.size, 0.0) if key == self._key else None

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        if self._key.startswith(prefix) and self._key > after:
            yield Listed(self._key, self.stat(self._key))

    def put(self, key: str, content: Content) -> None:
        raise CannotWriteError(f"{self}: nothing is written here")

    def create(self, key: str, data: bytes) -> bool:
        raise CannotWriteError(f"{self}: nothing is written here")

    def delete(self, *keys: str) -> None:
        raise CannotWriteError(f"{self}: nothing is written here")
