"""The shortcuts to what the log says: checkpoints of it under `state/`, and the pages that they consist of.
Those under `state/users/` say which versions need which objects (`users.py`), the others all the rest.

A checkpoint is a document that names the root of its pages. It is complete once the document exists: pages
are written before it, children before their parents. Any of this may be missing or damaged, and anyone may
delete it at any time; then reading it raises a SaverError, and the log says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Any

from saver.errors import DamagedError, IncompatibleError, NotFoundError, SaverError
from saver.repo import document
from saver.repo.log import Log, log_key
from saver.repo.objects import STATE, checkpoint_key, checkpoint_number, page_key, past_numbers
from saver.repo.state.checkpoint import Checkpoint, decoded
from saver.repo.state.pages import Pages
from saver.repo.state.reserve import RESERVE
from saver.storage import Storage

CHECKPOINTS_KEPT = 4
"""How many of the newest checkpoints are kept: a reader may still use one that is not the newest."""


class Shortcuts:
    """The checkpoints of a store, by the numbers of their records. Not safe to use from several threads
    where it writes."""

    def __init__(self, storage: Storage, log: Log, prefix: str = STATE) -> None:
        self._storage, self._log = storage, log
        self.prefix = prefix
        self._held: dict[str, bytes] = {}
        """Pages that the store lacks: of a view of the log alone, and of a checkpoint being written."""
        self.pages = Pages(self._read_page, self._held.__setitem__, lambda asks: self._storage.together(asks))
        self._seen: list[str] | None = None
        """The keys of checkpoints, as listed before the log was read, until they are used."""

    # Which there are

    def list_ahead(self) -> None:
        """List the checkpoints ahead of the next read of the log. A failure is left to that read."""
        with suppress(SaverError):
            self._seen = list(self._keys())

    def newest_seen(self) -> int:
        """The number of the newest listed checkpoint; 0 if there is none."""
        if self._seen is None:
            self.list_ahead()
        return next(filter(None, map(self._number, self._seen or ())), 0)

    def _keys(self) -> Iterator[str]:
        """The keys of checkpoints, the newest first, and other keys that sort among them."""
        return takewhile(lambda key: key < past_numbers(self.prefix), self._storage.keys(self.prefix))

    def listing(self) -> Iterable[str]:
        """The keys of checkpoints as listed just before the log was first read; after that, as of now."""
        return self._seen if self._seen is not None else self._keys()

    def forget_listing(self) -> None:
        """Discard the listing from when the log was read: it is too old."""
        self._seen = None

    def numbers(self, head: int) -> list[int]:
        """The numbers of the existing checkpoints, up to `head`."""
        return self._up_to(head, self._keys())

    def listed(self, head: int, root: str | None, keys: Iterable[str]) -> list[int]:
        """The same, as listed when the log was read, while the pages are read that hold some keys."""

        def expect() -> None:
            with suppress(SaverError):  # the caller that needs a page gets the error
                self.pages.expect(root, keys)

        asks: tuple[Callable[[], Any], ...] = (lambda: self._up_to(head, self.listing()), expect)
        found: list[int]
        found, _ = self._storage.together(asks)
        return found

    def _up_to(self, head: int, keys: Iterable[str]) -> list[int]:
        return sorted(number for number in map(self._number, keys) if 0 < number <= head)

    def key(self, number: int) -> str:
        """The key of the checkpoint of a record."""
        return checkpoint_key(number, self.prefix)

    def _number(self, key: str) -> int:
        return checkpoint_number(key, self.prefix)

    # Reading

    def candidates(self, head: int, after: int, interval: int) -> Iterator[int]:
        """The records up to `head` that may have checkpoints, the newest first; every `interval` records,
        one is due."""
        newest = head - head % interval
        if newest <= after:
            return
        yield from (number for number in map(self._number, self._seen or ()) if after < number <= head)
        yield newest
        try:
            listed = self.numbers(newest - 1)
        except SaverError:
            listed = [*range(interval, newest, interval)]
        yield from (number for number in reversed(listed) if number > after)

    def newest_usable(
        self, head: int, after: int, interval: int, ignore: Callable[[SaverError], None]
    ) -> Checkpoint | None:
        """The newest checkpoint of a record after `after` that is of this log and has its root; `ignore` gets
        the errors of others."""
        for number in self.candidates(head, after, interval):
            try:
                found = self.read(number)
                if number == head and self._log.read(number)[1] != found.previous:
                    raise DamagedError(f"{self._storage}: {self.key(number)} is not of this log")
                self.pages.get(found.root, "")
            except NotFoundError:
                continue
            except SaverError as error:
                ignore(error)
                continue
            return found
        return None

    def read(self, number: int) -> Checkpoint:
        """The checkpoint of a record. Raises a SaverError."""
        key = self.key(number)
        data = self._log.ahead.pop(key, None) or self._storage.read(key)
        found = decoded(key, data, f"{self._storage}: {key}")
        if found.number != number:
            raise IncompatibleError(f"{self._storage}: {key} is of another Saver")
        return found

    def made_by_others(self, number: int, previous: str, keys: Iterable[str] = ()) -> Checkpoint | None:
        """The checkpoint of a record, if another process has written it already; the pages that hold `keys`
        are read, too."""
        try:
            found = self.read(number)
            self.pages.expect(found.root, keys)
        except SaverError:
            return None
        return found if found.previous == previous else None

    def _read_page(self, name: str) -> bytes:
        data = self._held.get(name)
        if data is not None:
            return data
        try:
            return self._storage.read(page_key(name))
        except NotFoundError:
            raise
        except SaverError:  # trying once more costs less than reading the whole log
            return self._storage.read(page_key(name))

    # Writing

    def hold_only(self, root: str | None) -> None:
        """Forget the pages that are only in memory, but for those below this root."""
        needed = self.pages.among(root, self._held)  # the store has all pages below one that it has
        for name in [name for name in self._held if name not in needed]:
            del self._held[name]

    def held_among(self, names: Collection[str]) -> dict[str, bytes]:
        """Those of these pages that are only in memory."""
        return {name: data for name, data in self._held.items() if name in names}

    def forget_held(self) -> None:
        """Forget all pages that are only in memory."""
        self._held.clear()

    def record_of(self, number: int) -> bytes:
        """The bytes of a record; none for 0."""
        return self._storage.read(log_key(number)) if number else b""

    def make_durable(self, number: int, record: bytes) -> None:
        """Make a record durable, before anything else in the store depends on it; for 0, nothing is done.

        Its writer may not have done that yet. A power loss now could leave a checkpoint of a missing
        record, as if someone had removed it. A record written by this process made all before it durable.
        """
        if number:
            self._storage.create(log_key(number), record)

    def write(self, found: Checkpoint) -> None:
        """Write a checkpoint, after all pages that are only in memory, in place of one that tells less."""
        for _ in self._storage.together(partial(self.write_page, *page) for page in self._held.items()):
            pass
        self._write(found)

    def write_once(self, found: Checkpoint, anew: bool) -> Checkpoint:
        """Write a checkpoint, unless another process was faster, and return the one that is there. `anew`:
        that one is not to be trusted."""
        if not self._storage.create(self.key(found.number), document.encode(found)):
            there = self.made_by_others(found.number, found.previous) if not anew else None
            if there is not None:
                return there
            self._write(found)
        return found

    def _write(self, found: Checkpoint) -> None:
        key, data = self.key(found.number), document.encode(found)
        if not self._storage.create(key, data):
            self._storage.delete(key)  # it is damaged, or tells less
            self._storage.create(key, data)

    def write_page(self, name: str, data: bytes, look: bool = False) -> None:
        """Write a page, unless it is there whole. If it may well be, `look` first, which costs less."""
        if look and self._is_there(name, data):
            return
        if not self._storage.create(page_key(name), data) and not self._is_there(name, data):
            self._storage.delete(page_key(name))  # it is damaged
            self._storage.create(page_key(name), data)

    def _is_there(self, name: str, data: bytes) -> bool:
        try:
            return self._storage.read(page_key(name)) == data
        except SaverError:
            return False

    # What is no longer needed

    def delete_all(self) -> None:
        """Delete all checkpoints, whatever is wrong with them. Raises CannotWriteError."""
        self._storage.delete(*filter(self._number, self._keys()))

    def old(self, number: int) -> set[str]:
        """The keys of checkpoints up to a record that are old, and of the pages that only they need; nothing
        if that cannot be known."""
        with suppress(SaverError):
            numbers = self.numbers(number)
            old, kept = numbers[:-CHECKPOINTS_KEPT], numbers[-CHECKPOINTS_KEPT:]
            return {*map(self.key, old), *map(page_key, self.spare(old, kept))}
        return set()

    def spare(self, old: Collection[int], kept: Collection[int]) -> set[str]:
        """The names of the pages that old checkpoints need, and none of those that are `kept`. Raises a
        SaverError if one of the latter cannot be read."""
        spare, numbers = set[str](), [*old, *kept] if old else []
        asks = [partial(self._root, each, each in kept) for each in numbers]
        roots = dict(zip(numbers, self._storage.together(asks), strict=True))
        for each in old:
            with suppress(SaverError):
                spare |= self.pages.only_in(roots[each], [roots[other] for other in kept])
        return spare

    def _root(self, number: int, must: bool = False) -> str | None:
        """The root of a checkpoint; None for an empty one, and if it cannot be read and need not be."""
        try:
            return self.read(number).root
        except SaverError:
            if must:
                raise
            return None

    def drop(self, keys: Iterable[str]) -> bool:
        """Delete what is old: checkpoints first, and their pages only once those are gone. Returns whether
        all was deleted; what cannot be deleted now, a collection deletes."""
        found = sorted(set(keys))
        pages = [key for key in found if not self._number(key)]
        with suppress(SaverError):
            for each in filter(None, ([key for key in found if self._number(key)], pages)):
                self._storage.delete(*each)
            return True
        return False

    def needed(self, head: int) -> set[str]:
        """The keys below `state/` that are in use: the newest checkpoints up to `head`, all their pages, and
        the reserve. Raises a SaverError if a checkpoint cannot be read whole."""
        numbers, seen = self.numbers(head)[-CHECKPOINTS_KEPT:], set[str]()
        for number in numbers:
            for _ in self.pages.reachable(self.read(number).root, seen):
                pass
        return {*RESERVE, *map(self.key, numbers), *map(page_key, seen)}

    def missing_pages(self, head: int, there: Collection[str]) -> Iterator[tuple[str, int]]:
        """The keys of missing pages that a checkpoint up to `head` needs, each with the number of the
        checkpoint. `there` are the keys that were listed; other keys are looked up."""
        for number in self.numbers(head):
            missing: list[str] = []
            with suppress(SaverError):  # what cannot be read is reported where it is read
                needed = map(page_key, self.pages.reachable(self.read(number).root))
                missing.extend(key for key in needed if key not in there and self._storage.stat(key) is None)
            if missing and self._storage.stat(self.key(number)) is not None:
                yield from ((key, number) for key in missing)
