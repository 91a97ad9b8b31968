"""What the file system of Windows does otherwise.

- No folder can be opened, so an open folder is its path here, and a name inside it another path.
- Bytes are read and written at the position of a descriptor, so that is moved under a lock.
- No folder can be synced: NTFS keeps the order of changes of names in its own log.
- Paths of 260 characters and more need the prefix `\\\\?\\`.
- A junction is as good as a symbolic link, and needs no permission to make.

Nothing here calls what only Windows has, so the tests of storages run it on every system.
"""

from __future__ import annotations

import errno
import io
import itertools
import ntpath
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from threading import Lock

from saver.disk.files import Files, Inside, Path, refused

_JUNCTION = 0xA0000003
"""IO_REPARSE_TAG_MOUNT_POINT."""

LONG = 240
"""From this length on, a path gets the prefix: names of folders are limited to 248 characters without it."""


class WindowsFiles(Files):
    """Files by their paths.

    Whether a name on the way is a link is looked up before each use. So someone who may write to the folder
    of a store, and swaps a folder for a link in that moment, can lead Saver out of it; on other systems
    nobody can.
    """

    def __init__(self) -> None:
        self._folders: dict[int, str] = {}
        self._numbers = itertools.count(2)
        self._position = Lock()

    def open_folder(self, path: Path) -> int:
        where = self._path(path)
        whole, name = os.path.split(where)
        found = os.stat(whole) if name == "." else self._own(where)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), where)
        number = -next(self._numbers)  # no descriptor is negative
        self._folders[number] = whole if name == "." else where
        return number

    def make_folder(self, path: Path) -> None:
        os.mkdir(self._path(path))

    def remove_folder(self, path: Path) -> None:
        os.rmdir(self._path(path))

    def create(self, path: Path) -> int:
        return super().create(self._path(path))

    def open_existing(self, path: Path) -> int:
        return super().open_existing(self._path(path))

    def create_unnamed(self, folder: Path) -> int:
        raise refused()

    def open_direct(self, file: int) -> int:
        raise refused()

    def write(self, file: int, data: memoryview, offset: int) -> int:
        with self._position:
            os.lseek(file, offset, os.SEEK_SET)
            return os.write(file, data)

    def set_mode(self, file: int, mode: int) -> None:
        """Nothing: a file takes its permissions from its folder."""

    def close(self, file: int) -> None:
        if self._folders.pop(file, None) is None:
            super().close(file)

    def link(self, source: Path | int, path: Path) -> None:
        if isinstance(source, int):
            raise refused()
        os.link(self._path(source), self._path(path))

    def replace(self, source: Path, path: Path) -> None:
        os.replace(self._path(source), self._path(path))

    def remove(self, path: Path) -> None:
        os.unlink(self._path(path))

    def sync_folder(self, path: Path) -> None:
        """Nothing: Windows has no such call."""

    def open(self, path: Path) -> int:
        where = self._path(path)
        if isinstance(path, Inside):
            self._own(where)
        try:
            return super().open(where)
        except PermissionError:
            if os.path.isdir(where):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), where) from None
            raise

    def read(self, file: int, size: int, offset: int) -> bytes:
        with self._position:
            os.lseek(file, offset, os.SEEK_SET)
            return os.read(file, size)

    def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
        if not wait:
            raise refused()
        with self._position, io.FileIO(file, closefd=False) as raw:
            raw.seek(offset)
            return raw.readinto(buffer)

    def list(self, folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        return os.scandir(self._path(folder))

    def stat(self, file: Path | int) -> os.stat_result:
        if isinstance(file, Inside):
            return os.lstat(self._path(file))
        return os.stat(file if isinstance(file, int) else self._path(file))

    def _path(self, path: Path) -> str:
        if isinstance(path, str):
            return extended(path)
        folder = self._folders[path.folder]
        return extended(folder if path.name == "." else os.path.join(folder, path.name))

    def _own(self, where: str) -> os.stat_result:
        """What is at a path itself. Raises OSError (ELOOP) for a link."""
        found = os.lstat(where)
        if stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", 0) == _JUNCTION:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), where)
        return found


def extended(path: str) -> str:
    r"""The path in the form that Windows takes at any length, if it is long: `\\?\C:\…`, `\\?\UNC\server\…`.

    Such a path is taken as it is, so it must be absolute; `.`, `..` and `/` are resolved here.
    """
    drive, rest = ntpath.splitdrive(path)
    if len(path) < LONG or not drive or rest[:1] not in ("\\", "/") or path.startswith("\\\\?\\"):
        return path
    name = "\\." if rest[-2:] in ("\\.", "/.") else ""
    clean = ntpath.normpath(path)
    return ("\\\\?\\UNC" + clean[1:] if clean.startswith("\\\\") else "\\\\?\\" + clean) + name
