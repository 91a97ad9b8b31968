"""Folders that only this user may enter."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

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
