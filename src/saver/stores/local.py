"""Objects as files in a folder, under their keys."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from saver.durable import NewFile, NoHardLinks
from saver.errors import CannotWrite, NotFound, Unsupported
from saver.files import FILES, Files
from saver.mapped import cannot_read, open_file
from saver.store import Blob, Sink, Stat, Store
from saver.stores._keys import checked, checked_prefix, valid


class LocalStore(Store):
    """A folder. It appears with the first object.

    Hidden files, and others whose names cannot be keys, are none of its objects.
    """

    def __init__(self, folder: str | os.PathLike[str], files: Files = FILES) -> None:
        self._shown = os.fspath(folder)
        self._folder = os.path.abspath(self._shown)
        self._files = files
        self._there = False

    def __str__(self) -> str:
        return self._shown

    def put(self, key: str, size: int, fill: Callable[[Sink], Any]) -> None:
        with self._new(key, size) as file:
            fill(file)
            try:
                placed = file.commit(replace=False)
            except NoHardLinks:  # nobody else uses this key, so replacing is as good
                placed = file.commit()
            if not placed:
                raise CannotWrite(f"{self._where(key)}: there is such an object already; it was not changed")

    def create(self, key: str, data: bytes) -> bool:
        """When this returns False, too, the object that is there is durable."""
        with self._new(key, len(data)) as file:
            file.write(data, 0)
            return file.commit(replace=False)

    def _new(self, key: str, size: int) -> NewFile:
        path = self._path(key)
        try:
            self._make_folder(os.path.dirname(path))
            self._there = True
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            advice = "free some room" if full else "choose another folder, or one where you may write"
            raise CannotWrite(
                f"{self._where(key)}: {error.strerror or error}; nothing was written; {advice}"
            ) from error
        return NewFile(path, size, self._files)

    def _make_folder(self, folder: str) -> None:
        """`folder` is there, and its name is durable.

        Its name is made so before there is any object in it. So whoever sees an object in a folder, which
        another process may just have made, need not sync the folder above. The folder of the store itself is
        made once: raises FileNotFoundError when it is gone since, for what it held is.
        """
        above = os.path.dirname(folder)
        if folder == self._folder and self._there:
            self._files.stat(folder)
            return
        if len(folder) > len(self._folder):  # those above the store are made only where they are missing
            self._make_folder(above)
        try:
            self._files.make_folder(folder)
        except FileExistsError:
            if not self._has_objects(folder):
                with suppress(PermissionError):  # whoever made it there has to care for its name
                    self._files.sync_folder(above)
            return
        except FileNotFoundError:
            self._make_folder(above)
            with suppress(FileExistsError):  # another process was faster
                self._files.make_folder(folder)
        self._files.sync_folder(above)

    def _has_objects(self, folder: str) -> bool:
        with self._files.list(folder) as found:
            return any(valid(entry.name) for entry in found)

    def open(self, key: str) -> Blob:
        try:
            return open_file(self._path(key), self._where(key), self._files)
        except NotFound:
            raise NotFound(f"{self._where(key)}: there is no such object") from None

    def stat(self, key: str) -> Stat | None:
        """The time is when the file was last written to, by the clock of the file system."""
        try:
            found = self._files.stat(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise cannot_read(self._where(key), error) from error
        return Stat(found.st_size, found.st_mtime)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return self._walk(checked_prefix(prefix), after)

    def _walk(self, prefix: str, after: str) -> Iterator[str]:
        for name in self._names(prefix):
            key = prefix + name
            if not name.endswith("/"):
                if key > after:
                    yield key
            elif key > after or after.startswith(key):
                yield from self._walk(key, after)

    def _names(self, prefix: str) -> Iterable[str]:
        """What is in a folder, in the order of keys: folders end with a slash."""
        try:
            with self._files.list(os.path.join(self._folder, *prefix.split("/"))) as found:
                return sorted(
                    entry.name + "/" if entry.is_dir() else entry.name for entry in found if valid(entry.name)
                )
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            if prefix:
                return []
            raise Unsupported(f"{self._shown} is a file, not a store; name a folder") from None
        except OSError as error:
            raise cannot_read(self._where(prefix), error) from error

    def delete(self, key: str) -> None:
        """Until the system writes it down by itself, a power loss may bring the object back.

        That does no harm to what is stored: whoever deletes finds it again, and deletes it again.
        """
        try:
            self._files.remove(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise CannotWrite(
                f"{self._where(key)}: {error.strerror or error}; it was not deleted; you need the right to "
                "write to its folder"
            ) from error

    def _path(self, key: str) -> str:
        return os.path.join(self._folder, *checked(key).split("/"))

    def _where(self, key: str) -> str:
        return os.path.join(self._shown, key)


def open_store(address: str) -> Store:
    """The store in the folder `address`, relative to the current one."""
    return LocalStore(address)
