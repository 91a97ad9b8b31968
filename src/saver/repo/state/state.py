"""What the log says now: which versions, tags and moves there are.

It is a pure function of the log. Every `INTERVAL` records a writer keeps it as a checkpoint
(`shortcuts.py`). One that fails in any way is ignored: the log is read instead, and the next writer mends it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from saver import forks
from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.logger import logger
from saver.repo.beside import Ask, Beside, Steps
from saver.repo.entry import entry_of, said
from saver.repo.events import Holders
from saver.repo.log import TOGETHER, Log, Record
from saver.repo.objects import checkpoint_key
from saver.repo.state.ahead import changed_by, needed_by
from saver.repo.state.checkpoint import Checkpoint
from saver.repo.state.facts import END, Facts, model_key, tag_key, version_key
from saver.repo.state.keeping import due, steps
from saver.repo.state.shortcuts import Shortcuts
from saver.repo.state.view import Broken, View
from saver.storage import Storage

INTERVAL = 16
"""Records between checkpoints. With 64, opening a store of 100,000 versions took 3 times as long as ten; with
16, less than twice as long, and a save costs some 15 % more."""

HELD = 4096  # roughly the most keys that are held in memory besides pages


class State(Facts):
    """What the log says, up to record `head`. `refresh` reads new records. Thread-safe."""

    def __init__(self, storage: Storage) -> None:
        self.log = Log(storage)
        self.alone = False  # whether to believe the log alone: a shortcut may say anything
        self._storage = storage
        self._begin()
        forks.begin_anew(self, State._begin)

    def _begin(self) -> None:
        """Reset to the state before anything was read. Also after a fork: a thread that no longer exists
        may have been in the middle of a change."""
        self._lock = threading.RLock()
        self.shortcuts = Shortcuts(self._storage, self.log)
        self._wanted: tuple[str, ...] = ()  # keys to read ahead once the log has been read
        self._expected: tuple[str | None, str, int | None] = (None, "", None)
        self.log.ahead.clear()
        self._to_keep = False  # whether to read ahead also what a checkpoint changes that is due then
        self._view = View(self.shortcuts.pages)
        self._rests: Checkpoint | None = None
        """The checkpoint that the view rests on, unless the view has been replaced since."""
        self._distrusts = False  # whether a checkpoint could not be used, and none was written since
        self._keeping: tuple[int, str] | None = None  # the record whose checkpoint a thread is writing
        self._wrote = 0
        self.trouble: str | None = None
        """Why a checkpoint could not be used or kept, if one could not."""

    @property
    def head(self) -> int:
        """The number of the last record that was applied."""
        return self._view.head

    @property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Who may do what."""
        return self._view.roles

    def last(self) -> tuple[int, str]:
        """The number and the hash of the last record that was applied."""
        with self._lock:
            return self._view.last

    def refresh(self, *beside: Ask) -> list[Any]:
        """Read the new records. What is asked `beside` is asked at the same time; returns the answers. If one
        of them is an error, nothing is read."""
        with self._lock:
            self.log.ahead.clear()  # an exception may have come before the end of the last time
            try:
                head = self._view.head
                answers = list(self._storage.together((*beside, *(self.log.looks(head) if head else ()))))
                self._read_on(self.log.head(head, 0 if head else self._look_ahead()))
            finally:  # what did not exist may exist by now
                self.log.ahead.clear()
        return answers[: len(beside)]

    def _read_on(self, head: int) -> None:
        """Read the records up to `head`, or a checkpoint and those after it."""
        far = head - self._view.head > INTERVAL or len(self._view.settled) > HELD
        if far and not self._distrusts and not self.alone:
            begun = self._view.head
            self._view = self._checkpointed(head, begun) or self._view
            if 0 < begun < self._view.head:  # the records between may have changed the keys
                self._storage.renew()
        records = self.log.read_on(self._view.head + 1, head)
        wanted, self._wanted = self._wanted, ()
        due, self._to_keep = head - head % INTERVAL if self._to_keep else 0, False
        while some := list(islice(records, TOGETHER)):
            events = [record.event for record, _ in some]
            changing = [record.event for record, _ in some if record.number <= due]
            self._expect((*wanted, *chain(*map(needed_by, events), *map(changed_by, changing))))
            for record, digest in some:
                self._follow(record, digest)

    def list_ahead(self) -> None:
        """List the checkpoints ahead of the next read of the log. This only guesses which is the newest."""
        with self._lock:
            if not self._view.head:
                self.shortcuts.list_ahead()

    def _look_ahead(self) -> int:
        """Read at once what opening a store needs: the newest listed checkpoint, and the records from its
        own on. Returns its number; 0 if there is none.

        It is a guess: what fails, or turns out to be something else than needed, is read again.
        """
        number = self.shortcuts.newest_seen()
        self.log.look_ahead(self.shortcuts.key(number) if number else "", number, INTERVAL + 3)
        return number

    def expect(self, model: str, number: int | None = None) -> None:
        """Read ahead what is needed about a model and this version of it (None: the newest); now, or when
        the log is first read. This changes no answer."""
        with self._lock:
            if self._expected == (expected := (self._view.root, model, number)):
                return  # a repeated load needs no new read
            version = version_key(model, number) if number is not None else f"version {model} {END}"
            keys = (model_key(model), version, tag_key(model), tag_key(model, END))
            if self._view.head:
                self._expected = expected
                self._expect(keys)
            else:
                self._wanted = keys

    def expect_checkpoint(self) -> None:
        """Read ahead also what a checkpoint changes, if one is due, when the log is read next."""
        self._to_keep = True

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
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s: record %d: %s", self._storage, record.number, said(entry_of(record)))

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

    def _follow(self, record: Record, digest: str) -> None:
        """Apply the next record. If it does not fit, the checkpoint may be to blame, not the log."""
        while self._view.head < record.number:
            try:
                self._grow(self._view, record, digest)
            except (DamagedError, IncompatibleError) as error:
                if self._view.alone:
                    raise
                self._recover(error)
        if isinstance(record.event, Holders):
            self._storage.renew()

    def _grow(self, view: View, record: Record, digest: str) -> None:
        view.follow(record, digest, f"{self._storage}: record {record.number}", INTERVAL)
        if view.alone and len(view.settled) > HELD:
            view.settle(self.shortcuts.pages.update(view.root, view.settled))
            self.shortcuts.hold_only(view.root)

    def _recover(self, error: SaverError) -> None:
        """Replace the view by one from a newer checkpoint or the log alone, which is at least as recent.
        Until it is complete, the old one stays: no decision is ever based on half a log."""
        if self._view.alone:
            raise error
        self._ignore(error)
        head, base, view = self._view.head, self._view.base, None
        with suppress(DamagedError, IncompatibleError):
            view = None if self.alone else self._checkpointed(self.log.head(head), base)
            while view is not None and view.head < head:
                self._grow(view, *self.log.read(view.head + 1))
        if view is None or view.head < head:
            self.shortcuts.forget_held()
            view, self._distrusts = self._from_log(head), True
        self._view = view

    def _from_log(self, head: int) -> View:
        view = View(self.shortcuts.pages)
        for record, digest in self.log.read_on(1, head):
            self._grow(view, record, digest)
        return view

    def _checkpointed(self, head: int, after: int) -> View | None:
        """The view from the newest usable checkpoint of a record after `after`, if there is one."""
        found = self.shortcuts.newest_usable(head, after, INTERVAL, self._ignore)
        if found is None:
            return None
        self._rests = found
        return View(self.shortcuts.pages, found.number, found.previous, found.root, found.roles)

    def keep_checkpoint(self) -> Beside:
        """The checkpoint that is due, if one is: to be written beside what a writer does next. A failure
        must not stop a commit: `trouble` says why it failed."""
        return Beside(self._storage, self._kept())

    def _kept(self) -> Steps:
        while True:
            try:
                yield from self._keep()
                return
            except SaverError as error:
                with self._lock:
                    if not isinstance(error, Broken) or self._view.alone:
                        self._ignore(error)
                        return
                    self._recover(error)

    def _ignore(self, error: SaverError) -> None:
        """Go on without a checkpoint."""
        self.trouble = str(error)
        logger.info(
            "%s: a shortcut to the log is not used, which only takes longer: %s", self._storage, error
        )

    def make_anew(self) -> None:
        """Write the newest checkpoint again from the log alone, and delete all others: for when some are
        damaged. Raises CannotWriteError."""
        logger.info("%s: the shortcuts to the log are made again from it", self._storage)
        with self._lock:
            if not self._view.alone:
                self.shortcuts.forget_held()
                self._view = self._from_log(self._view.head)
            self._distrusts = True
            self._storage.delete(*map(checkpoint_key, self.shortcuts.numbers(self._view.head)))
            self._keeping = None
            Beside(self._storage, self._keep()).finish()

    def _keep(self) -> Steps:
        """Write the checkpoint that is due, unless another thread does, or another process has."""
        with self._lock:
            view, wanted = self._view, self._view.due
            if wanted is None or wanted == self._keeping:
                return
            undurable = wanted[0] if self._wrote < wanted[0] else 0
            found = due(self.shortcuts, view, self._rests, undurable, self._distrusts)
            if isinstance(found, Checkpoint):
                return self._rest_on(found)
            self._keeping = wanted
        try:
            there = yield from steps(found, self.shortcuts, self._storage)
        finally:
            self._keeping = None if self._keeping == wanted else self._keeping
        with self._lock:
            if self._view is view and view.due == wanted:  # otherwise it does not say all that the view says
                self._rest_on(there)
                self._distrusts = False

    def _rest_on(self, found: Checkpoint) -> None:
        """Let the view rest on a checkpoint that is there. Then it needs no pages that only memory has."""
        self._view.rest_on(found.root)
        self._rests = found
        self.shortcuts.forget_held()

    def needed(self) -> set[str]:
        """The keys below `state/` in use. Raises a SaverError if a checkpoint cannot be read whole."""
        return self.shortcuts.needed(self.head)
