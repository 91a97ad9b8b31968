"""A record of the log, as people read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from saver.errors import printable
from saver.human import counted, size
from saver.page import ROWS, Facts, Page, Row, Shown, Table
from saver.repo.events import Commit, Condemn, Delete, Harm, Label, Note, Relocate, Tag, Void
from saver.repo.log import Record
from saver.repo.objects import pack_key
from saver.times import local

NAMED = 6
"""How many versions or labels a phrase names; the others are counted."""

Kind: TypeAlias = Literal["save", "tag", "label", "note", "delete", "collect", "move", "damage", "void"]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""docs/reference.md says what each is."""


class Entry(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """A record of the log. `author` wrote it, at `time` (Unix time, UTC).

    `kind` says what the other fields mean: a `save` made the version in `numbers`, which is by `made_by`; a
    `tag` moved `tags` to it, or removed them if there is none; a `label` or a `note` is of that version, or
    of the model itself if there is none; a `delete` is of all of `numbers`, with `tags`. `before` has the
    number of the version that each of `tags` named until then, if it named one. A collection condemned
    `objects` (`collect`), or moved what was needed out of them (`move`); a check found damage in them
    (`damage`). `void` says that a save, whose ranks gave up, must not take place. `model` is "" for these.
    """

    record: int
    time: float
    author: str
    kind: Kind
    model: str = ""
    numbers: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    before: Mapping[str, int] = {}
    labels: Mapping[str, str | None] = {}
    notes: str = ""
    made_by: str = ""
    bytes_added: int = 0
    objects: tuple[str, ...] = ()

    def __str__(self) -> str:
        return printable(row(self))

    def _line(self) -> str:
        return f"record {self.record:,}: {said(self)}"

    def _page(self) -> Page:
        return [Facts("", {f"{self.record:,}": row(self)})]


AUTHOR_WIDTH = 12


class Entries(Shown, Iterator[Entry]):
    """Records of the log, the newest first, each read when it is requested. `print` reads the newest ones
    anew, and shows them."""

    def __init__(self, read: Callable[[], Iterator[Entry]]) -> None:
        self._read = read
        self._left = read()

    def __next__(self) -> Entry:
        return next(self._left)

    def _line(self) -> str:
        newest = next(self._read(), None)
        return "no records" if newest is None else f"records of the log, the newest is {newest.record:,}"

    def _page(self) -> Page:
        found = list(islice(self._read(), ROWS))
        rows: list[Row] = [
            (f"{each.record:,}", local(each.time, zone=False) or "", each.author, said(each))
            for each in found[: ROWS - 1]
        ]
        if len(found) == ROWS:
            rows.append(("", "", "", "and older records"))
        columns = (">record", "time", "author", "what")
        return [Table("" if rows else "no records", columns, rows, brief=("what",))]


def row(entry: Entry, digits: int = 1) -> str:
    """A record in a line; the lines of several are aligned, given the `digits` of the longest number."""
    when = local(entry.time, zone=False) or "at no time"
    return f"{entry.record:>{digits},}  {when:<16}  {entry.author or '?':<{AUTHOR_WIDTH}}  {said(entry)}"


def entry_of(record: Record) -> Entry:
    """A record as people read it."""
    fields: dict[str, Any]
    match record.event:
        case Commit() as event:
            fields = {
                "kind": "save", "numbers": (event.number,), "tags": event.tags, "before": event.moved,
                "labels": event.labels, "notes": event.notes, "made_by": event.author or record.author,
                "bytes_added": event.bytes_added,
            }  # fmt: skip
        case Tag() as event:
            before = {} if event.before is None else {event.tag: event.before}
            fields = {
                "kind": "tag", "numbers": _one(event.number), "tags": (event.tag,), "before": before,
            }  # fmt: skip
        case Label() as event:
            fields = {"kind": "label", "numbers": _one(event.number), "labels": event.labels}
        case Note() as event:
            fields = {"kind": "note", "numbers": _one(event.number), "notes": event.notes}
        case Delete() as event:
            tags = {"tags": tuple(event.tags), "before": event.tags}
            fields = {"kind": "delete", "numbers": event.numbers, **tags}
        case Condemn() as event:
            fields = {"kind": "collect", "objects": event.objects}
        case Relocate() as event:
            fields = {"kind": "move", "objects": tuple(map(pack_key, event.moves))}
        case Harm() as event:
            fields = {"kind": "damage", "objects": tuple(map(pack_key, event.places))}
        case Void():
            fields = {"kind": "void"}
    model = getattr(record.event, "model", "")
    return Entry(record=record.number, time=record.time, author=record.author, model=model, **fields)


def _one(number: int | None) -> tuple[int, ...]:
    return () if number is None else (number,)


def said(entry: Entry) -> str:
    """What a record says, as a phrase."""
    subject = _subject(entry)
    match entry.kind:
        case "save":
            by = f", made by {entry.made_by}" if entry.made_by != entry.author else ""
            tags = f", tagged {', '.join(_tags(entry, ' (was @{})'))}" if entry.tags else ""
            labels = f", labelled {_labels(entry)}" if entry.labels else ""
            return f"saved {subject}{by}{tags}{labels}; the store grew by {size(entry.bytes_added)}"
        case "tag" if entry.numbers:
            return f"tagged {subject} {', '.join(_tags(entry, ', which was @{}'))}"
        case "tag":
            return f"removed the tag {entry.model}@{', '.join(_tags(entry, ', which was @{}'))}"
        case "label":
            return f"labelled {subject}: {_labels(entry)}"
        case "note":
            notes = " ".join(entry.notes.split())
            short = f"{notes[:80]}…" if len(notes) > 80 else notes
            return f"noted of {subject}: {short}" if notes else f"removed the notes of {subject}"
        case "delete":
            return f"deleted {subject}" + _with_tags(entry)
        case "collect":
            return f"collected {counted(len(entry.objects), 'object')} that no version needs"
        case "move":
            return f"moved what is needed out of {counted(len(entry.objects), 'pack')}"
        case "damage":
            return f"found damage in {counted(len(entry.objects), 'pack')}"
        case "void":
            return "gave up a save of several processes, which can no longer take place"


def _subject(entry: Entry) -> str:
    names = [f"{entry.model}@{number}" for number in entry.numbers[:NAMED]]
    more = len(entry.numbers) - len(names)
    return (", ".join(names) or entry.model) + (f" and {counted(more, 'other')}" if more else "")


def _tags(entry: Entry, form: str) -> list[str]:
    """The tags, each with the version that it named before."""
    return [tag + (form.format(entry.before[tag]) if tag in entry.before else "") for tag in entry.tags]


def _with_tags(entry: Entry) -> str:
    """The tags that went with a deletion. All of them: this is the only place that still knows them."""
    if not entry.tags:
        return ""
    return f", with the tag{'s' * (len(entry.tags) > 1)} {', '.join(_tags(entry, ' (@{})'))}"


def _labels(entry: Entry) -> str:
    said = [f"{key}={value}" if value is not None else f"no {key}" for key, value in entry.labels.items()]
    return ", ".join(said[:NAMED]) + (
        f" and {counted(len(said) - NAMED, 'other')}" if len(said) > NAMED else ""
    )
