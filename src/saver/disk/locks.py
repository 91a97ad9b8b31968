"""Locks on files and folders, which a killed process lets go."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def alone(path: str, patience: float) -> Iterator[None]:
    """Be the only one that holds this file, which is made if it is missing. A system without locks lets
    everybody in. Raises OSError if another one holds it for so many seconds."""
    with open(path, "ab") as file:
        end = time.monotonic() + patience
        while not _tried(file.fileno()):
            if time.monotonic() > end:
                raise OSError(errno.EAGAIN, "another process holds it")
            time.sleep(0.001)
        yield


def _tried(file: int) -> bool:
    try:
        return locked(file)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS):
            return True
        raise


def locked(file: int) -> bool:
    """Hold a file or folder until it is closed. Returns whether nobody else does; raises OSError if the
    system has no locks (`flock`)."""
    try:
        import fcntl
    except ImportError:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
