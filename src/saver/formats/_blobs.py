"""A blob as a file object, for libraries that read those."""

from __future__ import annotations

import io
from typing import Any, Protocol

from saver.storage import Blob
from saver.tensors import Bytes


class Readable(Protocol):
    """What has ranges of bytes, as a blob has."""

    size: int

    def read(self, start: int, end: int, /) -> bytes:
        """The bytes from `start` to `end`; fewer if there are no more."""


class BlobFile(io.RawIOBase):
    """A blob as a file object."""

    def __init__(self, blob: Readable) -> None:
        self._blob, self._at = blob, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self._at, self._blob.size)[whence]
        if at < 0:
            raise ValueError("a place before the beginning")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._blob.read(self._at, self._at + len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class Slice(Blob):
    """A range of another blob."""

    def __init__(self, blob: Blob, start: int, size: int, name: str) -> None:
        self.name, self.size, self._blob, self._start = name, size, blob, start

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        stop = self.size if end is None else min(end, self.size)
        return self._blob.read(self._start + start, self._start + stop) if start < stop else b""

    def map(self) -> Bytes:
        return self._blob.map()[self._start : self._start + self.size]

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self._blob.fetch(self._start + start, self._start + end, scratch)

    def near(self, start: int, end: int) -> bool:
        return self._blob.near(self._start + start, self._start + end)


SCHEMA = "schema.json"
"""The entry of an archive of skops that describes it."""


def ends_as_skops(blob: Blob) -> bool:
    """Whether the last entry of a zip archive is the schema, which skops writes last."""
    end = blob.read(max(0, blob.size - 200))
    return SCHEMA.encode() + b"PK\5\6" in end or SCHEMA.encode() + b"PK\6\6" in end
