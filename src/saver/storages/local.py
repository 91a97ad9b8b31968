"""Objects as files in a folder, under their keys.

A store that someone else made may contain anything in its folder. So no symbolic link in it is followed:
each folder on the way to an object is opened from the one above it, and only a regular file is an object.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from saver.disk.advice import remedy
from saver.disk.durable import NewFile, NoHardLinks
from saver.disk.files import FILES, Files, Inside
from saver.disk.mapped import cannot_read, kind_of, open_file
from saver.errors import (
    CannotReadError,
    CannotWriteError,
    DamagedError,
    IncompatibleError,
    NotFoundError,
    SaverError,
)
from saver.storage import Blob, Content, Listed, Stat, Storage
from saver.storages._folders import Folders
from saver.storages._keys import DEPTH, checked, checked_prefix, valid

T = TypeVar("T")

_Look: TypeAlias = Callable[[int, str], Listed | None]  # what to list for a key, given its open folder

_ABSENT = (FileNotFoundError, NotADirectoryError)  # there is nothing with this name


class LocalStorage(Storage):
    """A folder, created with the first object. It may itself be a symbolic link; nothing in it may.

    Hidden files, and others whose names cannot be keys, are ignored. For a link, pipe or folder that has
    the name of an object, and for a link in place of a folder, reading raises DamagedError and writing
    CannotWriteError; links and pipes are listed.
    """

    def __init__(self, folder: str | os.PathLike[str], files: Files = FILES) -> None:
        self._shown = os.fspath(folder)
        self._in_shown = os.path.join(self._shown, "")
        self._files = files
        self._folders = Folders(os.path.abspath(self._shown), files)

    def __str__(self) -> str:
        return self._shown

    def is_inside(self, other: Storage) -> bool:
        if not isinstance(other, LocalStorage):
            return False
        own, outer = os.path.realpath(self._shown), os.path.realpath(other._shown)
        return own.startswith(os.path.join(outer, ""))

    def _where(self, key: str) -> str:
        return self._in_shown + key

    # Writing

    def put(self, key: str, content: Content) -> None:
        with self._new(key, content.size) as file:
            content.write(file)
            file.shrink(content.size)
            try:
                placed = file.commit(replace=False)
            except NoHardLinks:  # no one else uses this key, so replacing is as good
                placed = file.commit()
        if not placed:
            self._demand_object(key)
            raise CannotWriteError(f"{self._where(key)}: this object exists already; it was not changed")

    def replace(self, key: str, content: Content) -> None:
        with self._new(key, content.size) as file:
            content.write(file)
            file.commit()

    def create(self, key: str, data: bytes) -> bool:
        """Even when this returns False, the existing object is durable."""
        with self._new(key, len(data)) as file:
            file.write(data, 0)
            placed = file.commit(replace=False)
        if not placed:
            self._demand_object(key)
        return placed

    def _demand_object(self, key: str) -> None:
        """Raise CannotWriteError if what has this name is not an object."""
        try:
            self.stat(key)
        except DamagedError as error:
            raise CannotWriteError(f"{error}; nothing was written") from None

    @contextmanager
    def _new(self, key: str, size: int) -> Iterator[NewFile]:
        path, _, name = checked(key).rpartition("/")
        try:
            folder = self._folders.make(path)
        except OSError as error:
            raise self._unwritten(key, error) from error
        try:
            place, shown = Inside(folder, name), self._where(key)
            with NewFile(place, size, self._files, shown, self._folders.mode()) as file:
                yield file
        finally:
            self._files.close(folder)

    def _unwritten(self, key: str, error: OSError) -> SaverError:
        if error.errno == errno.ELOOP:
            return CannotWriteError(f"{self._link(key)}; nothing was written")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some room" if full else remedy(error)
        if error.errno in (errno.EACCES, errno.EPERM):
            advice = f"`saver doctor {self._shown}` says who may write there"
        advice = advice or "choose another folder, or one where you may write"
        return CannotWriteError(
            f"{self._where(key)}: {error.strerror or error}; nothing was written; {advice}"
        )

    # Reading

    def open(self, key: str) -> Blob:
        where = self._where(key)

        def opened(place: Inside) -> Blob:
            self._demand_file(key, self._files.stat(place))  # not even opening a device is harmless
            return open_file(place, where, self._files)

        try:
            return self._folders.at(key, opened)
        except (NotFoundError, *_ABSENT):
            raise NotFoundError(f"{where}: there is no such object") from None
        except CannotReadError:
            raise
        except OSError as error:
            raise self._unread(key, error) from error

    def stat(self, key: str) -> Stat | None:
        """The time is when the file was last written to, by the clock of the file system."""
        try:
            return self._demand_file(key, self._folders.at(key, self._files.stat))
        except _ABSENT:
            return None
        except OSError as error:
            raise self._unread(key, error) from error

    def stats(self, *keys: str) -> list[Stat | None]:
        """The folder of neighbours is opened once."""
        if len({checked(key).rpartition("/")[0] for key in keys}) != 1:
            return [self.stat(key) for key in keys]
        try:
            return self._folders.at(keys[0], lambda place: [self._beside(place.folder, key) for key in keys])
        except _ABSENT:
            return [None] * len(keys)
        except OSError as error:
            raise self._unread(keys[0], error) from error

    def _beside(self, folder: int, key: str) -> Stat | None:
        try:
            return self._demand_file(key, self._files.stat(Inside(folder, key.rpartition("/")[2])))
        except FileNotFoundError:
            return None
        except PermissionError:
            raise  # it may be the folder's, which another process is just sharing
        except OSError as error:
            raise self._unread(key, error) from error

    def _demand_file(self, key: str, found: os.stat_result) -> Stat:
        if not stat.S_ISREG(found.st_mode):
            raise DamagedError(
                f"{self._where(key)} is {kind_of(found.st_mode)}, not an object of a store; it was neither "
                "followed nor read; remove it, and restore the object from a copy of the store"
            )
        return Stat(found.st_size, found.st_mtime)

    def _unread(self, key: str, error: OSError) -> SaverError:
        return (
            DamagedError(self._link(key))
            if error.errno == errno.ELOOP
            else cannot_read(self._where(key), error)
        )

    def _link(self, key: str) -> str:
        """The message about a symbolic link on the way to a key."""
        names = key.split("/")
        paths = [self._where("/".join(names[:count])) for count in range(1, len(names) + 1)]
        link = next(filter(os.path.islink, paths), paths[-1])
        return (
            f"{link} is a symbolic link, which no store may contain; nothing behind it was read or changed; "
            "remove it, and put the folder itself in its place"
        )

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self._walk(checked_prefix(prefix), after, self._looked_at)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Names alone take a seventh of the time that `list` takes."""
        return (found.key for found in self._walk(checked_prefix(prefix), after, _unseen))

    def _walk(self, prefix: str, after: str, look: _Look) -> Iterator[Listed]:
        for found in self._entries(prefix, after, look):
            if found.key.endswith("/"):
                yield from self._walk(found.key, after, look)
            else:
                yield found

    def _entries(self, prefix: str, after: str, look: _Look) -> Iterable[Listed]:
        """What is in a folder, in the order of keys: folders end with a slash, links to folders do not."""
        try:
            folder = self._folders.open(prefix.removesuffix("/"))
            try:
                with self._files.list(Inside(folder, ".")) as found:
                    keys = sorted(
                        prefix + (entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name)
                        for entry in found
                        if valid(entry.name)
                    )
                wanted = (key for key in keys if key > after or (key[-1] == "/" and after.startswith(key)))
                return [each for key in wanted if (each := look(folder, key)) is not None]
            finally:
                self._files.close(folder)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            if prefix:
                return []
            raise IncompatibleError(f"{self._shown} is a file, not a store; name a folder") from None
        except OSError as error:
            raise self._unread(prefix.removesuffix("/"), error) from error

    def _looked_at(self, folder: int, key: str) -> Listed | None:
        """What a name in an open folder leads to; None if it has disappeared, or is too deep a folder."""
        if key.endswith("/"):
            return _unseen(folder, key)
        try:
            found = self._files.stat(Inside(folder, key.rpartition("/")[2]))
        except FileNotFoundError:
            return None
        except OSError:
            return Listed(key, None)
        return Listed(key, Stat(found.st_size, found.st_mtime) if stat.S_ISREG(found.st_mode) else None)

    # Deleting

    def delete(self, *keys: str) -> None:
        """Until the system writes the deletion to disk by itself, a power loss may bring objects back. That
        does no harm: a collector finds them again, and deletes them again."""
        failed: SaverError | None = None
        for key in keys:
            try:
                self._delete(key)
            except CannotWriteError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _delete(self, key: str) -> None:
        try:
            self._folders.at(key, self._files.remove)
        except _ABSENT:
            return
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise CannotWriteError(f"{self._link(key)}; nothing was deleted") from error
            advice = remedy(error) or "you need permission to write to its folder"
            raise CannotWriteError(
                f"{self._where(key)}: {error.strerror or error}; it was not deleted; {advice}"
            ) from error


def _unseen(folder: int, key: str) -> Listed | None:
    """A key alone; None for a folder that is too deep."""
    return Listed(key, None) if key[-1] != "/" or key.count("/") < DEPTH else None


def open_storage(address: str) -> Storage:
    """The storage in the folder `address`, relative to the current one. Raises NotFoundError if there is a
    file, a pipe, a device or a link to nothing in its place, or in that of a folder on the way to it."""
    if os.path.isdir(address):
        return LocalStorage(address)
    place = os.path.abspath(address)
    while not os.path.lexists(place) and os.path.dirname(place) != place:
        place = os.path.dirname(place)
    if os.path.lexists(place) and not os.path.isdir(place):
        where = "it" if place == os.path.abspath(address) else place
        kinds = {"a file": os.path.isfile, "a pipe or a device": os.path.exists}
        found = (kind for kind, is_one in kinds.items() if is_one(place))
        what = next(found, "a symbolic link that leads nowhere")
        raise NotFoundError(
            f"{address}: there is no store here, because {where} is {what}; name a folder, or read a file of "
            "Saver with saver.load"
        )
    return LocalStorage(address)
