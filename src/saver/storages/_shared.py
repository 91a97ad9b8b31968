"""A folder that a group shares: its own mode says so, and what is made in it follows that whatever the umask.

The folder of such a store belongs to the group, which may do everything in it, and has the set-gid bit, so
that what is created there belongs to the group, too. No other mark is needed, and none can disagree.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from saver.disk.files import Files, Inside

_GROUP = 0o070
SHARED = stat.S_ISGID | 0o770
"""The mode of the folder of a shared store: its group may do everything, others nothing."""

_LAST_GROUP = (1 << 32) - 2
"""The next number, -1, means to change no group."""

_PATIENCE = 0.5
"""Seconds to wait for another process that has created a folder and not opened it to the group yet, which
takes it a system call."""


def is_shared(mode: int) -> bool:
    """Whether this is the mode of a folder that a group shares."""
    return stat.S_ISDIR(mode) and bool(mode & stat.S_ISGID) and mode & _GROUP == _GROUP


def shared_mode(root: int, own: int) -> int:
    """The mode of what is in a shared folder with the mode `root`, and has the mode `own` by the umask: the
    group may do what its owner may, and others at most what they may in the folder."""
    wanted = own & 0o700 | (own & 0o700) >> 3 | own & root & 0o007
    return wanted | stat.S_ISGID if stat.S_ISDIR(own) else wanted


def share(files: Files, folder: int, root: int) -> None:
    """Open a folder, which is open here, to the group that shares the store. Only its owner may."""
    listable = files.open(Inside(folder, "."))
    try:
        own = files.stat(listable).st_mode
        files.set_mode(listable, shared_mode(root, own | 0o700))
        files.sync(listable)
    finally:
        files.close(listable)


def settled(files: Files, folder: int) -> bool:
    """Wait until the group may do everything in an open folder of a shared store. False if it still may not
    after half a second: then its owner was killed before that, or has changed it since."""
    end = time.monotonic() + _PATIENCE
    while not is_shared(files.stat(folder).st_mode):
        if time.monotonic() >= end:
            return False
        time.sleep(0.005)
    return True


def group_number(group: str) -> int:
    """The number of a group, by its name or its number. Raises KeyError if there is none with this name, and
    OSError if the system has no groups that a folder can belong to."""
    try:
        import grp
    except ImportError:
        raise OSError(errno.EOPNOTSUPP, "this system has no groups that a folder can belong to") from None
    number = int(group) if group.isascii() and group.isdigit() else grp.getgrnam(group).gr_gid
    if number > _LAST_GROUP:
        raise KeyError(group)
    return number


def give(files: Files, path: str, group: int) -> None:
    """Let a group share an empty folder. Raises OSError if this process may not."""
    folder = files.open(path)
    try:
        os.chown(folder, -1, group)
        files.set_mode(folder, SHARED)
        found = files.stat(folder)
    finally:
        files.close(folder)
    if stat.S_IMODE(found.st_mode) != SHARED or found.st_gid != group:
        raise OSError(errno.EPERM, "the system did not set the mode of the folder as it was to be")
