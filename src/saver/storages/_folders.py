"""The folders of a store: entered without following a link, and durable before anything is in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from saver.disk.files import Files, Inside, Path
from saver.storages._keys import valid


class Folders:
    """The folders below `root`, which alone may be a symbolic link. Each of the others is opened from the one
    above it.

    What is opened is a descriptor, which the caller closes. All methods raise OSError.
    """

    def __init__(self, root: str, files: Files) -> None:
        self._root, self._inside = root, os.path.join(root, "")
        self._files = files
        self._there = False

    def open(self, path: str) -> int:
        """Open the folder with this path, relative to the root; "" is the root."""
        return self._enter(path, self._files.open_folder)

    def make(self, path: str) -> int:
        """The same. What is missing is created; the names of all these folders are durable."""
        if not self._there:
            self._make_store(self._root)
            self._there = True
        return self._enter(path, self._open_durable)

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
            folder = self._files.open_folder(place)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was faster
                self._files.make_folder(place)
            self._files.sync_folder(above)
            return self._files.open_folder(place)
        try:
            if not self._has_objects(Inside(folder, ".")):
                with suppress(PermissionError):  # the owner of the folder above must sync its name
                    self._files.sync_folder(above)
        except BaseException:
            self._files.close(folder)
            raise
        return folder

    def _has_objects(self, folder: Path) -> bool:
        with self._files.list(folder) as found:
            return any(valid(entry.name) for entry in found)
