"""The local file system, as the few operations that Saver uses, each about one system call.

All file work that can lose data goes through a `Files`, so that a test can wrap it and make any operation
fail. Files are descriptors; paths are strings, or names inside an open folder. Every operation except
closing may raise OSError. `saver.disk.windows` has what Windows does otherwise.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, TypeAlias

import msgspec

from saver.disk.locks import locked

_O_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_O_BINARY: Final = getattr(os, "O_BINARY", 0)
_O_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_O_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_O_FOLDER: Final = getattr(os, "O_DIRECTORY", 0) | _O_CLOEXEC
_O_STEP: Final = getattr(os, "O_PATH", os.O_RDONLY) | _O_FOLDER | _O_NOFOLLOW
"""Entering a folder needs no permission to list it, if the system distinguishes the two."""

_O_PATH: Final = getattr(os, "O_PATH", 0)
_O_DIRECT = getattr(os, "O_DIRECT", 0)
_O_TMPFILE = getattr(os, "O_TMPFILE", 0)
_RWF_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)

UNSUPPORTED: Final = frozenset(
    getattr(errno, name)
    for name in ("EOPNOTSUPP", "ENOTSUP", "EINVAL", "ENODEV", "ENOSYS", "ENOTTY")
    if hasattr(errno, name)
)
"""What systems report for a call that a file system does not have. The first two differ on macOS."""

_MODE = 0o666
"""Before the umask is applied."""


class Inside(msgspec.Struct, frozen=True, gc=False):
    """A name inside an open folder; `.` is the folder itself.

    A symbolic link with that name is never followed, no matter who put it there, and when.
    """

    folder: int
    name: str


Path: TypeAlias = str | Inside
"""Where something is. A path that is a string may lead through symbolic links."""


class Files:
    """The local file system."""

    def open_folder(self, path: Path) -> int:
        """Open a folder, so that names can be `Inside` it. A symbolic link is refused (ELOOP), though links
        on the way there are followed.
        """
        name, folder = _at(path)
        try:
            return os.open(name, _O_STEP, dir_fd=folder)
        except NotADirectoryError:
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
            raise

    def make_folder(self, path: Path) -> None:
        """Create a folder. Raises FileExistsError if the name is taken."""
        name, folder = _at(path)
        os.mkdir(name, dir_fd=folder)

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        name, folder = _at(path)
        os.rmdir(name, dir_fd=folder)

    def open_existing(self, path: Path) -> int:
        """Open a file that is there, for reading and writing."""
        name, folder = _at(path)
        flags = os.O_RDWR | _O_CLOEXEC | _O_BINARY | (0 if folder is None else _O_NOFOLLOW)
        return os.open(name, flags, dir_fd=folder)

    def lock(self, file: int) -> bool:
        """Hold a file or folder until it is closed, or the process ends. Returns whether nobody else does."""
        return locked(file)

    def create(self, path: Path) -> int:
        """Create a file, open for writing. Raises FileExistsError if the name is taken."""
        name, folder = _at(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _O_CLOEXEC | _O_BINARY
        return os.open(name, flags, _MODE, dir_fd=folder)

    def create_unnamed(self, folder: Path) -> int:
        """Create a file without a name. It disappears with its last descriptor, unless `link` names it."""
        if not _O_TMPFILE or not os.path.isdir("/proc/self/fd"):
            raise refused()
        name, within = _at(folder)
        return os.open(name, os.O_RDWR | _O_TMPFILE | _O_CLOEXEC, _MODE, dir_fd=within)

    def open_direct(self, file: int) -> int:
        """Another descriptor of an open file, for aligned writes that bypass the page cache."""
        if not _O_DIRECT:
            raise refused()
        return os.open(f"/proc/self/fd/{file}", os.O_RDWR | _O_DIRECT | _O_CLOEXEC)

    def reserve(self, file: int, size: int) -> None:
        """Reserve space for `size` bytes: a full disk shows now, and the blocks are contiguous."""
        if not hasattr(os, "posix_fallocate"):
            raise refused()
        os.posix_fallocate(file, 0, size)

    def write(self, file: int, data: memoryview, offset: int) -> int:
        """Write as much as one call can; returns the number of bytes written."""
        return os.pwrite(file, data, offset)

    def truncate(self, file: int, size: int) -> None:
        """Make a file exactly `size` bytes long."""
        os.ftruncate(file, size)

    def set_mode(self, file: int, mode: int) -> None:
        """Set the permissions of a file."""
        os.fchmod(file, mode)

    def sync(self, file: int) -> None:
        """Make the bytes of a file durable. Once this has failed, it is useless to try again."""
        _to_disk(file)

    def close(self, file: int) -> None:
        """Close a descriptor. Errors that the system reports are ignored.

        They concern bytes that are not on disk yet, and everything that must be was synced before; the rest
        was only read, or is discarded. The descriptor is free in any case.
        """
        _close(file)

    def link(self, source: Path | int, path: Path) -> None:
        """Give a file another name, or its first one. Raises FileExistsError if the name is taken."""
        name, folder = _at(path)
        if not isinstance(source, int):
            old, within = _at(source)
            os.link(old, name, src_dir_fd=within, dst_dir_fd=folder, follow_symlinks=False)
        elif folder is not None:
            os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=folder)
        else:  # only with a folder's descriptor does os.link follow the link in /proc
            folder = os.open(os.path.dirname(name), os.O_RDONLY | _O_CLOEXEC)
            try:
                os.link(f"/proc/self/fd/{source}", name, src_dir_fd=folder)
            finally:
                _close(folder)

    def replace(self, source: Path, path: Path) -> None:
        """Rename a file atomically; a file that has the new name is replaced."""
        (old, within), (name, folder) = _at(source), _at(path)
        os.replace(old, name, src_dir_fd=within, dst_dir_fd=folder)

    def hold(self, path: Path) -> int:
        """Keep a file on the disk until this descriptor is closed, whatever becomes of its name."""
        if not _O_PATH:
            raise refused()
        name, folder = _at(path)
        return os.open(name, _O_PATH | _O_NOFOLLOW | _O_CLOEXEC, dir_fd=folder)

    def remove(self, path: Path) -> None:
        """Remove a name."""
        name, folder = _at(path)
        os.unlink(name, dir_fd=folder)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable, if the system supports that."""
        folder = _listable(path)
        try:
            _to_disk(folder)
        except OSError as error:
            # Some file systems cannot sync a folder; PostgreSQL ignores these two errors, too.
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
        finally:
            _close(folder)

    def open(self, path: Path) -> int:
        """Open a file for reading. A named pipe is opened without waiting for its writer."""
        name, folder = _at(path)
        flags = os.O_RDONLY | _O_CLOEXEC | _O_NONBLOCK | _O_BINARY
        return os.open(name, flags if folder is None else flags | _O_NOFOLLOW, dir_fd=folder)

    def read(self, file: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes; none at the end of the file."""
        return os.pread(file, size, offset)

    def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
        """Fill a buffer as far as one call can; returns how many bytes. Without `wait`, from the page cache
        alone."""
        if wait:
            return os.preadv(file, [buffer], offset)
        if not _RWF_NOWAIT:
            raise refused()
        return os.preadv(file, [buffer], offset, _RWF_NOWAIT)

    def list(self, folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """The entries of a folder, in no particular order."""
        return os.scandir(folder) if isinstance(folder, str) else _Listing(folder)

    def stat(self, file: Path | int) -> os.stat_result:
        """Size, times, mode and number of links of a file."""
        if isinstance(file, Inside):
            return os.stat(file.name, dir_fd=file.folder, follow_symlinks=False)
        return os.stat(file)


def _full_sync() -> Callable[[int], object] | None:
    """The call that reaches the disk where `fsync` ends in the disk's own cache: macOS (fsync(2) there)."""
    try:
        import fcntl
    except ImportError:
        return None
    command = getattr(fcntl, "F_FULLFSYNC", None)
    return None if command is None else lambda file: fcntl.fcntl(file, command)


_FULL_SYNC = _full_sync()


def _to_disk(file: int) -> None:
    if _FULL_SYNC is not None:
        try:
            _FULL_SYNC(file)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:  # a network file system; after any other error fsync could lie
                raise
    os.fsync(file)


def _close(file: int) -> None:
    try:
        os.close(file)
    except OSError as error:
        if error.errno == errno.EBADF:  # it was closed before, so by now it may be another file's
            raise


def _at(path: Path) -> tuple[str, int | None]:
    return (path, None) if isinstance(path, str) else (path.name, path.folder)


def _listable(path: Path) -> int:
    name, folder = _at(path)
    flags = os.O_RDONLY | _O_CLOEXEC
    return os.open(name, flags if folder is None else flags | _O_FOLDER | _O_NOFOLLOW, dir_fd=folder)


class _Listing:
    """The entries of a folder; its descriptor stays open as long as they may need it."""

    def __init__(self, folder: Inside) -> None:
        self._folder = _listable(folder)
        try:
            self._found = os.scandir(self._folder)
        except BaseException:
            _close(self._folder)
            raise

    def __enter__(self) -> Iterator[os.DirEntry[str]]:
        return self._found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._found.close()
        _close(self._folder)


def refused() -> OSError:
    """The error of an operation that the system does not have."""
    return OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def _files_here() -> Files:
    if sys.platform == "win32":
        from saver.disk.windows import WindowsFiles

        return WindowsFiles()
    return Files()


FILES: Final = _files_here()
