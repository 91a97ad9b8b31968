"""A new file that appears whole and on disk, or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from types import TracebackType

from saver.errors import CannotWrite, CommitUnknown, SaverError

try:
    import fcntl
except ImportError:  # Windows has neither fcntl nor O_DIRECT
    fcntl = None  # type: ignore[assignment]

_O_DIRECT = getattr(os, "O_DIRECT", 0)
_O_TMPFILE = getattr(os, "O_TMPFILE", 0)


class NewFile:
    """A file being written, invisible until `commit`, which makes it durable and puts it in place.

    Leaving the `with` block without `commit` leaves nothing behind. Where the system has unnamed files
    (O_TMPFILE), not even a killed process does. A symbolic link at `path` is followed, and the mode of
    a file that is replaced is kept. A failure is a CannotWrite, and what was there before is untouched;
    only when the folder cannot be synced in the end it is a CommitUnknown.
    """

    def __init__(self, path: str, size: int) -> None:
        self._path = os.path.realpath(path)
        self._shown = path
        self._folder = os.path.dirname(self._path)
        self._size = size
        self._name: str | None = None
        self._descriptor = -1

    def __enter__(self) -> NewFile:
        try:
            self._open()
            _reserve(self._descriptor, self._size)
        except OSError as error:
            self._discard()
            raise self._failed(error) from error
        except BaseException:
            self._discard()
            raise
        return self

    def _open(self) -> None:
        if os.path.isdir(self._path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._path)
        cloexec = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if _O_TMPFILE and os.path.isdir("/proc/self/fd"):
            try:
                self._descriptor = os.open(self._folder, os.O_RDWR | _O_TMPFILE | cloexec, 0o666)
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                    raise
        name = self._temporary()
        self._descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | cloexec, 0o666)
        self._name = name

    def _temporary(self) -> str:
        base = os.path.basename(self._path)[:100]
        return os.path.join(self._folder, f".{base}.{os.urandom(6).hex()}.part")

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view = view[written:]
                offset += written
        except OSError as error:
            raise self._failed(error) from error

    def direct(self) -> None:
        """Ask for direct I/O: from now on buffers, lengths and offsets are multiples of 4096."""
        if _O_DIRECT and fcntl is not None:
            _set_flag(self._descriptor, _O_DIRECT, True)

    def buffered(self) -> None:
        """Back to buffered I/O of any length."""
        if _O_DIRECT and fcntl is not None:
            _set_flag(self._descriptor, _O_DIRECT, False)

    def write_direct(self, data: memoryview, offset: int) -> None:
        """Write an aligned buffer; by way of the page cache where the file system refuses direct I/O."""
        try:
            written = os.pwrite(self._descriptor, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise self._failed(error) from error
            self.buffered()
            written = 0
        if written < len(data):
            self.buffered()
            self.write(data[written:], offset + written)

    def cut(self, size: int) -> None:
        """Make the file exactly `size` bytes long."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise self._failed(error) from error

    def commit(self) -> None:
        """Make the bytes durable, then the name. A failed fsync is final: the kernel dropped the pages."""
        try:
            os.fsync(self._descriptor)
            self._keep_mode()
            if self._name is None:
                name = self._temporary()
                self._link(name)
                self._name = name
            os.replace(self._name, self._path)
            self._name = None
        except OSError as error:
            raise self._failed(error) from error
        try:
            sync_folder(self._folder)
        except OSError as error:
            raise CommitUnknown(
                f"{self._shown}: the new file stands there, but its folder could not be synced "
                f"({error.strerror or error}), so a power loss may bring the old one back; check the disk "
                "and save again"
            ) from error

    def _link(self, name: str) -> None:
        """Name the unnamed file. Only with a folder's descriptor does `os.link` follow the link in /proc."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.link(f"/proc/self/fd/{self._descriptor}", name, src_dir_fd=folder)
        finally:
            os.close(folder)

    def _keep_mode(self) -> None:
        try:
            mode = stat.S_IMODE(os.stat(self._path).st_mode)
        except FileNotFoundError:
            return
        os.fchmod(self._descriptor, mode)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def _discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._name is not None:
            os.unlink(self._name)
            self._name = None

    def _failed(self, error: OSError) -> SaverError:
        advice = {
            errno.ENOSPC: f"it needs {self._size:,} bytes: free some, or choose another folder",
            errno.EDQUOT: f"it needs {self._size:,} bytes of your quota",
            errno.ENOENT: f"create the folder {self._folder} first, or choose another one",
            errno.EACCES: f"you may not write to {self._folder}; choose another folder",
            errno.EPERM: f"you may not write to {self._folder}; choose another folder",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.EISDIR: "it is a folder; name a file in it",
        }.get(error.errno or 0, "try again, or choose another folder")
        return CannotWrite(f"{self._shown}: {error.strerror or error}; nothing was changed there; {advice}")


def _set_flag(descriptor: int, flag: int, on: bool) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | flag if on else flags & ~flag)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _reserve(descriptor: int, size: int) -> None:
    """Take the room beforehand: a full disk shows now, and the blocks lie together."""
    if not hasattr(os, "posix_fallocate") or size == 0:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV):
            raise


def sync_folder(folder: str) -> None:
    """Make the names in `folder` durable."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
