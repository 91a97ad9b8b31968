"""The folders of a store: entered without following a link, and durable before anything is in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from saver.disk.files import Files, Inside, Path
from saver.storages import _shared
from saver.storages._keys import checked, valid

T = TypeVar("T")


class Folders:
    """The folders below `root`, which alone may be a symbolic link. Each of the others is opened from the one
    above it.

    What is opened is a descriptor, which the caller closes. All methods raise OSError.
    """

    def __init__(self, root: str, files: Files) -> None:
        self._root, self._inside = root, os.path.join(root, "")
        self._files = files
        self._there = False
        self._shared = 0
        """The mode of the root if a group shares it."""

    def at(self, key: str, act: Callable[[Inside], T]) -> T:
        """What `act` returns for the place of an object; its folder stays open while `act` runs."""
        path, _, name = checked(key).rpartition("/")
        try:
            return self._in_folder(path, name, act)
        except PermissionError:
            if not self.settled(path):
                raise
            return self._in_folder(path, name, act)

    def _in_folder(self, path: str, name: str, act: Callable[[Inside], T]) -> T:
        folder = self.open(path)
        try:
            return act(Inside(folder, name))
        finally:
            self._files.close(folder)

    def open(self, path: str) -> int:
        """Open the folder with this path, relative to the root; "" is the root."""
        return self._enter(path, self._files.open_folder)

    def make(self, path: str) -> int:
        """The same. What is missing is created; the names of all these folders are durable."""
        if not self._there:
            self._make_store(self._root)
            self._there = True
        self._look()
        return self._enter(path, self._open_durable)

    def _look(self) -> None:
        mode = self._files.stat(self._inside + ".").st_mode
        self._shared = mode if _shared.is_shared(mode) else 0

    def mode(self) -> Callable[[int], int] | None:
        """What makes the mode of a new file of that which it has by the umask; None if nothing does. `make`
        comes before this."""
        return partial(_shared.shared_mode, self._shared) if self._shared else None

    def settled(self, path: str) -> bool:
        """Whether this is a shared store, and this folder in it may be used by now: another process may just
        have created it, or one above it."""
        self._look()
        names = path.split("/") if path and self._shared else []
        for count in range(1, len(names) + 1):
            folder = self.open("/".join(names[:count]))
            try:
                if not _shared.settled(self._files, folder):
                    return False
            finally:
                self._files.close(folder)
        return bool(names)

    def _enter(self, path: str, enter: Callable[[Path], int]) -> int:
        """A folder, opened name by name: `enter` opens each, and refuses symbolic links."""
        if not path:
            return self._files.open_folder(self._inside + ".")  # it may be a link
        first, _, rest = path.partition("/")
        folder = enter(self._inside + first)
        while rest:
            name, _, rest = rest.partition("/")
            try:
                inner = enter(Inside(folder, name))
            finally:
                self._files.close(folder)
            folder = inner
        return folder

    def _make_store(self, folder: str) -> None:
        """Create the folder of the store if it is missing, and those above it; make its name durable.

        This is done once: if the folder disappears later, so did its content.
        """
        above = os.path.dirname(folder)
        try:
            self._files.make_folder(folder)
        except FileExistsError:
            if not self._has_objects(folder):
                with suppress(PermissionError):  # the owner of the folder above must sync its name
                    self._files.sync_folder(above)
            return
        except FileNotFoundError:
            self._make_store(above)
            with suppress(FileExistsError):  # another process was faster
                self._files.make_folder(folder)
        self._files.sync_folder(above)

    def _open_durable(self, place: Path) -> int:
        """Open a folder of the store; create it if it is missing. Its name is durable.

        The name is made durable before the folder holds any object. So a process that sees an object in a
        folder, even one that another process just created, need not sync the folder above.
        """
        above = self._root if isinstance(place, str) else Inside(place.folder, ".")
        try:
            folder, is_new = self._files.open_folder(place), False
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was faster
                self._files.make_folder(place)
            self._files.sync_folder(above)
            folder, is_new = self._files.open_folder(place), True
        try:
            if self._shared and (is_new or not _shared.is_shared(self._files.stat(folder).st_mode)):
                self._open_to_group(folder)
            if not is_new and not self._has_objects(Inside(folder, ".")):
                with suppress(PermissionError):  # the owner of the folder above must sync its name
                    self._files.sync_folder(above)
        except BaseException:
            self._files.close(folder)
            raise
        return folder

    def _open_to_group(self, folder: int) -> None:
        """Only its owner can. Another process may just be doing it; one that was killed before it left that
        to its next save."""
        try:
            _shared.share(self._files, folder, self._shared)
        except PermissionError:
            _shared.settled(self._files, folder)

    def _has_objects(self, folder: Path) -> bool:
        with self._files.list(folder) as found:
            return any(valid(entry.name) for entry in found)
