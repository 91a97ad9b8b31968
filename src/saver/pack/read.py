"""Reads a pack: opens and maps it, and hands out its tensors."""

from __future__ import annotations

import mmap
import os
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
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            raise NotFound(f"{path}: there is no such file") from None
        except IsADirectoryError:
            raise Unsupported(f"{path} is a folder, not a Saver file") from None
        try:
            self.size = os.fstat(descriptor).st_size
            header = _read_header(descriptor, self.size, path)
            self.metadata, self.entries, self.id = parse_header(header, self.size, path)
            self._start = len(header)
            self._map = _map(descriptor, self.size)
        except IsADirectoryError:
            raise Unsupported(f"{path} is a folder, not a Saver file") from None
        finally:
            os.close(descriptor)
        self.hash: str = self.metadata["saver.header"]

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the bytes, flat and writable. KeyError when there is none."""
        entry = self.entries[name]
        at = self._start + entry.offset
        return entry.dtype, entry.shape, self._map[at : at + entry.length]

    def verify(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Raise Damaged unless the bytes of all tensors, or of those named, match their hashes."""
        entries = [self.entries[name] for name in (self.entries if names is None else names)]
        verify(self.path, self._map, self._start, entries, progress)


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


