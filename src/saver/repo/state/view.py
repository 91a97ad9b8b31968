"""What the log says after a record, from the pages of a checkpoint and the records since. It never repairs
pages."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.repo.events import Commit, Condemn, Delete, Harm, Label, Note, Relocate, Tag, Void
from saver.repo.log import ZERO, Record
from saver.repo.manifest import manifest_key
from saver.repo.objects import pack_key, tree_key
from saver.repo.refs import BadNameError, check_model, check_tag
from saver.repo.state.facts import (
    END,
    Facts,
    ModelState,
    VersionState,
    converted,
    freed_key,
    gone_key,
    harmed_key,
    model_key,
    moved_key,
    step_key,
    tag_key,
    version_key,
    void_key,
)
from saver.repo.state.known import Known
from saver.repo.state.pages import Pages
from saver.repo.state.values import annotated, version_state, with_version, without_versions


class Broken(DamagedError):
    """A page of the checkpoint cannot be used, for whatever reason. The log has the same information."""


def _typed(key: str, value: Any) -> Any:
    """A value from a page. Raises Broken if no log can say this."""
    try:
        return converted(key, value)
    except (KeyError, ValueError) as error:
        raise Broken(f"the state has a value for {key[:100]!r} that no log can have: {error}") from None


class View(Facts):
    """What the log says up to record `head`, from the checkpoint of record `base` on.

    `follow` applies the next record; nothing else changes what it says. A page that cannot be used raises
    Broken: then the caller makes another view. Not safe to use from several threads. An exception may arrive
    between any two lines (Ctrl-C): so each change is one assignment.
    """

    def __init__(self, pages: Pages, base: int = 0, previous: str = ZERO, root: str | None = None) -> None:
        self._pages = pages
        self._known = Known(base, previous, base, root, alone=base == 0)

    @property
    def head(self) -> int:
        """The number of the last record that was applied."""
        return self._known.head

    @property
    def last(self) -> tuple[int, str]:
        """Its number and its hash."""
        return self._known.head, self._known.previous

    @property
    def base(self) -> int:
        """The number of the record of the checkpoint that this rests on."""
        return self._known.base

    @property
    def root(self) -> str | None:
        """The root of the pages that this rests on."""
        return self._known.root

    @property
    def alone(self) -> bool:
        """Whether this view is from the log alone, and from no stored checkpoint."""
        return self._known.alone

    @property
    def due(self) -> tuple[int, str] | None:
        """Number and hash of the last record after which a checkpoint should be kept."""
        return self._known.due

    @property
    def settled(self) -> Mapping[str, Any]:
        """What changed from the base until then; None for removed keys."""
        return self._known.settled

    def get(self, key: str) -> Any:
        """The value of a key; None if it has none. Raises Broken."""
        known = self._known
        for changes in (known.recent, known.settled):
            if key in changes:
                return changes[key]
        try:
            value = self._pages.get(known.root, key)
        except SaverError as error:
            raise Broken(str(error)) from error
        return _typed(key, value) if value is not None else None

    def scan(self, prefix: str, reverse: bool = False) -> Iterator[tuple[str, Any]]:
        """The keys that begin with `prefix` with their values, as from `between`."""
        return self.between(prefix, prefix + END, reverse)

    def between(self, first: str, stop: str, reverse: bool = False) -> Iterator[tuple[str, Any]]:
        """The keys from `first` to before `stop` with their values, in order, as they are now. Raises
        Broken, possibly midway."""
        known = self._known
        recent = sorted({*_within(known.settled_keys, first, stop), *_within(known.recent_keys, first, stop)})
        changed = {key: known.recent[key] if key in known.recent else known.settled[key] for key in recent}
        older = _read(self._pages.scan(known.root, first, stop, reverse))
        return _merged(older, recent[::-1] if reverse else recent, changed, reverse)

    def expect(self, keys: Iterable[str]) -> None:
        """Read ahead the pages that hold these keys. Raises SaverError."""
        known = self._known
        unknown = [key for key in keys if key not in known.recent and key not in known.settled]
        self._pages.expect(known.root, unknown)

    def follow(self, record: Record, digest: str, where: str, interval: int) -> None:
        """Apply the next record; a checkpoint is due after every `interval` records.

        Raises DamagedError if the record does not follow, IncompatibleError if it says what no Saver would
        write there, or Broken; the view is then unchanged.
        """
        known = self._known
        if record.number != known.head + 1 or record.previous != known.previous:
            raise DamagedError(
                f"{where} does not follow the one before it; two copies of the store were mixed, or "
                "records were changed; restore the folder log/ from a copy"
            )
        self._known = known.after(record, digest, _changes(record, self, where), interval)

    def settle(self, root: str | None) -> None:
        """From now on, read the settled state from the pages below `root`, which hold it."""
        known = self._known
        base = known.due[0] if known.due is not None else known.base
        self._known = msgspec.structs.replace(known, base=base, root=root, settled={}, settled_keys=())

    def rest_on(self, root: str | None) -> None:
        """The same, for pages of a checkpoint that was kept."""
        known = self._known
        base = known.due[0] if known.due is not None else known.base
        self._known = msgspec.structs.replace(
            known, base=base, root=root, settled={}, settled_keys=(), due=None, alone=False
        )


def _within(keys: Sequence[str], first: str, stop: str) -> Sequence[str]:
    """Of sorted keys, those from `first` to before `stop`."""
    return keys[bisect_left(keys, first) : bisect_left(keys, stop)]


def _read(items: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    try:
        for key, value in items:
            yield key, _typed(key, value)
    except Broken:
        raise
    except SaverError as error:
        raise Broken(str(error)) from error


def _merged(
    older: Iterator[tuple[str, Any]], recent: list[str], changed: Mapping[str, Any], reverse: bool
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


def _changes(record: Record, view: View, where: str) -> dict[str, Any]:
    """What a record changes, by key; None removes."""
    event = record.event
    match event:
        case Commit():
            _check_names(event.model, event.tags, where)
            return _committed(record, event, view, where)
        case Tag():
            _check_names(event.model, (event.tag,), where)
            if event.number is not None and view.version(event.model, event.number) is None:
                raise IncompatibleError(f"{where} tags {event.model}@{event.number}, which does not exist")
            return {tag_key(event.model, event.tag): event.number}
        case Label() | Note():
            _check_names(event.model, (), where)
            return _annotated(event, view, where)
        case Delete():
            _check_names(event.model, (), where)
            return _deleted(record.number, event, view)
        case Condemn():
            return _condemned(record.number, event.objects) | dict.fromkeys(map(freed_key, event.kept))
        case Relocate():
            changes = _condemned(record.number, event.objects)
            for pack in event.moves:
                changes[moved_key(pack)] = [*view.moved(pack), record.number]
            return changes
        case Harm():
            return {harmed_key(pack): [*view.harmed(pack), *places] for pack, places in event.places.items()}
        case Void():
            return {void_key(event.commit): record.number}


def _condemned(number: int, objects: Iterable[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for key in objects:
        changes[gone_key(key)] = number
        changes[freed_key(key)] = None
    return changes


def _check_names(model: str, tags: Iterable[str], where: str) -> None:
    try:
        check_model(model)
        for tag in tags:
            check_tag(tag)
    except BadNameError as error:
        raise IncompatibleError(f"{where}: {error}") from None


def _annotated(event: Label | Note, view: View, where: str) -> dict[str, Any]:
    """The changes by labels or notes of a version or a model, which must be there."""
    model = view.model(event.model)
    if event.number is None:
        if model is None or not model.count:
            raise IncompatibleError(f"{where} is about the model {event.model!r}, which is not there")
        return {model_key(event.model): annotated(model, event, where)}
    version = view.version(event.model, event.number)
    if version is None:
        raise IncompatibleError(f"{where} is about {event.model}@{event.number}, which is not there")
    return {version_key(event.model, event.number): annotated(version, event, where)}


def _committed(record: Record, event: Commit, view: View, where: str) -> dict[str, Any]:
    changes: dict[str, Any] = {
        version_key(event.model, event.number): version_state(record, event, where),
        model_key(event.model): with_version(view.model(event.model) or ModelState(), event, where),
    }
    if event.step is not None:
        changes[step_key(event.model, event.step, event.number)] = event.number
    for tag in event.tags:
        changes[tag_key(event.model, tag)] = event.number
    return changes


def _deleted(record: int, event: Delete, view: View) -> dict[str, Any]:
    """The changes of a deletion: removes the versions, and the tags and steps that point to them; what only
    they needed becomes free."""
    changes: dict[str, Any] = {}
    gone: dict[int, VersionState] = {}
    for number in sorted(set(event.numbers)):
        value = view.version(event.model, number)
        if value is not None:
            gone[number] = value
            changes[version_key(event.model, number)] = None
            if value.step is not None:
                changes[step_key(event.model, value.step, number)] = None
            packs, trees = map(pack_key, value.packs), map(tree_key, value.trees)
            for key in (manifest_key(value.manifest, value.file), *packs, *trees):
                changes[freed_key(key)] = record
    for tag, number in view.tags(event.model).items():
        if number in gone:
            changes[tag_key(event.model, tag)] = None
    model = view.model(event.model)
    if gone and model is not None:
        latest = model.latest
        if latest in gone:  # only then is another one the newest
            left = (number for number, _ in view.versions(event.model, reverse=True))
            latest = next((number for number in left if number not in gone), None)
        changes[model_key(event.model)] = without_versions(model, gone.values(), latest)
    return changes
