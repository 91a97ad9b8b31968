"""Files and folders that something else writes, by a path: hidden until they are whole and durable."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from types import TracebackType

from saver.disk.advice import remedy
from saver.disk.files import FILES, Files
from saver.errors import CannotWriteError, CommitUnknownError

_ENDING = ".export.part"
_TRIES = 10


class Beside:
    """A file or folder in a hidden folder beside `path`, which `commit` makes durable and renames to it.

    Leaving the `with` block without `commit` removes it. A killed process leaves the hidden folder behind,
    under a name that ends in `.export.part`; the next one for the same path removes it. It knows that
    nobody writes there any more, since a writer holds a lock on the hidden folder. A file that is at
    `path` is replaced, and passes on its mode; a folder is replaced only if it is empty. Failures raise
    CannotWriteError, and what was at `path` is untouched; if it is unknown whether the new one is in place
    for good, CommitUnknownError.
    """

    def __init__(self, path: str, folder: bool, files: Files = FILES) -> None:
        self._shown = path
        self._path = os.path.realpath(path)
        self._files = files
        self._is_folder = folder
        self._base = os.path.basename(self._path)[:100]
        self._outer = ""
        self._lock = -1
        self.hidden = ""
        """Where to write."""

    def __enter__(self) -> Beside:
        try:
            self._check()
            self._clean()
            self._hide()
            if self._is_folder:
                self._files.make_folder(self.hidden)
            else:
                self._files.close(self._files.create(self.hidden))
        except OSError as error:
            self._discard()
            raise self.failed(error) from error
        return self

    def _other(self, name: str) -> str:
        """Another name in the same folder."""
        return os.path.join(os.path.dirname(self._path), name)

    def _hide(self) -> None:
        """Make the hidden folder, and hold it. Somebody who cleans up may come before that; then another."""
        for _ in range(_TRIES):
            self._outer = self._other(f".{self._base}.{os.urandom(6).hex()}{_ENDING}")
            self.hidden = os.path.join(self._outer, self._base or "content")
            self._files.make_folder(self._outer)
            try:
                self._lock = self._held(self._outer)
                return
            except (BlockingIOError, FileNotFoundError):
                continue
        raise OSError(errno.EBUSY, "others remove each hidden folder that is made there")

    def _held(self, folder: str) -> int:
        """A descriptor that holds a folder; -1 if the system has no locks. Raises BlockingIOError if somebody
        else holds it, FileNotFoundError if it is gone."""
        try:
            file = self._files.open(folder)
        except FileNotFoundError:
            raise
        except OSError:
            return -1
        try:
            if not self._files.lock(file):
                raise BlockingIOError(errno.EWOULDBLOCK, "somebody else writes there")
            self._files.stat(folder)
        except (BlockingIOError, FileNotFoundError):
            self._files.close(file)
            raise
        except OSError:
            self._files.close(file)
            return -1
        return file

    def _clean(self) -> None:
        """Remove what killed processes left behind for this path. If that fails, it stays."""
        ours = re.compile(rf"\.{re.escape(self._base)}\.[0-9a-f]{{12}}{re.escape(_ENDING)}")
        with suppress(OSError):
            with self._files.list(os.path.dirname(self._path)) as entries:
                left = [entry.name for entry in entries if ours.fullmatch(entry.name)]
            for name in left:
                with suppress(OSError):
                    self._remove_left(self._other(name))

    def _remove_left(self, folder: str) -> None:
        if os.path.islink(folder):
            return
        lock = self._held(folder)
        if lock >= 0:
            try:
                self._remove_all(folder)
            finally:
                self._files.close(lock)

    def _check(self) -> os.stat_result | None:
        """What is at the path. Raises OSError if it must not be replaced."""
        try:
            found = self._files.stat(self._shown)
        except FileNotFoundError:
            return None
        if not self._is_folder and not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EEXIST, "something that is not a file has this name")
        if self._is_folder and not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EEXIST, "something that is not a folder has this name")
        if self._is_folder and not self._is_empty():
            raise OSError(errno.EEXIST, "the folder is not empty")
        return found

    def _is_empty(self) -> bool:
        with self._files.list(self._path) as entries:
            return next(iter(entries), None) is None

    @property
    def size(self) -> int:
        """Bytes that were written so far."""
        walked = os.walk(self.hidden) if self._is_folder else [("", (), (self.hidden,))]
        return sum(
            os.path.getsize(os.path.join(folder, name)) for folder, _, names in walked for name in names
        )

    def commit(self) -> None:
        """Make everything durable, and give it its name."""
        try:
            found = self._check()
            if self._is_folder:
                self._sync_all(self.hidden)
            else:
                self._sync(self.hidden, None if found is None else stat.S_IMODE(found.st_mode))
            if self._is_folder and found is not None and os.name == "nt":  # others replace an empty folder
                self._files.remove_folder(self._path)
            self._files.replace(self.hidden, self._path)
        except OSError as error:
            raise self.failed(error) from error
        self._discard()
        try:
            self._files.sync_folder(os.path.dirname(self._path))
        except OSError as error:
            raise CommitUnknownError(
                f"{self._shown}: it is in place, but a power loss may undo that: its folder was not synced "
                f"({error.strerror or error}); check the disk, and write it again"
            ) from error

    def _inside(self, folder: str) -> list[tuple[str, bool]]:
        """The paths of what is in a folder, and whether each is a folder, too."""
        with self._files.list(folder) as entries:
            return [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]

    def _sync_all(self, folder: str) -> None:
        """Make a folder and all that is in it durable, the innermost first."""
        for path, is_folder in self._inside(folder):
            if is_folder:
                self._sync_all(path)
            else:
                self._sync(path)
        self._files.sync_folder(folder)

    def _sync(self, path: str, mode: int | None = None) -> None:
        file = self._files.open_existing(path)
        try:
            if mode is not None:
                self._files.set_mode(file, mode)
            self._files.sync(file)
        finally:
            self._files.close(file)

    def _remove_all(self, folder: str) -> None:
        for path, is_folder in self._inside(folder):
            if is_folder:
                self._remove_all(path)
            else:
                self._files.remove(path)
        self._files.remove_folder(folder)

    def _discard(self) -> None:
        """Remove the hidden folder; one that stays is no reason to call this failed."""
        with suppress(OSError):
            if self._outer:
                self._remove_all(self._outer)
        if self._lock >= 0:
            self._files.close(self._lock)
            self._lock = -1

    def failed(self, error: OSError) -> CannotWriteError:
        """What to raise for an error of the system, or of a library that wrote there."""
        advice = {
            errno.EEXIST: "name another place, or remove what is there",
            errno.ENOSPC: "free some space, or choose another folder",
            errno.ENOENT: f"create the folder {os.path.dirname(self._path)} first, or choose another one",
        }.get(error.errno or 0, remedy(error) or "choose another folder")
        return CannotWriteError(
            f"{self._shown}: {error.strerror or error}; nothing was changed there; {advice}"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()
