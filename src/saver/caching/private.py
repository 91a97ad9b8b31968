"""Folders that only this user may enter, and files in them that need not be durable."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from saver.disk.files import Files, Inside


@contextmanager
def entered(files: Files, path: str, make: bool = False) -> Iterator[int]:
    """A folder, opened; with `make`, it is made if it is not there. Raises OSError, also if others may enter
    it."""
    try:
        folder = files.open_folder(path)
    except FileNotFoundError:
        if not make:
            raise
        os.makedirs(path, 0o700, exist_ok=True)
        folder = files.open_folder(path)
    try:
        found = files.stat(Inside(folder, "."))
        if not _is_own(found):
            raise PermissionError(errno.EPERM, "it belongs to another user")
        if hasattr(os, "getuid") and stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(errno.EPERM, "others may enter it")
        yield folder
    finally:
        files.close(folder)


def _is_own(found: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


def existing(files: Files, place: Inside) -> int:
    """A file, opened for reading and writing. What is not a file of this user and this folder alone (a link
    to another one, another name of it, a pipe) is removed, and never written to. Raises OSError:
    FileNotFoundError also if that was so."""
    found = files.stat(place)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1 and _is_own(found):
        return files.open_existing(place)
    files.remove(place)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def made(files: Files, place: Inside) -> int:
    """A file, opened for reading and writing; an empty one if there was none. Raises OSError."""
    with suppress(FileNotFoundError):
        return existing(files, place)
    with suppress(FileExistsError):  # another process was faster
        return files.create(place)
    return existing(files, place)


def filled(files: Files, file: int, offset: int, memory: memoryview) -> bool:
    """Fill memory with what is in a file from `offset`; says whether there was as much. Raises OSError."""
    while memory:
        size = files.read_into(file, memory, offset)
        if size == 0:
            return False
        memory, offset = memory[size:], offset + size
    return True


def written(files: Files, file: int, offset: int, data: memoryview) -> None:
    """Write all of the data into a file, from `offset`. Raises OSError."""
    while data:
        size = files.write(file, data, offset)
        data, offset = data[size:], offset + size


def listed(files: Files, folder: int, name: re.Pattern[str]) -> Iterator[tuple[str, os.stat_result]]:
    """The files of a folder whose whole name fits, and what the system says of each. Raises OSError."""
    with files.list(Inside(folder, ".")) as entries:
        names = [entry.name for entry in entries if name.fullmatch(entry.name)]
    for each in names:
        with suppress(FileNotFoundError):  # another process was faster
            found = files.stat(Inside(folder, each))
            if not stat.S_ISDIR(found.st_mode):
                yield each, found


def freed(files: Files, folder: int, found: list[tuple[float, str, int]], limit: int) -> None:
    """Of files, whose times, names and sizes these are, remove the oldest, until the others have `limit`
    bytes at most. Raises OSError if that is impossible; one that cannot be removed keeps no other one."""
    taken, failure = sum(size for *_, size in found), None
    for _, name, size in sorted(found):
        if taken <= limit:
            return
        try:
            files.remove(Inside(folder, name))
        except FileNotFoundError:  # another process was faster
            pass
        except OSError as error:
            failure = failure or error
            continue
        taken -= size
    if failure is not None and taken > limit:
        raise failure
