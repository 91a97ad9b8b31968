"""File objects and bytes in the place of a path: read whole, written in order."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from saver.disk import mapped
from saver.errors import CannotWriteError
from saver.storage import Blob

READ = 16 << 20


@runtime_checkable
class Readable(Protocol):
    """A binary file that is open for reading. It need not be seekable."""

    def read(self, size: int, /) -> bytes: ...


@runtime_checkable
class Writable(Protocol):
    """A binary file that is open for writing. It need not be seekable."""

    def write(self, data: bytes | memoryview, /) -> Any: ...


Source: TypeAlias = str | os.PathLike[str] | Readable
Target: TypeAlias = str | os.PathLike[str] | Writable


def path_of(place: object, argument: str) -> str | None:
    """The path, if `place` is one; None for a file object. Raises TypeError for anything else."""
    if isinstance(place, (str, os.PathLike)):
        path = os.fsdecode(place)
        if not path or "\0" in path:
            raise ValueError(f"{argument}: {path[:200]!r} cannot be a path")
        return path
    if isinstance(place, (Readable, Writable)) and not isinstance(place, io.TextIOBase):
        return None
    way = "; saver.loads takes bytes" if isinstance(place, (bytes, bytearray, memoryview)) else ""
    raise TypeError(f"{argument}: pass a path or a file that is open in binary mode, not {kind(place)}{way}")


def kind(value: object) -> str:
    return f"a {type(value).__name__}"


def open_source(source: Source) -> Blob:
    """What is at a path; or in a file object from where it stands to its end, which is read at once."""
    path = path_of(source, "path")
    if path is not None:
        return mapped.open_file(path)
    if not isinstance(source, Readable):
        raise TypeError(f"path: {kind(source)} cannot be read from; open it for reading")
    memory = bytearray()
    while data := source.read(READ):
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"path: {kind(source)} gave {kind(data)}, not bytes; open it in binary mode")
        memory += data
    name = getattr(source, "name", None)
    return Memory(memory, name if isinstance(name, str) else f"the {type(source).__name__}")


class Memory(Blob):
    """Bytes that are there already, and belong to this blob."""

    def __init__(self, memory: bytearray, name: str) -> None:
        self.name = name
        self.size = len(memory)
        self._map: NDArray[np.uint8] = np.frombuffer(memory, np.uint8)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return self._map[start:end].tobytes()

    def map(self) -> NDArray[np.uint8]:
        return self._map

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        """All of it is there."""

    def near(self, start: int, end: int) -> bool:
        return True


def write_in_order(target: Target, pieces: Iterable[bytes | memoryview]) -> None:
    """Write all of it to a file object. What that raises is passed on."""
    if not isinstance(target, Writable):
        raise TypeError(f"path: {kind(target)} cannot be written to; open it for writing")
    blocks = isinstance(target, io.RawIOBase)
    for piece in pieces:
        view = memoryview(piece)
        while view:
            written = target.write(view)
            if written == 0 or (written is None and blocks):
                raise CannotWriteError(f"{kind(target)} takes no more bytes; what it has is not whole")
            view = view[len(view) if written is None else written :]
