"""The local file system as the few operations that Saver uses, each a system call or nearly.

All file work that can lose data goes through a `Files`, so that whoever wraps it can make any of it fail.
Files are descriptors; paths are strings. Every operation may raise OSError.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

_O_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_O_BINARY: Final = getattr(os, "O_BINARY", 0)
_O_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_O_DIRECT = getattr(os, "O_DIRECT", 0)
_O_TMPFILE = getattr(os, "O_TMPFILE", 0)
_RWF_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)

_MODE = 0o666
"""As far as the umask lets it be."""


class Files:
    """The local file system."""

    def make_folder(self, path: str) -> None:
        """A new folder; FileExistsError when there is something of this name."""
        os.mkdir(path)

    def create(self, path: str) -> int:
        """A new file, open for writing; FileExistsError when there is something of this name."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _O_CLOEXEC | _O_BINARY, _MODE)

    def create_unnamed(self, folder: str) -> int:
        """A new file without a name, which is gone with its last descriptor; `link` can name it."""
        if not _O_TMPFILE or not os.path.isdir("/proc/self/fd"):
            raise _refused()
        return os.open(folder, os.O_RDWR | _O_TMPFILE | _O_CLOEXEC, _MODE)

    def open_direct(self, file: int) -> int:
        """Another descriptor of an open file, for aligned writes that bypass the page cache."""
        if not _O_DIRECT:
            raise _refused()
        return os.open(f"/proc/self/fd/{file}", os.O_RDWR | _O_DIRECT | _O_CLOEXEC)

    def reserve(self, file: int, size: int) -> None:
        """Take the room for `size` bytes: a full disk shows now, and the blocks lie together."""
        if not hasattr(os, "posix_fallocate"):
            raise _refused()
        os.posix_fallocate(file, 0, size)

    def write(self, file: int, data: memoryview, offset: int) -> int:
        """Write what can be written at once; how many bytes that were."""
        return os.pwrite(file, data, offset)

    def truncate(self, file: int, size: int) -> None:
        """Make a file exactly `size` bytes long."""
        os.ftruncate(file, size)

    def set_mode(self, file: int, mode: int) -> None:
        """Who may do what with a file."""
        os.fchmod(file, mode)

    def sync(self, file: int) -> None:
        """Make the bytes of a file durable. Once this failed, it is of no use to try again."""
        os.fsync(file)

    def close(self, file: int) -> None:
        """Give a descriptor back."""
        os.close(file)

    def link(self, source: str | int, path: str) -> None:
        """A name more, or the first one; FileExistsError when there is something of this name."""
        if isinstance(source, str):
            os.link(source, path)
            return
        # Only with a folder's descriptor does os.link follow the link in /proc.
        folder = os.open(os.path.dirname(path), os.O_RDONLY | _O_CLOEXEC)
        try:
            os.link(f"/proc/self/fd/{source}", path, src_dir_fd=folder)
        finally:
            os.close(folder)

    def replace(self, source: str, path: str) -> None:
        """Give a file another name, which may be that of another file, at once."""
        os.replace(source, path)

    def remove(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable, as far as the system knows such a thing."""
        if sys.platform == "win32":
            return
        folder = os.open(path, os.O_RDONLY | _O_CLOEXEC)
        try:
            os.fsync(folder)
        except OSError as error:
            # Some file systems have nothing to sync in a folder; PostgreSQL takes these two for that, too.
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
        finally:
            os.close(folder)

    def open(self, path: str) -> int:
        """A file for reading. A named pipe is opened without waiting for its writer."""
        return os.open(path, os.O_RDONLY | _O_CLOEXEC | _O_NONBLOCK | _O_BINARY)

    def read(self, file: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes; none at the end of the file."""
        return os.pread(file, size, offset)

    def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
        """Fill a buffer as far as it goes at once; how far. Without `wait` from the page cache alone."""
        if wait:
            return os.preadv(file, [buffer], offset)
        if not _RWF_NOWAIT:
            raise _refused()
        return os.preadv(file, [buffer], offset, _RWF_NOWAIT)

    def list(self, folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """What is in a folder, in no order."""
        return os.scandir(folder)

    def stat(self, file: str | int) -> os.stat_result:
        """Size, times, mode and number of names of a file."""
        return os.stat(file)


def _refused() -> OSError:
    return OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


FILES: Final = Files()
