"""Which records of a long log are about which model, and of which kind. The log is read back once, as far as
pages want it, and what was passed on the way is remembered: then a page reads only what it shows."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator

import numpy as np

from saver import Saver
from saver.errors import SaverError
from saver.logger import logger
from saver.repo.entry import KINDS, Entry, Kind, entry_of
from saver.repo.log import Log, Record
from saver.repo.refs import Range

AT_ONCE = 64
"""Records that are read before others may have their turn."""
FAR = 1000
"""So many new records are read one by one; after more of them, all is read again, back from the newest."""

_BITS = {kind: 1 << at for at, kind in enumerate(KINDS)}
_LARGEST = 10**15
_NOTHING = array("q")


class Trail:
    """The records of a store's log by what they are about. Thread-safe."""

    def __init__(self, store: Saver) -> None:
        self._store, self._lock = store, threading.Lock()
        self._walk = _Walk(store._repo.state.log, 0)

    def records(self, about: Range | None, kinds: frozenset[Kind], head: int) -> Iterator[Record | int]:
        """The records from `head` back that may be about these versions, or of these kinds; between them
        numbers: down to there, there are no others. Reads the log as they are wanted."""
        walk = self._current()
        if head < walk.oldest - FAR:  # it was not read from there on
            return walk.log.read_back(head)
        return walk.records(about, kinds, head)

    def go_on(self) -> bool:
        """Read the log back to its first record, in a thread for which no page waits. Returns whether any of
        it was left."""
        walk = self._current()
        left = walk.oldest > 1
        with self._lock:
            if left and not walk.going_on:
                walk.going_on = True
                threading.Thread(target=self._read, args=(walk,), daemon=True).start()
        return left

    def _current(self) -> _Walk:
        head = self._store._repo.state.head
        with self._lock:
            if head - self._walk.newest > FAR:
                self._walk = _Walk(self._store._repo.state.log, head)
            self._walk.read_newer(head)
            return self._walk

    def _read(self, walk: _Walk) -> None:
        try:
            while walk.oldest > 1:
                walk.read_older()
        except (SaverError, OSError) as error:  # a page that needs the record says it
            logger.info("%s: the log was not read back: %s", self._store.storage, error)
        walk.going_on = False


class _Walk:
    """What was read: all records from `oldest` to `newest`; below each model, and below "" for all, their
    numbers, kinds, and the least and largest number of the versions that they are about."""

    def __init__(self, log: Log, head: int) -> None:
        self.log, self.newest, self.oldest, self.going_on = log, head, head + 1, False
        self._lock = threading.Lock()
        self._newer: dict[str, array[int]] = {}
        self._older: dict[str, array[int]] = {}

    def records(self, about: Range | None, kinds: frozenset[Kind], head: int) -> Iterator[Record | int]:
        topic, at = about.model if about is not None else "", 0
        with self._lock:
            newer = self._newer.get(topic, _NOTHING)[:]
        found = _chosen(newer, about, kinds, head)[::-1]
        while True:
            yield from (self.log.read(number)[0] for number in found)
            with self._lock:
                older, oldest = self._older.get(topic, _NOTHING)[at:], self.oldest
            found, at = _chosen(older, about, kinds, head), at + len(older)
            if not found:
                if oldest <= 1:
                    return
                yield min(oldest, head + 1)
                self.read_older()

    def read_newer(self, head: int) -> None:
        """Read the records that are new."""
        with self._lock:
            for record, _ in self.log.read_on(self.newest + 1, head):
                _note(self._newer, entry_of(record))
                self.newest = record.number

    def read_older(self) -> None:
        """Read some that are older."""
        with self._lock:
            last = max(1, self.oldest - AT_ONCE)
            for record in self.log.read_back(self.oldest - 1):
                _note(self._older, entry_of(record))
                self.oldest = record.number
                if record.number == last:
                    return


def _note(spots: dict[str, array[int]], entry: Entry) -> None:
    numbers = [max(-1, min(each, _LARGEST)) for each in (*entry.numbers, *entry.before.values())]
    spot = (entry.record, _BITS[entry.kind], min(numbers, default=0), max(numbers, default=0))
    for topic in {entry.model, ""}:
        spots.setdefault(topic, array("q")).extend(spot)


def _chosen(spots: array[int], about: Range | None, kinds: frozenset[Kind], head: int) -> list[int]:
    """The numbers of those that may be about these versions and of these kinds. The first save is always
    among them: what is about the versions ends there."""
    number, bit, first, last = np.frombuffer(spots.tobytes(), np.int64).reshape(-1, 4).T
    wanted = (bit & (sum(map(_BITS.__getitem__, kinds)) or -1)) != 0
    if about is not None:
        wanted |= (bit == _BITS["save"]) & (first <= max(about.first, 1))
        if about.first:
            wanted &= (first <= about.last) & (last >= about.first)
    found: list[int] = number[wanted & (number <= head)].tolist()
    return found
