"""Reads a pack: opens and maps it, and hands out its tensors."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from saver.errors import Damaged, NotFound, Unsupported
from saver.pack.layout import HEADER_LIMIT, Progress, no_saver_file, parse_header
from saver.pack.verify import verify


class Pack:
    """A pack, opened and its header verified. Tensors are mapped privately; `verify` checks their bytes.

    Arrays stay valid after the pack is gone, and writing to them never reaches the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        # Kept open: the name may lead to another file when the bytes are verified.
        self._descriptor = _open(path)
        self.size = os.fstat(self._descriptor).st_size
        header = _read_header(self._descriptor, self.size, path)
        self.metadata, self.entries, self.id = parse_header(header, self.size, path)
        self._start = len(header)
        self._map = _map(self._descriptor, self.size)
        self.hash: str = self.metadata["saver.header"]

    def __del__(self) -> None:
        descriptor = self.__dict__.pop("_descriptor", None)  # not there when the file could not be opened
        if descriptor is not None:
            os.close(descriptor)

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the bytes, flat and writable. KeyError when there is none."""
        entry = self.entries[name]
        at = self._start + entry.offset
        return entry.dtype, entry.shape, self._map[at : at + entry.length]

    def verify(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Raise Damaged unless the bytes of all tensors, or of those named, match their hashes."""
        entries = [self.entries[name] for name in (self.entries if names is None else names)]
        verify(self.path, self._descriptor, self._map, self._start, entries, progress)


def _open(path: str) -> int:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise Unsupported(f"{path} is a folder, not a Saver file") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise Unsupported(f"{path} is {kind}, not a Saver file")
    return descriptor


def _map(descriptor: int, size: int) -> NDArray[np.uint8]:
    return np.frombuffer(mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY), np.uint8)


def _read_header(descriptor: int, size: int, path: str) -> bytes:
    first = os.pread(descriptor, 64, 0)
    length = int.from_bytes(first[:8], "little")
    if len(first) < 16 or first[8:9] != b"{" or length > HEADER_LIMIT:
        raise no_saver_file(first, path)
    if length + 8 > size:
        raise Damaged(
            f"{path}: cut off: the header takes {length + 8:,} bytes, the file has {size:,}; "
            "copy it again from where it came"
        )
    return os.pread(descriptor, 8 + length, 0)
