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

import msgspec

from saver.errors import IncompatibleError, NotFoundError, SaverError
from saver.repo import document
from saver.repo.log import Log, log_key
from saver.repo.objects import STATE, USERS, checkpoint_key, checkpoint_number, page_key, past_numbers
from saver.repo.state.pages import Pages
from saver.repo.state.reserve import RESERVE
from saver.storage import Storage
from saver.strict import decodable

FORMAT, USERS_FORMAT = 3, 103
"""They differ, so that neither kind of checkpoint is taken for the other, wherever it is found."""

CHECKPOINTS_KEPT = 4
"""How many of the newest checkpoints are kept: a reader may still use one that is not the newest."""


@decodable
class Checkpoint(msgspec.Struct, frozen=True):
    """The state after a record; `previous` is that record's hash, `root` the name of the root page."""

    format: int
    number: int
    previous: str
    root: str | None


@decodable
class UsersCheckpoint(Checkpoint, frozen=True):
    """Which objects versions need, after a record. `listed` is when all objects of the store were last
    listed, by its own clock; 0 if they never were. The log has no gap up to this record."""

    listed: float


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

    def take_listing(self) -> Iterable[str]:
        """The keys of checkpoints as listed just before the log was first read; after that, as of now."""
        seen = self._seen
        self.forget_listing()
        return seen if seen is not None else self._keys()

    def forget_listing(self) -> None:
        """Discard the listing from when the log was read: it is too old."""
        self._seen = None

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

    def numbers(self, head: int) -> list[int]:
        """The numbers of the existing checkpoints, up to `head`."""
        return sorted(n for n in map(self._number, self._keys()) if 0 < n <= head)

    def key(self, number: int) -> str:
        """The key of the checkpoint of a record."""
        return checkpoint_key(number, self.prefix)

    def _number(self, key: str) -> int:
        return checkpoint_number(key, self.prefix)

    # Reading

    def read(self, number: int) -> Checkpoint:
        """The checkpoint of a record. Raises a SaverError."""
        key = self.key(number)
        data = self._log.ahead.pop(key, None) or self._storage.read(key)
        found = decoded(key, data, f"{self._storage}: {key}")
        if found.number != number:
            raise IncompatibleError(f"{self._storage}: {key} is of another Saver")
        return found

    def made_by_others(self, number: int, previous: str) -> Checkpoint | None:
        """The checkpoint of a record, if another process has written it already."""
        try:
            found = self.read(number)
            self.pages.get(found.root, "")
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

    def held(self) -> set[str]:
        """The keys of the pages that are only in memory."""
        return set(map(page_key, self._held))

    def forget_held(self) -> None:
        """Forget all pages that are only in memory."""
        self._held.clear()

    def make_durable(self, number: int) -> None:
        """Make a record durable, before anything else in the store depends on it; for 0, nothing is done.

        Its writer may not have done that yet. A power loss now could leave a checkpoint of a missing
        record, as if someone had removed it. A record written by this process made all before it durable.
        """
        if number:
            self._storage.create(log_key(number), self._storage.read(log_key(number)))

    def write(
        self, found: Checkpoint, needed: Collection[str] | None, anew: bool, *beside: Callable[[], Any]
    ) -> None:
        """Write a checkpoint, after those of its pages that are only in memory: the `needed` ones (None:
        all that are held). `anew`: other pages of it may be damaged, so each is read first. What may be done
        beside the last step is done at the same time."""
        self._write_pages(needed, anew)
        asks: list[Callable[[], Any]] = [partial(self._write, found), *beside]
        list(self._storage.together(asks))

    def _write(self, found: Checkpoint) -> None:
        key, data = self.key(found.number), document.encode(found)
        if not self._storage.create(key, data):
            self._storage.delete(key)  # it is damaged, or tells less
            self._storage.create(key, data)

    def _write_pages(self, needed: Collection[str] | None, anew: bool) -> None:
        """Write held pages, children before their parents."""
        new = [page for page in self._held.items() if needed is None or page[0] in needed]
        for _ in self._storage.together(partial(self._write_page, *page, anew) for page in new):
            pass

    def _write_page(self, name: str, data: bytes, anew: bool) -> None:
        if anew and self._is_there(name, data):
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

    def old(self, number: int, new: int = 0) -> set[str]:
        """The keys of checkpoints up to a record that are old once there are `new` ones, and of the pages
        that only they need; nothing if that is not known."""
        doomed = set[str]()
        with suppress(SaverError):
            numbers = self.numbers(number)
            old, kept = numbers[: new - CHECKPOINTS_KEPT], numbers[new - CHECKPOINTS_KEPT :]
            asks = [partial(self._root, each, each in kept) for each in numbers if old]
            roots = dict(zip(numbers, self._storage.together(asks), strict=False))
            for each in old:
                doomed.add(self.key(each))
                with suppress(SaverError):
                    only = self.pages.only_in(roots[each], [roots[other] for other in kept])
                    doomed.update(map(page_key, only))
        return doomed

    def _root(self, number: int, must: bool = False) -> str | None:
        """The root of a checkpoint; None for an empty one, and if it cannot be read and need not be."""
        try:
            return self.read(number).root
        except SaverError:
            if must:
                raise
            return None

    def drop(self, keys: Iterable[str]) -> None:
        """Delete what is old: checkpoints first, and their pages only once those are gone. What cannot be
        deleted now, a collection deletes."""
        found = set(keys)
        pages = {key for key in found if not self._number(key)}
        with suppress(SaverError):
            for each in filter(None, (found - pages, pages)):
                self._storage.delete(*each)

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


def decoded(key: str, data: bytes, where: str) -> Checkpoint:
    """The checkpoint in the object with this key. Raises DamagedError or IncompatibleError."""
    users = key.startswith(USERS)
    found, _ = document.decode(data, UsersCheckpoint if users else Checkpoint, where)
    if found.format != (USERS_FORMAT if users else FORMAT):
        raise IncompatibleError(f"{where} is of another Saver")
    return found
