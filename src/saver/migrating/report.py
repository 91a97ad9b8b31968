"""What a migration did, or would do."""

from __future__ import annotations

import msgspec

from saver.format import Loss
from saver.human import counted, size
from saver.page import Facts, Page, Said, Shown, Table
from saver.times import local


class Came(Said, msgspec.Struct, frozen=True):
    """A file or folder that became a version, or would. `number` is that of the version; 0 in a dry run.
    `asks` are the classes that loading it will take trust for, `losses` what was recorded of it and a
    version has no room for."""

    path: str
    model: str
    number: int
    format: str
    time: float
    bytes: int
    asks: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()

    @property
    def version(self) -> str:
        """How the version is called."""
        return f"{self.model}@{self.number}" if self.number else self.model

    def _line(self) -> str:
        return f"{self.path}: {self.version} ({self.format}), {size(self.bytes)}"


class Left(Said, msgspec.Struct, frozen=True):
    """A file or folder that did not come, and why."""

    path: str
    why: str

    def _line(self) -> str:
        return f"{self.path}: {self.why}"


class Migrated(Shown, msgspec.Struct, frozen=True):
    """What a migration did; with `dry_run`, what it would do.

    `came` became versions, in the order in which they were saved. `there` had come before. `refused` are
    files of a model's format that could not be read, with all that they would have run. `left` are others:
    of no format that Saver reads, links, special files; `more` of these are counted alone.
    """

    folder: str
    store: str
    dry_run: bool
    came: tuple[Came, ...]
    there: tuple[Left, ...]
    refused: tuple[Left, ...]
    left: tuple[Left, ...]
    more: int = 0

    def _line(self) -> str:
        return f"{self.folder} into {self.store}: {self.verdict()}"

    def verdict(self) -> str:
        """What happened, in a few words."""
        models = counted(len({each.model for each in self.came}), "model")
        told = [
            f"{counted(len(self.came), 'version')} of {models} {'would come' if self.dry_run else 'came'}"
        ]
        told += [f"{len(self.there):,} there already"] if self.there else []
        told += [f"{len(self.refused):,} refused"] if self.refused else []
        left = len(self.left) + self.more
        return ", ".join([*told, *([f"{left:,} left out"] if left else [])])

    def _page(self) -> Page:
        facts = Facts("", {"folder": self.folder, "store": self.store, "result": self.verdict()})
        came = [
            (each.version, local(each.time, zone=False), size(each.bytes), each.format, each.path)
            for each in sorted(self.came, key=lambda each: (each.model, each.number))
        ]
        asked = sorted({name for each in self.came for name in each.asks})
        lost = [(each.path, f"{loss.place}: {loss.what}") for each in self.came for loss in each.losses]
        more = [("", f"and {self.more:,} more")] if self.more else []
        tables = (
            Table("Versions", ("version", "time", ">size", "format", "from"), came, ("format", "time")),
            Table("Refused", ("file", "why"), [(each.path, each.why) for each in self.refused]),
            Table("Loading them asks for trust", ("class",), [(name,) for name in asked]),
            Table("Lost", ("file", "what"), lost),
            Table("There already", ("file", "as"), [(each.path, each.why) for each in self.there]),
            Table("Left out", ("file", "why"), [*((each.path, each.why) for each in self.left), *more]),
        )
        return [facts, *(table for table in tables if table.rows)]
