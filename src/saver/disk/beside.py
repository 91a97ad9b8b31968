"""Files and folders that something else writes, by a path: hidden until they are whole and durable."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from types import TracebackType

from saver.disk.advice import remedy
from saver.disk.files import FILES, Files
from saver.errors import CannotWriteError, CommitUnknownError


class Beside:
    """A hidden file, or a hidden folder, beside `path`, which `commit` makes durable and renames to it.

    Leaving the `with` block without `commit` removes it. A killed process leaves it behind, under a hidden
    name that ends in `.part`. A file that is at `path` is replaced, and passes on its mode; a folder is
    replaced only if it is empty. Failures raise CannotWriteError, and what was at `path` is untouched; if it
    is unknown whether the new one is in place for good, CommitUnknownError.
    """

    def __init__(self, path: str, folder: bool, files: Files = FILES) -> None:
        self._shown = path
        self._path = os.path.realpath(path)
        self._files = files
        self._is_folder = folder
        base = os.path.basename(self._path)[:100]
        self.hidden = os.path.join(os.path.dirname(self._path), f".{base}.{os.urandom(6).hex()}.part")
        """Where to write."""

    def __enter__(self) -> Beside:
        try:
            self._check()
            if self._is_folder:
                self._files.make_folder(self.hidden)
            else:
                self._files.close(self._files.create(self.hidden))
        except OSError as error:
            raise self.failed(error) from error
        return self

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
            for folder, _, names in os.walk(self.hidden) if self._is_folder else ():
                for name in names:
                    self._sync(os.path.join(folder, name))
                self._files.sync_folder(folder)
            if not self._is_folder:
                self._sync(self.hidden, None if found is None else stat.S_IMODE(found.st_mode))
            elif found is not None:
                os.rmdir(self._path)
            self._files.replace(self.hidden, self._path)
        except OSError as error:
            raise self.failed(error) from error
        try:
            self._files.sync_folder(os.path.dirname(self._path))
        except OSError as error:
            raise CommitUnknownError(
                f"{self._shown}: it is in place, but a power loss may undo that: its folder was not synced "
                f"({error.strerror or error}); check the disk, and write it again"
            ) from error

    def _sync(self, path: str, mode: int | None = None) -> None:
        file = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        try:
            if mode is not None:
                self._files.set_mode(file, mode)
            self._files.sync(file)
        finally:
            self._files.close(file)

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
        if self._is_folder:
            shutil.rmtree(self.hidden, ignore_errors=True)
        else:
            try:
                self._files.remove(self.hidden)
            except OSError:
                pass  # it has its name, or one more hidden file is no reason to call this failed
