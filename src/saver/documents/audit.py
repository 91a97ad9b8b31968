"""Who did what, and what was said of versions and models, as `log`, `label` and `note` print it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from saver.documents.piece import Piece, Whole, document, utc
from saver.repo.entry import Entry as LoggedEntry

Kind: TypeAlias = Literal[
    "save", "tag", "label", "note", "delete", "collect", "move", "damage", "void", "holders", "sign",
    "grant",
]  # fmt: skip


class Entry(Piece, frozen=True):
    """A record of the log: `author` wrote it; `kind` is as in docs/reference.md.

    A `save` made the version in `numbers`, which is by `made_by`. A `tag`, `label` or `note` is about that
    version: `tags` now name it, or are gone if there is no version; `labels` that are null are gone; without
    a version, labels and notes are those of the model. A `delete` is of all `numbers`, with `tags`. `before`
    has the number of the version that each of `tags` named until then, if it named one. A `void` says that a
    save of several processes was given up. A `holders` is about those who can open the store: `holders` has
    who was added, with their public keys, and null for who was removed; if it is empty, there is a new data
    key. A `sign` is of a version by the keys `signers`, which
    a `save` has too, and `verdicts` says of each "holds", or why not; a `grant` gave keys the rights in
    `grants`. The other kinds are about `objects`, and of no model.

    `author` and `made_by` are names that the writer chose; `unverified` says of a `save` what the trust file
    demands and the version lacks, "" if nothing. `signed_by` is the public key that signed the record, and
    `signature` is "holds", or why it does not.
    `refused` says why the record is void. `seen`: it is the newest that this machine has seen of the store.
    """

    record: int
    time: float
    time_utc: str | None
    author: str
    kind: Kind
    model: str
    numbers: tuple[int, ...]
    tags: tuple[str, ...]
    before: dict[str, int]
    labels: dict[str, str | None]
    notes: str
    made_by: str
    bytes_added: int
    objects: tuple[str, ...]
    holders: dict[str, str | None]
    signers: tuple[str, ...]
    verdicts: dict[str, str]
    unverified: str
    grants: dict[str, tuple[str, ...]]
    signed_by: str
    signature: str
    refused: str
    seen: bool


class Log(Whole, frozen=True, tag="saver.log.1"):
    """`saver log`, and `saver log REF` (otherwise `ref` is null): the records, the newest first."""

    store: str
    ref: str | None
    entries: tuple[Entry, ...]


class Annotated(Whole, frozen=True, tag="saver.annotated.1"):
    """`saver label` and `saver note`: the labels and notes of a version, or of the model (`number` is null),
    as they are now."""

    model: str
    number: int | None
    labels: dict[str, str]
    notes: str


def entry(found: LoggedEntry) -> Entry:
    """A record as a piece of a document."""
    return document(Entry, found, time_utc=utc(found.time))
