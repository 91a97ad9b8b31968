"""File objects and bytes instead of a path: read whole, written in order."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from saver.disk.names import can_be_path
from saver.errors import CannotReadError, CannotWriteError, IncompatibleError, kind_of
from saver.pack.read import FIRST_READ, header_size, whole_size
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
        if not can_be_path(path):
            raise ValueError(f"{argument}: {path[:200]!r} cannot be a path")
        return path
    if isinstance(place, (Readable, Writable)) and not isinstance(place, io.TextIOBase):
        return None
    way = "; saver.loads takes bytes" if isinstance(place, (bytes, bytearray, memoryview)) else ""
    raise TypeError(
        f"{argument}: pass a path or a file that is open in binary mode, not {kind_of(place)}{way}"
    )


def read_source(source: object, known: Callable[[Blob], bool] = lambda first: False) -> Blob:
    """The content of a file object from its current position to its end, which is read at once.

    If it is not a pack, or continues beyond the end of the pack, no more is read than is needed to find that
    out: a file object may be endless. If it is `known` as a file of another tool by its first bytes, it is
    read to its end.
    """
    if not isinstance(source, Readable):
        raise TypeError(f"path: {kind_of(source)} cannot be read from; open it for reading")
    given = getattr(source, "name", None)
    name = given if isinstance(given, str) else f"the {type(source).__name__}"
    memory = bytearray()
    _fill(memory, source, FIRST_READ, name)
    try:
        header = header_size(bytes(memory[:64]), _ENDLESS, name)
    except IncompatibleError:
        if not known(Memory(bytearray(memory), name)):
            raise
        _fill(memory, source, _ENDLESS, name)
        return Memory(memory, name)
    _fill(memory, source, header, name)
    if len(memory) >= header:
        _fill(memory, source, whole_size(bytes(memory[:header]), name) + 1, name)
    return Memory(memory, name)


_ENDLESS = 1 << 62
"""The size of a file object whose end has not been reached."""


def _fill(memory: bytearray, source: Readable, size: int, name: str) -> None:
    """Read until `memory` has `size` bytes, or the file object ends."""
    while len(memory) < size:
        data: Any = source.read(min(READ, size - len(memory)))
        if data is None:
            raise CannotReadError(f"{name}: no bytes are available yet; open it in blocking mode")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"path: {kind_of(source)} returned {kind_of(data)}, not bytes; open it in binary mode"
            )
        if not data:
            return
        memory += data


class Memory(Blob):
    """Bytes that are in memory already, and belong to this blob."""

    def __init__(self, memory: bytearray, name: str) -> None:
        self.name = name
        self.size = len(memory)
        self._map: NDArray[np.uint8] = np.frombuffer(memory, np.uint8)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return self._map[start:end].tobytes()

    def map(self) -> NDArray[np.uint8]:
        return self._map

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        """Nothing to do: all bytes are in memory."""

    def near(self, start: int, end: int) -> bool:
        return True


def write_in_order(target: Target, pieces: Iterable[bytes | memoryview]) -> None:
    """Write everything to a file object. Its own errors are passed on."""
    if not isinstance(target, Writable):
        raise TypeError(f"path: {kind_of(target)} cannot be written to; open it for writing")
    blocks = isinstance(target, io.RawIOBase)
    for piece in pieces:
        view = memoryview(piece)
        while view:
            written = target.write(view)
            if written == 0 or (written is None and blocks):
                raise CannotWriteError(
                    f"path: {kind_of(target)} takes no more bytes; what was written is incomplete; write to "
                    "another one, or to a path"
                )
            view = view[len(view) if written is None else written :]


def names_file(what: object) -> bool:
    """Whether this is a file rather than the ref of a version: a string that ends in `.saver` or
    `.safetensors`, a path object, or a file object."""
    return (
        what.endswith((".saver", ".safetensors"))
        if isinstance(what, str)
        else isinstance(what, (os.PathLike, Readable))
    )
