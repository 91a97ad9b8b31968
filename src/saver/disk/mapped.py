"""A file, opened for reading: mapped privately, and brought into the page cache by several threads."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.disk.advice import remedy
from saver.disk.copy import Copy
from saver.disk.files import FILES, Files, Path
from saver.errors import CannotReadError, DamagedError, IncompatibleError, NotFoundError, SaverError
from saver.storage import Blob, Bring

_BROKEN = {errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)}
"""The errors that a disk or a file system reports for bytes that it has lost."""


SMALL = 128 << 10
"""A file of at most this size is copied, not mapped, because page faults cost more: with hashing, a file of
this size took 22 µs rather than 36, and one of 8 KiB 8 µs rather than 18."""


SHORT = 32 << 10
"""A file of at most this size is read whole by the first call that reads any of it: another call took longer
than the rest of the bytes."""


class MappedFile(Blob):
    """An open file. Its name may meanwhile belong to another file, or be gone."""

    def __init__(self, file: int, name: str, files: Files = FILES) -> None:
        self.name = name
        self._files = files
        self._file = file
        found = files.stat(file)
        self.size = found.st_size
        self.mode = found.st_mode
        self._maps: dict[str, NDArray[np.uint8]] = {}
        self._copy = None if can_map() else Copy(self.size)
        self._read: bytes | None = None
        """All of a short file, from when it is first read until it is mapped."""

    def __del__(self) -> None:
        self._files.close(self._file)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        stop = self.size if end is None else min(end, self.size)
        if self.size <= SHORT and not self._maps and self._copy is None:
            if self._read is None:
                self._read = self._from_file(0, self.size)
            return self._read[start:stop]
        return self._from_file(start, stop)

    def _from_file(self, start: int, stop: int) -> bytes:
        found = []
        try:
            while start < stop and (data := self._files.read(self._file, stop - start, start)):
                found.append(data)
                start += len(data)
        except OSError as error:
            raise cannot_read(self.name, error) from error
        return found[0] if len(found) == 1 else b"".join(found)

    def read_into(self, start: int, memory: memoryview) -> int:
        done = 0
        try:
            while done < len(memory):
                size = self._files.read_into(self._file, memory[done:], start + done)
                if size == 0:
                    break
                done += size
        except OSError as error:
            raise cannot_read(self.name, error) from error
        return done

    def map(self) -> NDArray[np.uint8]:
        """Writing to it changes memory only. If another program truncates the file, this process is killed
        (SIGBUS)."""
        found = self._maps.get("all")
        # No lock, since a fork could leave it locked: if two threads map, the first mapping is kept.
        return self._maps.setdefault("all", self._mapped()) if found is None else found

    def own(self) -> None:
        if self._copy is not None or self.size <= SMALL or self._maps:
            return
        with suppress(MemoryError):  # then it stays mapped, which takes no memory until it is written
            self._copy = Copy(self.size)

    def _mapped(self) -> NDArray[np.uint8]:
        if self._copy is not None:
            return self._copy.memory
        if self.size == 0:
            return np.empty(0, np.uint8)
        try:
            return memory_of(self._file, self.size)
        except OSError as error:
            raise cannot_read(self.name, error) from error

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        """Read the range to fill the page cache: faster than page faults. A small file is copied whole."""
        if self._copy is not None:
            self._copy.fill(start, end, self._fill)
        elif self.size > SMALL or not self._copied(wait=True):
            self._fill(start, end, scratch)

    def _fill(self, start: int, end: int, scratch: memoryview) -> None:
        try:
            while start < end:
                size = self._files.read_into(self._file, scratch[: end - start], start)
                if size == 0:
                    raise DamagedError(
                        f"{self.name} was cut off at {start:,} bytes while it was read; restore it"
                    )
                start += size
                scratch = scratch[size:]
        except OSError as error:
            raise cannot_read(self.name, error) from error

    def receive(self, start: int, end: int, bring: Bring) -> bool:
        if self._copy is None:
            return False
        self._copy.fill(start, end, bring, foreign=True)
        return True

    def anew(self, ranges: Sequence[tuple[int, int]]) -> bool:
        return self._copy is not None and self._copy.replace(ranges, self._fill)

    def release(self, start: int, end: int) -> None:
        """Let the system take the pages that lie wholly in the range; reading them brings them back."""
        found = self._maps.get("all")
        start, end = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
        if found is None or _madvise is None or self._copy is not None or self.size <= SMALL or start >= end:
            return
        _madvise(found.ctypes.data + start, end - start, mmap.MADV_DONTNEED)

    def near(self, start: int, end: int) -> bool:
        """Whether the last and the first page are in the page cache; of a small file whether all of it is,
        which is then copied from there."""
        if self._copy is not None:
            return False
        if self.size <= SMALL:
            return end <= self.size and self._copied(wait=False)
        try:
            probe = memoryview(bytearray(1))
            return all(self._files.read_into(self._file, probe, at, False) == 1 for at in (end - 1, start))
        except OSError:  # it would have to wait, or the system cannot say
            return False

    def _copied(self, wait: bool) -> bool:
        """Take a copy of the file to be its map, if one call can read all of it: without `wait`, only from
        the page cache."""
        read, self._read = self._read, None
        if read is not None and len(read) == self.size:
            self._maps.setdefault("all", np.frombuffer(bytearray(read), np.uint8))
            return True
        memory = np.empty(self.size, np.uint8)
        try:
            found = self._files.read_into(self._file, memory.data, 0, wait) == self.size
        except OSError:  # it would have to wait, or the system cannot say, or the disk cannot read all of it
            return False
        if found:
            self._maps.setdefault("all", memory)
        return found


class _Mapping:
    """Memory that is unmapped when the last array that views it is gone."""

    def __init__(self, start: int, size: int) -> None:
        self._start, self._size = start, size
        self.__array_interface__ = {
            "version": 3, "typestr": "|u1", "shape": (size,), "data": (start, False),
        }  # fmt: skip

    def __del__(self) -> None:
        if _munmap is not None:  # at the end of the process it may be gone
            _munmap(self._start, self._size)


def can_map() -> bool:
    """Whether the system has `mmap`; Windows has another call."""
    return _mmap is not None and _munmap is not None


def memory_of(file: int, size: int) -> NDArray[np.uint8]:
    """The first bytes of a file as memory, private and writable, if the system can map files.

    It needs no descriptor. Objects of the module mmap keep one each (unless disabled, from Python 3.13 on),
    and a process that loads many models would run out of descriptors.
    """
    assert _mmap is not None
    start = _mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, file, 0)
    if start == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return np.asarray(_Mapping(start, size))


def _function(name: str, result: type, *arguments: type) -> Callable[..., Any] | None:
    """A function of the C library; None if it has no such function."""
    try:
        found = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, TypeError, AttributeError):
        return None
    found.restype, found.argtypes = result, arguments
    return found  # type: ignore[no-any-return]


_FAILED = ctypes.c_void_p(-1).value
_mmap = _function(
    "mmap", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
    ctypes.c_ssize_t,
)  # fmt: skip
_munmap = _function("munmap", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_madvise = (
    _function("madvise", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if sys.platform == "linux"  # elsewhere it may mean something else
    else None
)


def open_file(path: Path, name: str = "", files: Files = FILES) -> MappedFile:
    """The file at `path`, which messages call `name`, or else by its path.

    Raises NotFoundError, CannotReadError, and IncompatibleError if it is not a regular file.
    """
    name = name or (path if isinstance(path, str) else path.name)
    try:
        file = files.open(path)
    except IsADirectoryError:
        raise _no_file(name, "a folder") from None
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _no_file(name, "a pipe or a device") from None
        raise cannot_read(name, error) from None
    try:
        opened = MappedFile(file, name, files)
    except OSError as error:
        raise cannot_read(name, error) from None
    if not stat.S_ISREG(opened.mode):
        raise _no_file(name, kind_of(opened.mode))
    return opened


def _no_file(name: str, kind: str) -> IncompatibleError:
    way = "open a store with saver.Saver" if kind == "a folder" else "read from a file object instead"
    return IncompatibleError(f"{name} is {kind}, not a Saver file; name a file, or {way}")


def kind_of(mode: int) -> str:
    """What to call something that is not a regular file."""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"


def cannot_read(name: str, error: OSError) -> SaverError:
    """The error to raise for a system call that failed while reading `name`."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return NotFoundError(f"{name}: there is no such file")
    if error.errno == errno.ELOOP:
        return NotFoundError(f"{name}: there is no such file, because its symbolic links lead in circles")
    if error.errno in _BROKEN:
        return DamagedError(f"{name}: the disk cannot read it ({reason}); check the disk, and restore a copy")
    if error.errno in (errno.EACCES, errno.EPERM):
        return CannotReadError(f"{name}: {reason}; ask its owner, {_owner(name)}, to let you read it")
    return CannotReadError(f"{name}: {reason}; it was not read; {remedy(error) or 'try again'}")


def _owner(path: str) -> str:
    try:
        return f"user {os.stat(path).st_uid}"
    except OSError:
        return "or that of its folder"
