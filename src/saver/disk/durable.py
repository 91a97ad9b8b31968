"""A new file that appears whole and durable, or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from types import TracebackType
from typing import TypeAlias, TypeVar

from saver.disk.advice import NoHardLinks as NoHardLinks
from saver.disk.advice import advice, no_hard_links
from saver.disk.files import FILES, UNSUPPORTED, Files, Inside, Path
from saver.disk.replaced import REPLACED, NotAFile, check_file, is_worth_holding
from saver.errors import CannotWriteError, CommitUnknownError, SaverError
from saver.storage import Sink

T = TypeVar("T")

Mode: TypeAlias = Callable[[int], int]

_NO_UNNAMED = UNSUPPORTED | {errno.EISDIR, errno.ENOENT}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNCERTAIN = (errno.EIO, errno.ETIMEDOUT)
_NO_LINKS = UNSUPPORTED | {errno.EPERM}


def reserve(files: Files, file: int, size: int) -> None:
    """Reserve room for a file, where the file system can. Raises OSError if there is too little."""
    try:
        if size:
            files.reserve(file, size)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


class NewFile(Sink):
    """A file being written, invisible until `commit`, which makes it durable and puts it in place.

    Leaving the `with` block without `commit` leaves nothing behind. If the system has unnamed files
    (O_TMPFILE), not even a killed process leaves anything. A symbolic link at `path` is followed, unless
    the path is `Inside` a folder, and a file that is replaced passes on its mode. Only files are replaced:
    not devices, named pipes or sockets. A failure raises CannotWriteError, and what was there before is
    untouched; only if it is unknown whether the new file is in place for good, it raises
    CommitUnknownError. Messages call the file `shown`, or else by its path. `mode` makes the file's mode of
    that which it has by the umask.
    """

    def __init__(
        self, path: Path, size: int, files: Files = FILES, shown: str = "", mode: Mode | None = None
    ) -> None:
        self._given = path
        self._path: Path = os.path.realpath(path) if isinstance(path, str) else path
        self._folder = self._beside(".")
        self._shown = shown or _name_of(path)
        self._size = size
        self._files = files
        self._mode = mode
        self._name: Path | None = None
        self._file = -1
        self._direct: int | None = None
        self._open: list[int] = []
        self._found: os.stat_result | None = None
        self._replaced: os.stat_result | None = None
        self._held = -1
        self._lock = Lock()

    def __enter__(self) -> NewFile:
        try:
            self._with_room(self._create)
            self._with_room(lambda: reserve(self._files, self._file, self._size))
        except OSError as error:
            self._discard()
            raise self._failed(error) from error
        except BaseException:
            self._discard()
            raise
        return self

    def _create(self) -> None:
        if isinstance(self._path, str):
            self._old()
        try:
            self._file = self._files.create_unnamed(self._folder)
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            self._name = self._hidden()
            self._file = self._files.create(self._name)
        self._open.append(self._file)
        if self._mode is not None:
            self._files.set_mode(self._file, self._mode(self._files.stat(self._file).st_mode))

    def _with_room(self, act: Callable[[], T]) -> T:
        """What `act` returns. If the disk is full, once more after the space of replaced files is free."""
        try:
            return act()
        except OSError as error:
            if error.errno not in _FULL or not REPLACED.wait():
                raise
            return act()

    def _old(self) -> os.stat_result | None:
        """The file that this one will replace, if there is one. Raises for anything else: a rename would
        put a file in the place of a device, a named pipe or a socket, which others use."""
        try:
            found = self._files.stat(self._given)  # not its real path: a link to a pipe has none
        except FileNotFoundError:
            return None
        check_file(found)
        return found

    def _hidden(self) -> Path:
        return self._beside(f".{os.path.basename(_name_of(self._path))[:100]}.{os.urandom(6).hex()}.part")

    def _beside(self, name: str) -> Path:
        """Another name in the folder of the file; `.` is the folder itself."""
        if not isinstance(self._path, str):
            return Inside(self._path.folder, name)
        folder = os.path.dirname(self._path)
        return folder if name == "." else os.path.join(folder, name)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        view = memoryview(data)
        try:
            while view:
                written = self._with_room(partial(self._files.write, self._file, view, offset))
                view = view[written:]
                offset += written
        except OSError as error:
            raise self._failed(error) from error

    def write_aligned(self, data: memoryview, offset: int) -> None:
        """Write past the page cache, or through it if the file system refuses that."""
        written = 0
        direct = self._open_direct()
        if direct >= 0:
            try:
                written = self._files.write(direct, data, offset)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise self._failed(error) from error
                self._direct = -1
        if written < len(data):
            self.write(data[written:], offset + written)

    def _open_direct(self) -> int:
        """A descriptor of its own for direct writes, beside those of other threads; -1 if there is none."""
        with self._lock:
            if self._direct is None:
                try:
                    self._direct = self._files.open_direct(self._file)
                    self._open.append(self._direct)
                except OSError:
                    self._direct = -1
            return self._direct

    def shrink(self, size: int) -> None:
        """Be a file of this size, which is at most that which was announced."""
        self._size = min(size, self._size)

    def commit(self, replace: bool = True) -> bool:
        """Make the bytes durable, then the name. Returns True once the file is in place.

        Without `replace`, a file that exists already stays, its name is made durable, and this returns
        False. Raises NoHardLinks if only `replace` is possible: call it again for that. A failed sync is
        final: the kernel has dropped the pages.
        """
        try:
            if self._found is None:
                self._finish(replace)
            placed = self._replace() if replace else self._place()
        except SaverError:
            raise
        except OSError as error:
            raise self._failed(error) from error
        self._remove_hidden()
        try:
            self._files.sync_folder(self._folder)
        except OSError as error:
            raise self._unknown(
                "the file is in place, but a power loss may undo that: its folder was not synced", error
            ) from error
        return placed

    def _finish(self, replace: bool) -> None:
        """Make the bytes durable, and close a file that has a name: Windows renames no open one."""
        self._files.truncate(self._file, self._size)  # aligned writes may have gone beyond
        self._files.sync(self._file)
        if replace:
            self._keep_mode()
        if self._name is not None:
            self._found = self._files.stat(self._file)
            self._close()

    def _replace(self) -> bool:
        if self._name is None:
            self._name = self._hidden()
            self._files.link(self._file, self._name)
        self._hold()
        try:
            self._files.replace(self._name, self._path)
        except OSError as error:
            if not self._is_in_place(error):
                raise
        self._name = None
        return True

    def _hold(self) -> None:
        """Hold a large file that will be replaced, so that a thread can free its space."""
        if self._replaced is None or not is_worth_holding(self._replaced):
            return
        try:
            self._held = self._files.hold(self._path)
        except OSError:  # then the rename takes its time
            self._held = -1

    def _place(self) -> bool:
        """Take the name if it is free. Returns whether it was."""
        try:
            self._files.link(self._file if self._name is None else self._name, self._path)
        except OSError as error:
            if self._is_in_place(error):
                return True
            if error.errno == errno.EEXIST:
                return False
            if error.errno not in _NO_LINKS:
                raise
            raise no_hard_links(self._shown, error) from error
        return True

    def _is_in_place(self, error: OSError) -> bool:
        """Whether the name points to this file, although the system reported an error.

        NFS does that if its first reply was lost; even EEXIST can mean that the file itself exists.
        """
        try:
            own = self._files.stat(self._file) if self._found is None else self._found
            in_place = os.path.samestat(self._files.stat(self._path), own)
        except FileNotFoundError:
            in_place = False
        except OSError:
            raise self._unknown("whether the file is in place could not be found out", error) from error
        if not in_place and error.errno in _UNCERTAIN:
            raise self._unknown("the file is not in place, but may still appear", error) from error
        return in_place

    def _keep_mode(self) -> None:
        self._replaced = self._old()
        if self._replaced is not None:
            self._files.set_mode(self._file, stat.S_IMODE(self._replaced.st_mode))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def _discard(self) -> None:
        self._close()
        self._remove_hidden()
        if self._held >= 0:
            held, self._held = self._held, -1
            REPLACED.close(self._files, held)

    def _close(self) -> None:
        while self._open:
            self._files.close(self._open.pop())

    def _remove_hidden(self) -> None:
        if self._name is not None:
            with suppress(OSError):  # one more hidden file is no reason to call a save failed
                self._files.remove(self._name)
            self._name = None

    def _unknown(self, what: str, error: OSError) -> SaverError:
        return CommitUnknownError(
            f"{self._shown}: {what} ({error.strerror or error}); check the disk, see whether the file is "
            "there, and save again"
        )

    def _failed(self, error: OSError) -> SaverError:
        if isinstance(error, NotAFile):
            return CannotWriteError(
                f"{self._shown}: {error.strerror}; nothing was changed there; name a file, or pass a file "
                "object that is open for writing, such as sys.stdout.buffer"
            )
        folder = os.path.dirname(self._shown if isinstance(self._path, Inside) else self._path)
        return CannotWriteError(
            f"{self._shown}: {error.strerror or error}; nothing was changed there; "
            f"{advice(error, self._size, folder)}"
        )


def _name_of(path: Path) -> str:
    return path if isinstance(path, str) else path.name
