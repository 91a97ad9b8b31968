"""What a migration did, as `migrate` prints it."""

from __future__ import annotations

from saver.documents.piece import Piece, Whole, document, utc
from saver.documents.versions import Loss


class Came(Piece, frozen=True):
    """A file or folder that became a version, or would. `number` is that of the version, null in a dry run;
    `time` is when it was made. `asks` are the classes that loading it will take trust for, `losses` what was
    recorded of it and a version has no room for."""

    path: str
    model: str
    number: int | None
    format: str
    time: float
    time_utc: str | None
    bytes: int
    asks: tuple[str, ...]
    losses: tuple[Loss, ...]


class Left(Piece, frozen=True):
    """A file or folder that did not come, and why; of one that had come before, the version."""

    path: str
    why: str


class Migrated(Whole, frozen=True, tag="saver.migrated.1"):
    """`saver migrate`: what `came`, in the order in which it was saved; what was `there` from before; the
    files of a model's format that were `refused`; and the others, which were `left` out, of which `more` are
    counted alone. With --dry-run, what would happen."""

    folder: str
    store: str
    dry_run: bool
    came: tuple[Came, ...]
    there: tuple[Left, ...]
    refused: tuple[Left, ...]
    left: tuple[Left, ...]
    more: int


def migrated(found: object) -> Migrated:
    """The document of what `saver.migrate` returned."""
    came = tuple(
        document(Came, each, number=each.number or None, time_utc=utc(each.time))
        for each in getattr(found, "came", ())
    )
    return document(Migrated, found, came=came)
