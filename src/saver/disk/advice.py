"""What to do about an error of the file system."""

from __future__ import annotations

import errno
from typing import Final

from saver.errors import CannotWriteError

_IN_USE = (5, 32, 33)
"""Errors of Windows (ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION) for a file that a
program has open; the first also means that it is not permitted."""


class NoHardLinks(CannotWriteError):
    """The file system cannot give a file a name only if that name is free."""


def no_hard_links(shown: str, error: OSError) -> NoHardLinks:
    """The error for a file that is called `shown` in messages."""
    return NoHardLinks(
        f"{shown}: the file system has no hard links ({error.strerror}), which a store needs to give out a "
        "number only once; nothing was changed there; choose a folder on another file system, not FAT or "
        "exFAT"
    )


def advice(error: OSError, size: int, folder: str) -> str:
    """What to do if a file of `size` bytes cannot be written in a folder."""
    if getattr(error, "winerror", None) in _IN_USE:
        return f"a program has it open, or you may not write to {folder}: close it there, and try again"
    return {
        errno.ENOSPC: f"it needs {size:,} bytes and one file: free some, or choose another folder",
        errno.EDQUOT: f"it needs {size:,} bytes and one file of your quota: free some",
        errno.ENOENT: f"create the folder {folder} first, or choose another one",
        errno.EACCES: f"you may not write to {folder}; choose another folder",
        errno.EPERM: f"you may not write to {folder}; choose another folder",
        errno.EROFS: "the file system is read-only; choose another folder",
    }.get(error.errno or 0, remedy(error) or "try again, or choose another folder")


def remedy(error: OSError) -> str:
    """What to do about an error that would occur with any other folder or file, too; "" for other errors."""
    return _REMEDIES.get(error.errno or 0, "")


_REMEDIES: Final = {
    errno.EMFILE: "this process has too many files open: close some, or raise its limit (ulimit -n)",
    errno.ENFILE: "the system has too many files open: close programs, or raise its limit",
    errno.ENOMEM: "free some memory, and try again",
    errno.EFBIG: "it is larger than files may be: raise the limit (ulimit -f), or choose another file system",
    errno.EIO: "check the disk, and try again",
}
