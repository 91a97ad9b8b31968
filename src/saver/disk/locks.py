"""Locks on files and folders, which a killed process lets go."""

from __future__ import annotations

import errno
import os


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
