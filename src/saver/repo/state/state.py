"""What the log says now: which versions, tags and moves there are.

It is a pure function of the log. Every `INTERVAL` records a writer keeps it as a checkpoint: pages
(`pages.py`) under `state/pages/`, and a document that names their root. Checkpoints only make opening
cheap: one that fails in any way is ignored, and the log is read instead. The next writer then writes them
again.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice, takewhile
from typing import Any

import msgspec
from blake3 import blake3

from saver import forks
from saver.errors import DamagedError, IncompatibleError, NotFoundError, SaverError
from saver.repo import document
from saver.repo.log import TOGETHER, Log, Record, log_key
from saver.repo.objects import PAST_NUMBERS, checkpoint_key, checkpoint_number, own, page_key
from saver.repo.state.facts import Facts, model_key, tag_key, version_key
from saver.repo.state.pages import Pages
from saver.repo.state.view import END, Broken, View, needed_by
from saver.storage import Bytes, Storage
from saver.tree import decodable

INTERVAL = 16
"""Records between checkpoints. With 64, opening a store of 100,000 versions took 3 times as long as ten;
with 16, less than twice as long, and a save costs some 15 % more."""

FORMAT = 3

CHECKPOINTS_KEPT = 4
"""How many of the newest checkpoints are kept: a reader may still use one that is not the newest."""

HELD = 4096
"""Roughly the most keys that are held in memory besides pages."""

RESERVE = tuple(f"state/free-{number}" for number in range(4))
RESERVE_BYTES = 4 << 10
"""Space on a full disk, in blocks and in inodes, for the records of deletions, and of the collection that
then frees space. A listing of checkpoints reaches these names before the pages."""

_RESERVED = blake3(b"reserve").digest(RESERVE_BYTES)
"""Random bytes, which no file system can compress."""


@decodable
class Checkpoint(msgspec.Struct, frozen=True):
    """The state after a record; `previous` is that record's hash, `root` the name of the root page."""

    format: int
    number: int
    previous: str
    root: str | None


class State(Facts):
    """What the log says, up to record `head`. `refresh` reads new records. Thread-safe."""

    def __init__(self, storage: Storage) -> None:
        self.log = Log(storage)
        self._storage = storage
        self._begin()
        forks.begin_anew(self, State._begin)

    def _begin(self) -> None:
        """Reset to the state before anything was read. Also after a fork: a thread that no longer exists
        may have been in the middle of a change."""
        self._lock = threading.RLock()
        self._held: dict[str, bytes] = {}
        """Pages that the store lacks: of a view of the log alone, and of a checkpoint being written."""
        self.pages = Pages(self._read_page, self._held.__setitem__, lambda asks: self._storage.together(asks))
        self._seen: list[str] | None = None
        """The keys of checkpoints, as listed before the log was read, until they are used."""
        self._wanted: tuple[str, ...] = ()
        """Keys to read ahead once the log has been read."""
        self._expected: tuple[str | None, tuple[str, ...]] = (None, ())
        self.log.ahead.clear()
        self._view = View(self.pages)
        self._distrusts = False
        """Whether a checkpoint could not be used, and none was written since."""
        self._wrote = 0
        self.trouble: str | None = None
        """Why a checkpoint could not be used or kept, if one could not."""

    @property
    def head(self) -> int:
        """The number of the last record that was applied."""
        return self._view.head

    def last(self) -> tuple[int, str]:
        """The number and the hash of the last record that was applied."""
        with self._lock:
            return self._view.head, self._view.previous

    def refresh(self) -> None:
        """Read the new records."""
        with self._lock:
            try:
                likely = self._look_ahead() if not self._view.head else 0
                self._read_on(self.log.head(self._view.head, likely))
            finally:  # what did not exist may exist by now
                self.log.ahead.clear()

    def _read_on(self, head: int) -> None:
        """Read the records up to `head`, or a checkpoint and those after it."""
        far = head - self._view.head > INTERVAL or len(self._view.settled) > HELD
        if far and not self._distrusts:
            self._view = self._checkpointed(head, self._view.head) or self._view
        records = self.log.read_on(self._view.head + 1, head)
        wanted, self._wanted = self._wanted, ()
        while some := list(islice(records, TOGETHER)):
            self._expect((*wanted, *(key for record, _ in some for key in needed_by(record.event))))
            for record, digest in some:
                self._follow(record, digest)

    def list_ahead(self) -> None:
        """List the checkpoints ahead of the next read of the log. This only guesses which is the newest."""
        with self._lock:
            if not self._view.head:
                with suppress(SaverError):
                    self._seen = list(self._checkpoint_keys())

    def _look_ahead(self) -> int:
        """Read at once what opening a store needs: the newest listed checkpoint, and the records from its
        own on. Returns its number; 0 if there is none.

        It is a guess: what fails, or turns out to be something else than needed, is read again.
        """
        if self._seen is None:
            self.list_ahead()
        number = next(filter(None, map(checkpoint_number, self._seen or ())), 0)
        self.log.look_ahead(checkpoint_key(number) if number else "", number, INTERVAL + 3)
        return number

    def _checkpoint_keys(self) -> Iterator[str]:
        """The keys of checkpoints, the newest first, and other keys that sort among them."""
        return takewhile(lambda key: key < PAST_NUMBERS, self._storage.keys("state/"))

    def take_listing(self) -> Iterable[str]:
        """The keys of checkpoints as listed just before the log was first read; after that, as of now."""
        seen = self._seen
        self.forget_listing()
        return seen if seen is not None else self._checkpoint_keys()

    def forget_listing(self) -> None:
        """Discard the listing from when the log was read: it is too old."""
        self._seen = None

    def expect(self, model: str, number: int | None = None) -> None:
        """Read ahead what is needed about a model and this version of it (None: the newest); now, or when
        the log is first read. This changes no answer."""
        version = version_key(model, number) if number is not None else f"version {model} {END}"
        keys = (model_key(model), version, tag_key(model), tag_key(model, END))
        with self._lock:
            if not self._view.head:
                self._wanted = keys
            elif self._expected != (self._view.root, keys):  # a repeated load needs no new read
                self._expected = (self._view.root, keys)
                self._expect(keys)

    def _expect(self, keys: Iterable[str]) -> None:
        with suppress(SaverError):  # the caller that needs it gets the error
            self._view.expect(keys)

    def took(self, record: Record, digest: str) -> None:
        """Apply a record that was just written, unless another thread has read it already."""
        with self._lock:
            self._wrote = max(self._wrote, record.number)
            while self._view.head < record.number - 1:
                self._follow(*self.log.read(self._view.head + 1))
            self._follow(record, digest)

    def get(self, key: str) -> Any:
        """The value of a key; None when it has none."""
        with self._lock:
            while True:
                try:
                    return self._view.get(key)
                except Broken as error:
                    self._recover(error)

    def scan(self, prefix: str, reverse: bool = False) -> Iterator[tuple[str, Any]]:
        """The keys that begin with `prefix`, in order, with their values."""
        first, stop = prefix, prefix + END
        while True:
            with self._lock:
                view = self._view
                found = view.between(first, stop, reverse)
            try:
                for key, value in found:
                    first, stop = (first, key) if reverse else (key + "\0", stop)
                    yield key, value
                return
            except Broken as error:
                with self._lock:
                    if self._view is view:
                        self._recover(error)

    # The log

    def _follow(self, record: Record, digest: str) -> None:
        """Apply the next record. If it does not fit, the checkpoint may be to blame, not the log."""
        while self._view.head < record.number:
            try:
                self._grow(self._view, record, digest)
            except (DamagedError, IncompatibleError) as error:
                if self._view.alone:
                    raise
                self._recover(error)

    def _grow(self, view: View, record: Record, digest: str) -> None:
        view.follow(record, digest, f"{self._storage}: record {record.number}", INTERVAL)
        if view.alone and len(view.settled) > HELD:
            view.settle(self.pages.update(view.root, view.settled))
            needed = set(self.pages.reachable(view.root))
            for name in [name for name in self._held if name not in needed]:
                del self._held[name]

    def _recover(self, error: SaverError) -> None:
        """Replace the view by one from a newer checkpoint or the log alone, which is at least as recent.
        Until it is complete, the old one stays: no decision is ever based on half a log."""
        if self._view.alone:
            raise error
        self.trouble = str(error)
        head, view = self._view.head, None
        with suppress(DamagedError, IncompatibleError):
            view = self._checkpointed(self.log.head(head), self._view.base)
            while view is not None and view.head < head:
                self._grow(view, *self.log.read(view.head + 1))
        if view is None or view.head < head:
            self._held.clear()
            view, self._distrusts = self._from_log(head), True
        self._view = view

    def _from_log(self, head: int) -> View:
        view = View(self.pages)
        for record, digest in self.log.read_on(1, head):
            self._grow(view, record, digest)
        return view

    # Checkpoints

    def _checkpointed(self, head: int, after: int) -> View | None:
        """The view from the newest usable checkpoint of a record after `after`, if there is one."""
        for number in self._numbers(head, after):
            try:
                found = self._checkpoint(number)
                if number == head and self.log.read(number)[1] != found.previous:
                    raise DamagedError(f"{self._storage}: {checkpoint_key(number)} is not of this log")
                self.pages.get(found.root, "")
            except NotFoundError:
                continue
            except SaverError as error:
                self.trouble = str(error)
                continue
            return View(self.pages, number, found.previous, found.root)
        return None

    def _numbers(self, head: int, after: int) -> Iterator[int]:
        """The records that may have checkpoints, the newest first."""
        newest = head - head % INTERVAL
        if newest <= after:
            return
        yield from (number for number in map(checkpoint_number, self._seen or ()) if after < number <= head)
        yield newest
        try:
            listed = self._listed(newest - 1)
        except SaverError:
            listed = [*range(INTERVAL, newest, INTERVAL)]
        yield from (number for number in reversed(listed) if number > after)

    def _listed(self, head: int) -> list[int]:
        """The numbers of the existing checkpoints, up to `head`."""
        return sorted(n for n in map(checkpoint_number, self._checkpoint_keys()) if 0 < n <= head)

    def _checkpoint(self, number: int) -> Checkpoint:
        key = checkpoint_key(number)
        data = self.log.ahead.pop(key, None) or self._storage.read(key)
        found, _ = document.decode(data, Checkpoint, f"{self._storage}: {key}")
        if found.format != FORMAT or found.number != number:
            raise IncompatibleError(f"{self._storage}: {key} is of another Saver")
        return found

    def keep_checkpoint(self) -> None:
        """Write the checkpoint that is due, if one is. Writers call this before they commit.

        A failure must not stop a commit: `trouble` says why it failed.
        """
        with self._lock:
            while self._view.due is not None:
                try:
                    self._keep(*self._view.due)
                    return
                except Broken as error:
                    self._recover(error)
                except SaverError as error:
                    self.trouble = str(error)
                    if not self._view.alone:
                        self._held.clear()
                    return

    def make_anew(self) -> None:
        """Write the newest checkpoint again from the log alone, and delete all others: for when some are
        damaged. Raises CannotWriteError."""
        with self._lock:
            if not self._view.alone:
                self._held.clear()
                self._view = self._from_log(self._view.head)
            self._distrusts = True
            self._storage.delete(*map(checkpoint_key, self._listed(self._view.head)))
            if self._view.due is not None:
                self._keep(*self._view.due)

    def _keep(self, number: int, previous: str) -> None:
        found = None if self._distrusts else self._made_by_others(number, previous)
        if found is None:
            self._make_durable(number)
            found = Checkpoint(FORMAT, number, previous, self._updated())
            self._write_pages(found.root)
            self._storage.delete(checkpoint_key(number))  # if it exists, it is damaged
            self._storage.create(checkpoint_key(number), document.encode(found))
            self._distrusts = False
            self._drop_old(number)
            self.keep_reserve()
        self._held.clear()
        self._view.rest_on(found.root)

    def _make_durable(self, number: int) -> None:
        """Make a record durable, before anything else in the store depends on it.

        Its writer may not have done that yet. A power loss now could leave a checkpoint of a missing
        record, as if someone had removed it. A record written by this process made all before it durable.
        """
        if self._wrote < number:
            self._storage.create(log_key(number), self._storage.read(log_key(number)))

    def _made_by_others(self, number: int, previous: str) -> Checkpoint | None:
        """The checkpoint of a record, if another process has written it already."""
        try:
            found = self._checkpoint(number)
            self.pages.get(found.root, "")
        except SaverError:
            return None
        return found if found.previous == previous else None

    def _updated(self) -> str | None:
        """The root of the pages that hold the settled state."""
        view = self._view
        try:
            if not view.alone and self._checkpoint(view.base).root != view.root:
                raise Broken(f"{self._storage}: {checkpoint_key(view.base)} was made anew")
            self.pages.expect(view.root, view.settled)
            return self.pages.update(view.root, view.settled)
        except SaverError as error:  # pages that are only in memory may be gone with their checkpoint
            if not view.alone:
                self._held.clear()
            raise Broken(str(error)) from error

    def _write_pages(self, root: str | None) -> None:
        """Write the pages of a new checkpoint that the store lacks, children before their parents."""
        needed = set(self.pages.reachable(root)) if self._view.alone else self._held.keys()
        new = [(name, data) for name, data in self._held.items() if name in needed]
        for _ in self._storage.together(partial(self._write_page, *page) for page in new):
            pass

    def _is_there(self, name: str, data: bytes) -> bool:
        try:
            return self._storage.read(page_key(name)) == data
        except SaverError:
            return False

    def _write_page(self, name: str, data: bytes) -> None:
        if self._distrusts and self._is_there(name, data):
            return
        if not self._storage.create(page_key(name), data) and not self._is_there(name, data):
            self._storage.delete(page_key(name))  # it is damaged
            self._storage.create(page_key(name), data)

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

    # What is no longer needed

    def _drop_old(self, number: int) -> None:
        """Delete checkpoints before the newest ones, and the pages that only they need. A collection
        deletes what cannot be deleted now."""
        with suppress(SaverError):
            numbers = self._listed(number)
            old, kept = numbers[:-CHECKPOINTS_KEPT], numbers[-CHECKPOINTS_KEPT:]
            found = self._storage.together(partial(self._checkpoint, each) for each in kept)
            roots = [each.root for each in found] if old else []
            for each in old:
                doomed = set[str]()
                with suppress(SaverError):
                    doomed = self.pages.only_in(self._checkpoint(each).root, roots)
                self._storage.delete(checkpoint_key(each))
                if doomed:
                    self._storage.delete(*map(page_key, doomed))

    def needed(self) -> set[str]:
        """The keys below `state/` that are in use: the newest checkpoints, all their pages, the reserve.
        Raises a SaverError if a checkpoint cannot be read whole."""
        numbers, seen = self._listed(self.head)[-CHECKPOINTS_KEPT:], set[str]()
        for number in numbers:
            for _ in self.pages.reachable(self._checkpoint(number).root, seen):
                pass
        return {*RESERVE, *map(checkpoint_key, numbers), *map(page_key, seen)}

    def missing_pages(self, there: Collection[str]) -> Iterator[tuple[str, int]]:
        """The keys of missing pages that a checkpoint needs, each with the checkpoint's number. `there` are
        the keys that were listed; other keys are looked up."""
        for number in self._listed(self.head):
            missing: list[str] = []
            with suppress(SaverError):  # what cannot be read is reported where it is read
                needed = map(page_key, self.pages.reachable(self._checkpoint(number).root))
                missing.extend(key for key in needed if key not in there and self._storage.stat(key) is None)
            if missing and self._storage.stat(checkpoint_key(number)) is not None:
                yield from ((key, number) for key in missing)

    def keep_reserve(self) -> None:
        """Reserve space for records in case the disk is full one day, if there is space now."""

        def keep(key: str) -> None:
            if self._storage.stat(key) is None:
                self._storage.put(key, Bytes(_RESERVED))

        with suppress(SaverError):
            for _ in self._storage.together(partial(keep, key) for key in RESERVE):
                pass

    def make_room(self) -> bool:
        """Delete mere shortcuts, so that a record fits on a full disk: a piece of the reserve, or else all
        the rest. False if there is nothing to delete."""
        with self._lock, suppress(SaverError):
            for key in RESERVE:
                if self._storage.stat(key) is not None:
                    self._storage.delete(key)
                    return True
            keys = [found.key for found in own(self._storage, "state/")]
            self._storage.delete(*keys)
            return bool(keys)
        return False
