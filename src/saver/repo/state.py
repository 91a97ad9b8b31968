"""What the log says: which versions, tags and moves there are, after any number of records.

It is a sorted map from text keys to values. Every `INTERVAL` records a writer keeps it as a checkpoint:
pages (`repo/pages.py`) under `state/pages/`, and a document that names their root. Checkpoints only make
opening cheap. Whatever is wrong with them, the log alone says the same.

    model <name>                    a ModelState
    version <name> <number>         a VersionState
    step <name> <step> <number>     that number: the version has that step
    tag <name> <tag>                the number of a version
    gone <object key>               the record that condemned it
    moved <pack>                    the records that say where bytes of the pack went
    harmed <pack>                   places (offset, length) that must not be shared
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from saver.errors import Damaged, NotFound, Unsupported
from saver.repo import document
from saver.repo.log import (
    ZERO,
    Commit,
    Condemn,
    Delete,
    Harm,
    Log,
    PartVersion,
    Record,
    Relocate,
    Tag,
    log_key,
)
from saver.repo.pages import Pages
from saver.repo.refs import check_model, check_tag
from saver.store import Store
from saver.tree import decodable

INTERVAL = 16
"""Records between checkpoints. With 64, opening a store of 100,000 versions took 3 times as long as ten;
with 16, less than twice, and a save costs some 15 % more for it."""
FORMAT = 1

_END = "\U0010ffff"


@decodable
class Checkpoint(msgspec.Struct, frozen=True):
    """The state after a record; `previous` is that record's hash, `root` that of the pages."""

    format: int
    number: int
    previous: str
    root: str | None


@decodable
class ModelState(msgspec.Struct, frozen=True):
    """A model: the last number that was given, how many versions live, the newest of them; and of every part
    that any version had the last number and hash."""

    last: int = 0
    count: int = 0
    latest: int | None = None
    parts: dict[str, tuple[int, str]] = {}


@decodable
class VersionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version: what its commit says, with the record's time and author."""

    manifest: str
    parts: dict[str, PartVersion]
    time: float
    author: str = ""
    packs: tuple[str, ...] = ()
    parent: int | None = None
    step: int | None = None
    metrics: dict[str, float | str] = {}
    notes: str = ""
    bytes: int = 0
    bytes_added: int = 0


_KINDS: dict[str, Any] = {
    "model": ModelState,
    "version": VersionState,
    "step": int,
    "tag": int,
    "gone": int,
    "moved": list[int],
    "harmed": list[tuple[int, int]],
}
"""The first word of a key → what its value is."""


def _typed(key: str, value: Any) -> Any:
    """A value from a page. Raises Damaged for what no log says."""
    try:
        return msgspec.convert(value, _KINDS[key.partition(" ")[0]])
    except (KeyError, msgspec.ValidationError) as error:
        raise Damaged(f"the state says of {key[:100]!r} what no log says: {error}") from None


def number_in(key: str) -> int:
    """The number at the end of a key."""
    last = key.rpartition(" ")[2]
    if not last.isascii() or not last.isdigit():
        raise Damaged(f"the state has the key {key[:100]!r}, which no log makes; delete the folder state/")
    return int(last)


def checkpoint_key(number: int) -> str:
    """Where the checkpoint of a record stands."""
    return f"state/{number:020}.json"


def next_checkpoint(head: int) -> int:
    """The number of the record after which the next checkpoint is due."""
    return head - head % INTERVAL + INTERVAL


def page_key(name: str) -> str:
    """Where a page stands."""
    return f"state/pages/{name[:2]}/{name}.json"


def version_key(model: str, number: int) -> str:
    """The key of a version; keys of one model sort by number."""
    return f"version {model} {number:012}"


def step_key(model: str, step: int, number: int | None = None) -> str:
    """The key of a version with a step, or the beginning of those of all versions with the step."""
    return f"step {model} {step:015} " + (f"{number:012}" if number is not None else "")


class State:
    """What the log says, up to record `head`. `refresh` reads what is new. Safe to use from threads."""

    def __init__(self, store: Store) -> None:
        self.log = Log(store)
        self.pages = Pages(self._read_page, self._write_page)
        self.head = 0
        self.previous = ZERO
        self._store = store
        self._root: str | None = None
        self._due: tuple[int, str] | None = None
        self._wrote = 0
        self._settled: dict[str, Any] = {}
        self._recent: dict[str, Any] = {}
        self._keys: list[str] | None = None
        self._lock = threading.RLock()
        self.trouble: str | None = None
        """Why a checkpoint could not be used, if one could not."""

    def refresh(self) -> None:
        """Read the records that were added."""
        with self._lock:
            head = self.log.head(self.head)
            if head - self.head > INTERVAL:
                self._jump(head)
            for number in range(self.head + 1, head + 1):
                self.follow(*self.log.read(number))

    def follow(self, record: Record, digest: str) -> None:
        """Take in the next record."""
        with self._lock:
            where = f"{self._store}: record {record.number}"
            if record.number != self.head + 1 or record.previous != self.previous:
                raise Damaged(
                    f"{where} does not follow the one before it; two copies of the store were mixed, or "
                    "records were changed; restore the folder log/ from a copy"
                )
            self._recent.update(_changes(record, self, where))
            self._keys = None
            self.head, self.previous = record.number, digest
            if self.head % INTERVAL == 0:
                self._due = (self.head, digest)
                self._settled.update(self._recent)
                self._recent = {}

    def last(self) -> tuple[int, str]:
        """The number and the hash of the last record that was taken in."""
        with self._lock:
            return self.head, self.previous

    def took(self, record: Record, digest: str) -> None:
        """Take in a record that was just written, unless another thread has read it already."""
        with self._lock:
            self._wrote = max(self._wrote, record.number)
            if record.number > self.head:
                self.follow(record, digest)

    def get(self, key: str) -> Any:
        """The value of a key; None when it has none."""
        with self._lock:
            for changes in (self._recent, self._settled):
                if key in changes:
                    return changes[key]
            try:
                value = self.pages.get(self._root, key)
                return _typed(key, value) if value is not None else None
            except (Damaged, NotFound) as error:
                self._replay(error)
                return self._recent.get(key, self._settled.get(key))

    def scan(self, prefix: str, reverse: bool = False) -> Iterator[tuple[str, Any]]:
        """The keys that begin with `prefix`, in order, with their values."""
        first, stop = prefix, prefix + _END
        try:
            for key, value in self._scan(first, stop, reverse):
                first, stop = (first, key) if reverse else (key + "\0", stop)
                yield key, value
        except (Damaged, NotFound) as error:
            self._replay(error)
            yield from self._scan(first, stop, reverse)

    def _scan(self, first: str, stop: str, reverse: bool) -> Iterator[tuple[str, Any]]:
        with self._lock:
            if self._keys is None:
                self._keys = sorted(self._settled.keys() | self._recent.keys())
            recent = self._keys[bisect_left(self._keys, first) : bisect_left(self._keys, stop)]
            changed = {
                key: self._recent[key] if key in self._recent else self._settled[key] for key in recent
            }
            older = self.pages.scan(self._root, first, stop, reverse)
        typed = ((key, _typed(key, value)) for key, value in older)
        return _merged(typed, recent[::-1] if reverse else recent, changed, reverse)

    def _replay(self, error: Exception) -> None:
        """Without the pages of the checkpoint: read the whole log."""
        with self._lock:
            self.trouble = str(error)
            head = self.head
            self._forget(0, ZERO, None)
            for number in range(1, head + 1):
                self.follow(*self.log.read(number))

    def _forget(self, base: int, previous: str, root: str | None) -> None:
        self.head, self.previous = base, previous
        self._root = root
        self._settled, self._recent, self._keys, self._due = {}, {}, None, None

    def _jump(self, head: int) -> None:
        """Go on from the newest checkpoint, if there is one beyond what is known."""
        for number in range(head - head % INTERVAL, max(self.head, 0), -INTERVAL):
            try:
                data = self._store.read(checkpoint_key(number))
                found, _ = document.decode(data, Checkpoint, f"{self._store}: {checkpoint_key(number)}")
                if found.format != FORMAT or found.number != number:
                    raise Unsupported(f"{self._store}: {checkpoint_key(number)} is of another Saver")
                self.pages.get(found.root, "")
            except NotFound:
                continue
            except (Damaged, Unsupported) as error:
                self.trouble = str(error)
                continue
            self._forget(number, found.previous, found.root)
            return

    def keep_checkpoint(self) -> None:
        """Write the checkpoint that is due, if one is. Writers call this before they commit."""
        with self._lock:
            if self._due is None:
                return
            number, previous = self._due
            found = self._kept(number)
            if found is None:
                self._make_durable(number)
                found = self._checkpoint(number, previous)
                self._store.delete(checkpoint_key(number))  # it is damaged, if it is there
                self._store.create(checkpoint_key(number), document.encode(found))
            self._root, self._due = found.root, None
            self._settled, self._keys = {}, None

    def _make_durable(self, number: int) -> None:
        """A record, before anything else in the store builds on it.

        Its writer may be about to do that. A power loss now could leave a checkpoint of a record that is not
        there, as if somebody had removed it. What was written here made all before it durable.
        """
        if self._wrote < number:
            self._store.create(log_key(number), self._store.read(log_key(number)))

    def _kept(self, number: int) -> Checkpoint | None:
        """The checkpoint of a record that somebody has written already."""
        try:
            where = f"{self._store}: {checkpoint_key(number)}"
            return document.decode(self._store.read(checkpoint_key(number)), Checkpoint, where)[0]
        except (Damaged, NotFound):
            return None

    def _checkpoint(self, number: int, previous: str) -> Checkpoint:
        try:
            root = self.pages.update(self._root, self._settled)
        except (Damaged, NotFound) as error:
            self._replay(error)
            root = self.pages.update(self._root, self._settled)
        return Checkpoint(FORMAT, number, previous, root)

    def pages_of(self, key: str) -> Iterator[str]:
        """The names of the pages that a checkpoint needs; none, if it cannot be read."""
        try:
            found, _ = document.decode(self._store.read(key), Checkpoint, f"{self._store}: {key}")
            names = list(self.pages.reachable(found.root)) if found.root is not None else []
        except (Damaged, NotFound):
            return
        yield from names

    def _read_page(self, name: str) -> bytes:
        return self._store.read(page_key(name))

    def _write_page(self, name: str, data: bytes) -> None:
        if not self._store.create(page_key(name), data) and self._store.read(page_key(name)) != data:
            self._store.delete(page_key(name))  # it was damaged
            self._store.create(page_key(name), data)


def _merged(
    older: Iterator[tuple[str, Any]], recent: list[str], changed: dict[str, Any], reverse: bool
) -> Iterator[tuple[str, Any]]:
    at = 0
    for key, value in older:
        while at < len(recent) and ((recent[at] > key) if reverse else (recent[at] < key)):
            if changed[recent[at]] is not None:
                yield recent[at], changed[recent[at]]
            at += 1
        if key not in changed:
            yield key, value
    for key in recent[at:]:
        if changed[key] is not None:
            yield key, changed[key]


def _changes(record: Record, state: State, where: str) -> dict[str, Any]:
    """What a record changes in the state, by key; None removes."""
    event = record.event
    match event:
        case Commit():
            _check_names(event.model, event.tags, where)
            return _committed(record, event, state, where)
        case Tag():
            _check_names(event.model, (event.tag,), where)
            if event.number is not None and state.get(version_key(event.model, event.number)) is None:
                raise Damaged(f"{where} tags {event.model}@{event.number}, which is not there")
            return {f"tag {event.model} {event.tag}": event.number}
        case Delete():
            _check_names(event.model, (), where)
            return _deleted(event, state)
        case Condemn():
            return dict.fromkeys((f"gone {key}" for key in event.objects), record.number)
        case Relocate():
            changes: dict[str, Any] = dict.fromkeys((f"gone {key}" for key in event.objects), record.number)
            for pack in event.moves:
                changes[f"moved {pack}"] = [*(state.get(f"moved {pack}") or ()), record.number]
            return changes
        case Harm():
            return {
                f"harmed {pack}": [*(state.get(f"harmed {pack}") or ()), *places]
                for pack, places in event.places.items()
            }


def _check_names(model: str, tags: Iterable[str], where: str) -> None:
    try:
        check_model(model)
        for tag in tags:
            check_tag(tag)
    except NotFound as error:
        raise Damaged(f"{where}: {error}") from None


def _committed(record: Record, event: Commit, state: State, where: str) -> dict[str, Any]:
    model: ModelState = state.get(f"model {event.model}") or ModelState()
    if event.number != model.last + 1:
        raise Damaged(f"{where} has version {event.number} of {event.model!r} after {model.last}")
    parts = {name: (part.number, part.hash) for name, part in event.parts.items()}
    changes: dict[str, Any] = {
        version_key(event.model, event.number): version_state(record, event),
        f"model {event.model}": ModelState(
            event.number, model.count + 1, event.number, {**model.parts, **parts}
        ),
    }
    if event.step is not None:
        changes[step_key(event.model, event.step, event.number)] = event.number
    for tag in event.tags:
        changes[f"tag {event.model} {tag}"] = event.number
    return changes


def version_state(record: Record, event: Commit) -> VersionState:
    """What is kept of a commit."""
    return VersionState(
        event.manifest, event.parts, record.time, record.author, event.packs, event.parent, event.step,
        event.metrics, event.notes, event.bytes, event.bytes_added,
    )  # fmt: skip


def _deleted(event: Delete, state: State) -> dict[str, Any]:
    """Without the versions, and the tags and steps that lead to them."""
    changes: dict[str, Any] = {}
    gone = set()
    for number in sorted(set(event.numbers)):
        value = state.get(version_key(event.model, number))
        if value is not None:
            gone.add(number)
            changes[version_key(event.model, number)] = None
            if value.step is not None:
                changes[step_key(event.model, value.step, number)] = None
    for key, number in state.scan(f"tag {event.model} "):
        if number in gone:
            changes[key] = None
    model = state.get(f"model {event.model}")
    if gone and model is not None:
        left = (number_in(key) for key, _ in state.scan(f"version {event.model} ", reverse=True))
        latest = next((number for number in left if number not in gone), None)
        changes[f"model {event.model}"] = msgspec.structs.replace(
            model, count=model.count - len(gone), latest=latest
        )
    return changes
