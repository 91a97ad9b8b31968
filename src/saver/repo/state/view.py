"""What the log says after a record, from the pages of a checkpoint and the records since. It never repairs
pages."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from saver.errors import DamagedError, SaverError
from saver.repo.log import ZERO, Record
from saver.repo.state.effects import changes_of
from saver.repo.state.facts import (
    END,
    Facts,
    converted,
    refused_key,
)
from saver.repo.state.known import Known
from saver.repo.state.pages import Pages
from saver.repo.state.rights import NOBODY, Granted, refusal, roles_after


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

    def __init__(
        self,
        pages: Pages,
        base: int = 0,
        previous: str = ZERO,
        root: str | None = None,
        roles: Granted = NOBODY,
    ) -> None:
        self._pages = pages
        self._known = Known(base, previous, base, root, alone=base == 0, roles=roles)

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
    def roles(self) -> Granted:
        """Who may do what now."""
        return self._known.roles

    @property
    def due_roles(self) -> Granted:
        """Who might do what when the checkpoint became due."""
        return self._known.due_roles

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
        settled = _within(known.settled_keys, first, stop)
        recent = _within(known.recent_keys, first, stop)
        if known.root is None and not settled and not recent:
            return iter(())  # in a small store, a version mostly has no tags
        recent = sorted({*settled, *recent})
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
                "records were changed; restore the folder log/ from a copy",
                rule="5.06",
            )
        reason = refusal(record, known.roles, self.tags)
        changes = {refused_key(record.number): reason} if reason else changes_of(record, self, where)
        roles = known.roles if reason else roles_after(known.roles, record.event)
        self._known = known.after(record, digest, changes, interval, roles)

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
