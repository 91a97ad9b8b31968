"""A record of the log, as people read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from saver.errors import printable
from saver.human import counted, size
from saver.page import ROWS, Facts, Page, Row, Shown, Table
from saver.repo.events import (
    Commit,
    Condemn,
    Delete,
    Event,
    Harm,
    Holders,
    Label,
    Note,
    Relocate,
    Roles,
    Sign,
    Tag,
    Void,
)
from saver.repo.log import Record
from saver.repo.objects import pack_key
from saver.signing.keys import brief
from saver.signing.signatures import Signature
from saver.times import local

NAMED = 6
"""How many versions or labels a phrase names; the others are counted."""

Kind: TypeAlias = Literal[
    "save", "tag", "label", "note", "delete", "collect", "move", "damage", "void", "holders", "sign",
    "grant",
]  # fmt: skip

KINDS: tuple[Kind, ...] = get_args(Kind)
"""docs/reference.md says what each is."""


class Entry(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """A record of the log. `author` wrote it, at `time` (Unix time, UTC).

    `kind` says what the other fields mean: a `save` made the version in `numbers`, which is by `made_by`; a
    `tag` moved `tags` to it, or removed them if there is none; a `label` or a `note` is of that version, or
    of the model itself if there is none; a `delete` is of all of `numbers`, with `tags`. `before` has the
    number of the version that each of `tags` named until then, if it named one. A collection condemned
    `objects` (`collect`), or moved what was needed out of them (`move`); a check found damage in them
    (`damage`). `void` says that a save, whose ranks gave up, must not take place. `holders` says who was
    added to those who can open the store, with their public keys, or removed (None); if nobody was, there is
    a new data key. `model` is "" for these. A `sign` says that `signers` signed the version; a `save` has
    them too. `verdicts` says of each of them "holds", or why not, or why that could not be checked. A `grant`
    gave keys the rights in `grants`.

    `author` and `made_by` are names that the writer chose. `unverified` says of a `save` what the trust file
    demands and the version lacks: then nobody vouches for them.

    `signed_by` is the key that signed the record itself; `signature` is "holds", or why not. `refused` says
    why a record is void: its signer had no right to it. `seen`: up to here, this machine has seen the log.
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
    holders: Mapping[str, str | None] = {}
    signers: tuple[str, ...] = ()
    verdicts: Mapping[str, str] = {}
    unverified: str = ""
    grants: Mapping[str, tuple[str, ...]] = {}
    signed_by: str = ""
    signature: str = ""
    refused: str = ""
    seen: bool = False

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
            (f"{each.record:,}", local(each.time, zone=False) or "", each.author, signer(each), said(each))
            for each in found[: ROWS - 1]
        ]
        if len(found) == ROWS:
            rows.append(("", "", "", "", "and older records"))
        columns = (">record", "time", "author", "signed by", "what")
        table = Table("" if rows else "no records", columns, rows, brief=("what",))
        return [table.filled() if rows else table]


def row(entry: Entry, digits: int = 1) -> str:
    """A record in a line; the lines of several are aligned, given the `digits` of the longest number."""
    when = local(entry.time, zone=False) or "at no time"
    by = ("; recorded by " if entry.signed_by else " ") + signer(entry) if signer(entry) else ""
    return f"{entry.record:>{digits},}  {when:<16}  {entry.author or '?':<{AUTHOR_WIDTH}}  {said(entry)}{by}"


def entry_of(record: Record) -> Entry:
    """A record as people read it."""
    model, signed_by = getattr(record.event, "model", ""), "" if record.signed is None else record.signed.key
    return Entry(
        record=record.number, time=record.time, author=record.author, model=model, signed_by=signed_by,
        **_fields(record.event, record.author),
    )  # fmt: skip


def _fields(of: Event, author: str) -> dict[str, Any]:
    """The fields of an entry that depend on the kind of its record."""
    fields: dict[str, Any] = {}
    match of:
        case Commit() as event:
            fields = {
                "kind": "save", "numbers": (event.number,), "tags": event.tags, "before": event.moved,
                "labels": event.labels, "notes": event.notes, "made_by": event.author or author,
                "bytes_added": event.bytes_added, "signers": _signers(event.signatures),
            }  # fmt: skip
        case Tag() as event:
            before = {} if event.before is None else {event.tag: event.before}
            fields = {"kind": "tag", "numbers": _one(event.number), "tags": (event.tag,), "before": before}
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
    return fields or _of_keys(of)


def _of_keys(event: Event) -> dict[str, Any]:
    if isinstance(event, Sign):
        return {"kind": "sign", "numbers": (event.number,), "signers": _signers(event.signatures)}
    if isinstance(event, Holders):
        return {"kind": "holders", "holders": event.changed}
    return {"kind": "grant", "grants": event.grants} if isinstance(event, Roles) else {}


def _signers(signatures: Iterable[Signature]) -> tuple[str, ...]:
    return tuple(each.key for each in signatures)


def _one(number: int | None) -> tuple[int, ...]:
    return () if number is None else (number,)


def said(entry: Entry) -> str:
    """What a record says, as a phrase."""
    phrase = _said(entry)
    return f"void, as {entry.refused}: {phrase}" if entry.refused else phrase


def signer(entry: Entry) -> str:
    """Who signed a record, and whether that holds; and whether its head was seen here."""
    by = brief(entry.signed_by) + _failing(entry.signature) if entry.signed_by else ""
    return " ".join(filter(None, (by, "(seen here)" if entry.seen else "")))


def _said(entry: Entry) -> str:
    subject = _subject(entry)
    match entry.kind:
        case "save":
            by = f", made by {entry.made_by}" if entry.made_by != entry.author else ""
            tags = f", tagged {', '.join(_tags(entry, ' (was @{})'))}" if entry.tags else ""
            labels = f", labelled {_labels(entry)}" if entry.labels else ""
            by += f" (unverified: {entry.unverified})" if entry.unverified else ""
            signed = f", signed by {_signed(entry)}" if entry.signers else ""
            return f"saved {subject}{by}{tags}{labels}{signed}; the store grew by {size(entry.bytes_added)}"
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
    return _about_keys(entry)


def _about_keys(entry: Entry) -> str:
    if entry.kind == "sign":
        return f"signed {_subject(entry)} by {_signed(entry)}"
    if entry.kind == "holders":
        return _holders(entry)
    held = (
        f"{brief(key)}: {', '.join(rights) or 'nothing any more'}" for key, rights in entry.grants.items()
    )
    return f"granted {'; '.join(held)}"


def _signed(entry: Entry) -> str:
    """Who signed a version; of each whose signature does not hold, why."""
    more = len(entry.signers) - NAMED
    named = (brief(key) + _failing(entry.verdicts.get(key, "")) for key in entry.signers[:NAMED])
    return ", ".join(named) + (f" and {counted(more, 'other')}" if more > 0 else "")


def _failing(verdict: str) -> str:
    return "" if verdict in ("", "holds") else f" ({verdict})"


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


def _holders(entry: Entry) -> str:
    if not entry.holders:
        return "began a new data key"
    return ", ".join(
        f"removed the holder {name}" if key is None else f"added the holder {name} ({key})"
        for name, key in entry.holders.items()
    )


def _labels(entry: Entry) -> str:
    said = [f"{key}={value}" if value is not None else f"no {key}" for key, value in entry.labels.items()]
    return ", ".join(said[:NAMED]) + (
        f" and {counted(len(said) - NAMED, 'other')}" if len(said) > NAMED else ""
    )
