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
        if hasattr(os, "getuid") and (found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077):
            raise PermissionError(errno.EPERM, "others may enter it")
        yield folder
    finally:
        files.close(folder)


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
            yield each, files.stat(Inside(folder, each))
