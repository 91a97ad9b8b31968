"""What the log says: which versions, tags and moves there are, after any number of records.

It is a sorted map from text keys to JSON values. Every `INTERVAL` records a writer keeps it as a checkpoint:
pages (`repo/pages.py`) under `state/pages/`, and a document that names their root. Checkpoints only make
opening cheap. Whatever is wrong with them, the log alone says the same.

    model <name>              last number given, how many live, newest live, last number and hash of parts
    version <name> <number>   the commit, with the record's time and author
    step <name> <step> <number>   that version has that step
    tag <name> <tag>          version number
    gone <object key>         the record that condemned it
    moved <pack>              the records that say where bytes of the pack went
    harmed <pack>             places that must not be shared
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any

import msgspec

from saver.errors import Damaged, NotFound, Unsupported
from saver.repo import document
from saver.repo.log import ZERO, Commit, Condemn, Delete, Harm, Log, Record, Relocate, Tag, plain
from saver.repo.pages import Pages
from saver.store import Store

INTERVAL = 64
FORMAT = 1

_END = "\U0010ffff"


class Checkpoint(msgspec.Struct, frozen=True):
    """The state after a record; `previous` is that record's hash, `root` that of the pages."""

    format: int
    number: int
    previous: str
    root: str | None


def checkpoint_key(number: int) -> str:
    """Where the checkpoint of a record stands."""
    return f"state/{number:020}.json"


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
        self._base = 0
        self._root: str | None = None
        self._recent: dict[str, Any] = {}
        self._sorted: list[str] = []
        self._due: tuple[int, str, dict[str, Any]] | None = None
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
            for key, value in _changes(record, self, where).items():
                if key not in self._recent:
                    insort(self._sorted, key)
                self._recent[key] = value
            self.head, self.previous = record.number, digest
            if self.head % INTERVAL == 0:
                self._due = (self.head, digest, dict(self._recent))

    def get(self, key: str) -> Any:
        """The value of a key; None when it has none."""
        with self._lock:
            if key in self._recent:
                return self._recent[key]
            try:
                return self.pages.get(self._root, key)
            except (Damaged, NotFound) as error:
                self._replay(error)
                return self._recent.get(key)

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
            recent = self._sorted[bisect_left(self._sorted, first) : bisect_left(self._sorted, stop)]
            changed = {key: self._recent[key] for key in recent}
            older = self.pages.scan(self._root, first, stop, reverse)
        return _merged(older, recent[::-1] if reverse else recent, changed, reverse)

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
        self._base, self._root = base, root
        self._recent, self._sorted, self._due = {}, [], None

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
            number, previous, changes = self._due
            if self._store.stat(checkpoint_key(number)) is None:
                root = self.pages.update(self._root, changes)
                found = Checkpoint(FORMAT, number, previous, root)
                self._store.create(checkpoint_key(number), document.encode(found))
            data = self._store.read(checkpoint_key(number))
            found, _ = document.decode(data, Checkpoint, f"{self._store}: {checkpoint_key(number)}")
            newer = {k: v for k, v in self._recent.items() if k not in changes or changes[k] is not v}
            self._base, self._root, self._due = number, found.root, None
            self._recent, self._sorted = newer, sorted(newer)

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
            return _committed(record, event, state, where)
        case Tag():
            if event.number is not None and state.get(version_key(event.model, event.number)) is None:
                raise Damaged(f"{where} tags {event.model}@{event.number}, which is not there")
            return {f"tag {event.model} {event.tag}": event.number}
        case Delete():
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
                f"harmed {pack}": [*(state.get(f"harmed {pack}") or ()), *map(list, places)]
                for pack, places in event.places.items()
            }


def _committed(record: Record, event: Commit, state: State, where: str) -> dict[str, Any]:
    model = state.get(f"model {event.model}") or {"last": 0, "count": 0, "parts": {}}
    if event.number != model["last"] + 1:
        raise Damaged(f"{where} has version {event.number} of {event.model!r} after {model['last']}")
    value = plain(event)
    del value["kind"], value["model"], value["number"]
    value["time"] = record.time
    if record.author:
        value["author"] = record.author
    parts = {name: [part.number, part.hash] for name, part in event.parts.items()}
    changes: dict[str, Any] = {
        version_key(event.model, event.number): value,
        f"model {event.model}": {
            "last": event.number,
            "count": model["count"] + 1,
            "latest": event.number,
            "parts": {**model["parts"], **parts},
        },
    }
    if event.step is not None:
        changes[step_key(event.model, event.step, event.number)] = event.number
    for tag in event.tags:
        changes[f"tag {event.model} {tag}"] = event.number
    return changes


def _deleted(event: Delete, state: State) -> dict[str, Any]:
    """Without the versions, and the tags and steps that lead to them."""
    numbers = set(event.numbers)
    changes: dict[str, Any] = {}
    model = state.get(f"model {event.model}")
    for number in sorted(numbers):
        value = state.get(version_key(event.model, number))
        if value is None:
            numbers.discard(number)
            continue
        changes[version_key(event.model, number)] = None
        if value.get("step") is not None:
            changes[step_key(event.model, value["step"], number)] = None
    for key, number in state.scan(f"tag {event.model} "):
        if number in numbers:
            changes[key] = None
    if numbers and model is not None:
        changes[f"model {event.model}"] = {
            **model,
            "count": model["count"] - len(numbers),
            "latest": next(_living(state, event.model, numbers), None),
        }
    return changes


def _living(state: State, model: str, without: set[int]) -> Iterator[int]:
    prefix = f"version {model} "
    for key, _ in state.scan(prefix, reverse=True):
        number = int(key[len(prefix) :])
        if number not in without:
            yield number
