"""What a new file replaces: a file alone, whose space is freed beside the caller.

ext4 frees the blocks of a replaced file within `rename`: some 300 ms for each GB. So the old file is held
open over the rename, and a thread closes it, which frees them.
"""

from __future__ import annotations

import errno
import os
import stat
from threading import Lock, Thread

from saver.disk.files import Files
from saver.errors import with_article
from saver.forks import begin_anew

LARGE = 4 << 20
"""Bytes from which a file is freed by a thread: starting one takes as long as freeing some 100 kB."""


class NotAFile(OSError):
    """There is something else under the name of a new file."""


def check_file(found: os.stat_result) -> None:
    """Raise NotAFile for anything but a file."""
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "special file")
        raise NotAFile(errno.EINVAL, f"it is {with_article(kind)}")


_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFLNK: "symbolic link",
}


class Replaced:
    """The replaced files that are being closed."""

    def __init__(self) -> None:
        self._begin()
        begin_anew(self, Replaced._begin)

    def _begin(self) -> None:
        self._lock = Lock()
        self._closing: list[Thread] = []

    def close(self, files: Files, file: int) -> None:
        """Close a file in a thread; here, if none can be started."""
        thread = Thread(target=files.close, args=(file,), name="saver-freeing", daemon=True)
        with self._lock:
            self._closing = [each for each in self._closing if each.is_alive()]
            try:
                thread.start()
            except RuntimeError:  # also once the interpreter ends
                files.close(file)
                return
            self._closing.append(thread)

    def wait(self) -> bool:
        """Wait until all of them are closed. Returns whether there was one."""
        with self._lock:
            closing, self._closing = self._closing, []
        for thread in closing:
            thread.join()
        return bool(closing)


REPLACED = Replaced()


def is_worth_holding(found: os.stat_result) -> bool:
    """Whether replacing a file frees so much that it takes time. Only on a disk of this machine: an NFS
    client would rename a file that is held open, and file systems without a disk free memory."""
    if found.st_size < LARGE or found.st_nlink != 1 or not hasattr(os, "major"):
        return False
    return os.major(found.st_dev) != 0
