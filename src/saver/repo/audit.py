"""Who did what to a store, and when: the records of its log, as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from saver.repo.log import Commit, Condemn, Delete, Harm, Label, Note, Record, Relocate, Tag
from saver.repo.objects import pack_key
from saver.repo.repository import Repository

Kind: TypeAlias = Literal["commit", "tag", "label", "note", "delete", "condemn", "relocate", "harm"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the log. `author` wrote it, at `time` (Unix time, UTC).

    `kind`, as docs/protocol.md names it, says what the other fields mean: a `commit` saved the version in
    `numbers`, made by `made_by`; a `tag` moved `tags` to it, or removed them if there is none; a `label` or a
    `note` is of that version, or of the model itself if there is none; a `delete` is of all of `numbers`. A
    collection condemned `objects`, or moved what was needed out of them (`relocate`); a check found damage in
    them (`harm`). `model` is "" for these three.
    """

    record: int
    time: float
    author: str
    kind: Kind
    model: str = ""
    numbers: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str | None] = {}
    notes: str = ""
    made_by: str = ""
    bytes_added: int = 0
    objects: tuple[str, ...] = ()


def entries(repo: Repository, model: str | None = None) -> Iterator[Entry]:
    """The log as the state has it, the newest record first; or what concerns a model, back to its first
    version. Reads records as they are wanted."""
    for record in repo.state.log.read_back(repo.state.head):
        entry = entry_of(record)
        if model is None or entry.model == model:
            yield entry
            if model is not None and entry.kind == "commit" and entry.numbers == (1,):
                return


def entry_of(record: Record) -> Entry:
    """A record as people read it."""
    fields: dict[str, Any]
    match record.event:
        case Commit() as event:
            fields = {
                "kind": "commit", "numbers": (event.number,), "tags": event.tags, "labels": event.labels,
                "notes": event.notes, "made_by": event.author or record.author,
                "bytes_added": event.bytes_added,
            }  # fmt: skip
        case Tag() as event:
            fields = {"kind": "tag", "numbers": _one(event.number), "tags": (event.tag,)}
        case Label() as event:
            fields = {"kind": "label", "numbers": _one(event.number), "labels": event.labels}
        case Note() as event:
            fields = {"kind": "note", "numbers": _one(event.number), "notes": event.notes}
        case Delete() as event:
            fields = {"kind": "delete", "numbers": event.numbers}
        case Condemn() as event:
            fields = {"kind": "condemn", "objects": event.objects}
        case Relocate() as event:
            fields = {"kind": "relocate", "objects": tuple(map(pack_key, event.moves))}
        case Harm() as event:
            fields = {"kind": "harm", "objects": tuple(map(pack_key, event.places))}
    model = getattr(record.event, "model", "")
    return Entry(record=record.number, time=record.time, author=record.author, model=model, **fields)


def _one(number: int | None) -> tuple[int, ...]:
    return () if number is None else (number,)
