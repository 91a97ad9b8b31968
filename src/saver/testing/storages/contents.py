"""What tests put into a storage."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from saver.storage import ALIGNMENT, Bytes, Content, Sink, Storage


def put(storage: Storage, key: str, data: bytes) -> None:
    """Put a small object."""
    storage.put(key, Bytes(data))


class Pieces(Content):
    """A content of these pieces; `write` writes them by offset, which need not be in their order."""

    def __init__(
        self,
        size: int,
        pieces: Callable[[], Iterator[bytes | memoryview]],
        write: Callable[[Sink], None] | None = None,
    ) -> None:
        self.size = size
        self._pieces = pieces
        self._write = write

    def pieces(self) -> Iterator[bytes | memoryview]:
        return self._pieces()

    def write(self, sink: Sink) -> None:
        (self._write or super().write)(sink)


class Shrinking(Content):
    """A content of these bytes, which announces more until it is written."""

    def __init__(self, size: int, data: bytes) -> None:
        self.size = size
        self._data = data

    def settle(self) -> None:
        self.size = len(self._data)

    def pieces(self) -> Iterator[bytes | memoryview]:
        self.settle()
        yield self._data

    def write(self, sink: Sink) -> None:
        sink.write_aligned(aligned(self._data), 0)
        self.settle()


def bytes_of(size: int) -> bytes:
    """Bytes in which no two pieces are equal."""
    return np.random.default_rng(size).bytes(size)


def aligned(data: bytes) -> memoryview:
    """`data` in aligned memory, padded to a multiple of `ALIGNMENT`."""
    memory = mmap.mmap(-1, -(-len(data) // ALIGNMENT) * ALIGNMENT + ALIGNMENT)
    memory[: len(data)] = data
    memory[len(data) :] = b"\xff" * (len(memory) - len(data))
    return memoryview(memory)[:-ALIGNMENT]


def fetched(blob: Any) -> Any:
    """All bytes of a blob, as mapped."""
    blob.fetch(0, blob.size, memoryview(bytearray(blob.size)))
    return blob.map()
