"""Finds the models below a folder. Links are not followed, nothing but the beginnings of files is read."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from saver import format as formats
from saver.disk import mapped
from saver.errors import IncompatibleError, LimitExceededError, SaverError
from saver.format import Reads, Recorded
from saver.migrating.naming import Naming
from saver.migrating.report import Left
from saver.opening import open_file

ENTRIES = 10_000_000
LISTED = 10_000
"""Files and folders that were left out, of which each is named."""

_COMMON = (".json", ".index")
"""Endings of formats that many other files have."""


class Found(NamedTuple):
    """A file or folder of a format. `first` is the file to open, `path` what people call it; both relative to
    the folder."""

    path: str
    first: str
    format: Reads
    time: float
    bytes: int


class Walk:
    """The models below `root`, what its folders record of them, and everything else."""

    def __init__(self, root: str, naming: Naming) -> None:
        self.root = root
        self.real = os.path.realpath(root)
        self.folders: list[Found] = []
        self.files: list[Found] = []
        self.records: dict[str, list[Recorded]] = {}
        self.refused: list[Left] = []
        self.left: list[Left] = []
        self.more = 0
        self._naming = naming
        self._entries = 0
        self._read = set[str]()

    def run(self) -> None:
        """Visit each folder once. Raises LimitExceededError if there are too many entries."""
        waiting = [""]
        while waiting:
            place = waiting.pop()
            try:
                waiting += reversed(self._folder(place))
            except OSError as error:
                self.refused.append(Left(place or ".", f"the folder cannot be read: {error.strerror}"))

    def leave(self, path: str, why: str) -> None:
        """Note what is left out."""
        if len(self.left) < LISTED:
            self.left.append(Left(path, why))
        else:
            self.more += 1

    def inside(self, path: str) -> str:
        """The real path of a file below the root. Raises IncompatibleError if a link leads out of it."""
        found = os.path.realpath(path)
        if os.path.commonpath([found, self.real]) != self.real:
            raise IncompatibleError(f"{path} is a link that leaves the folder; migrate what it points to")
        return found

    def _folder(self, place: str) -> list[str]:
        """What to visit next."""
        path = os.path.join(self.root, place) if place else self.root
        with os.scandir(path) as found:
            entries = []
            for entry in found:
                self._entries += 1
                if self._entries > ENTRIES:
                    raise LimitExceededError(
                        f"{self.root}: more than {ENTRIES:,} files are in it; migrate its folders one by one"
                    )
                entries.append(entry)
        names = sorted(entry.name for entry in entries)
        if place and {"store.json", "log"} <= {*names}:
            self.leave(place, "a store of Saver; copy it with saver backup")
            return []
        self._ask(place, path, names)
        self._whole(place, path)
        below = []
        for entry in sorted(entries, key=lambda each: each.name):
            inner = f"{place}/{entry.name}" if place else entry.name
            if inner in self._read:
                continue
            if entry.is_dir(follow_symlinks=False):
                if self._naming.leaves(inner) or entry.name.startswith("."):
                    self.leave(inner, "a hidden folder" if entry.name[0] == "." else "as it was asked")
                else:
                    below.append(inner)
            else:
                self._file(inner, entry)
        return below

    def _ask(self, place: str, path: str, names: list[str]) -> None:
        """What the formats know of the models below this folder."""
        for each in formats.formats(Reads):  # type: ignore[type-abstract]
            found = each.around(path, names)
            if found is not None:
                for inner, record in found.records.items():
                    self.records.setdefault(_joined(place, inner), []).append(record)
                self._read |= {_joined(place, inner) for inner in found.read}

    def _whole(self, place: str, path: str) -> None:
        """The model that a folder is."""
        try:
            found = formats.of_path(path)
            if found is None or self._naming.leaves(place):
                return
            format, first = found
            state = os.stat(self.inside(first))
            name = os.path.relpath(first, self.root).replace(os.sep, "/")
            self.folders.append(Found(place or name, name, format, state.st_mtime, state.st_size))
        except SaverError as error:
            self.refused.append(Left(place or ".", str(error)))

    def _file(self, place: str, entry: os.DirEntry[str]) -> None:
        if self._naming.leaves(place):
            self.leave(place, "as it was asked")
            return
        try:
            state = entry.stat(follow_symlinks=False)
        except OSError as error:
            self.refused.append(Left(place, f"it cannot be read: {error.strerror}"))
            return
        if stat.S_ISLNK(state.st_mode):
            self._link(place, entry.path)
        elif not stat.S_ISREG(state.st_mode):
            self.leave(place, mapped.kind_of(state.st_mode))
        else:
            self._regular(place, entry.path, state)

    def _link(self, place: str, path: str) -> None:
        try:
            self.inside(path)
        except IncompatibleError:
            self.leave(place, "a link that leaves the folder")
        else:
            self.leave(place, "a link; what it points to comes by itself")

    def _regular(self, place: str, path: str, state: os.stat_result) -> None:
        try:
            found = formats.of_content(mapped.open_file(path))
            if found is not None:
                self.files.append(Found(place, place, found, state.st_mtime, state.st_size))
                return
            if not state.st_size or not path.lower().endswith(_endings()):
                self.leave(place, "empty" if not state.st_size else "of no format that Saver reads")
                return
            open_file(path)
        except SaverError as error:
            self.refused.append(Left(place, str(error)))


def _joined(place: str, inner: str) -> str:
    return "/".join(filter(None, (place, inner)))


def _endings() -> tuple[str, ...]:
    """The endings by which a file says that it holds a model."""
    found = (ending for each in formats.formats(Reads) for ending in each.endings)  # type: ignore[type-abstract]
    return tuple(ending for ending in found if ending not in _COMMON)
