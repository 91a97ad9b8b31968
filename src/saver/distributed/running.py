"""A training run of many ranks: rank 0 announces after which step all of them save."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from saver.distributed.members import Members
from saver.distributed.notes import Pulse, Waiting, led_by
from saver.errors import LostRankError, SaverError

LOOKS = 40
"""How often ranks look for what rank 0 announces within `lost_after`."""

AHEAD = 4
"""Rank 0 announces saves for steps that ranks reach after this many looks, or later."""


class Announced(msgspec.Struct, frozen=True):
    """A save by all ranks in this call of `step`, and the signals that ask for it."""

    call: int
    reason: str
    signals: tuple[int, ...] = ()


class Word(msgspec.Struct, frozen=True):
    """What rank 0 says; a newer one has a larger `number`. Calls of `step` are counted from 1.

    `saves` has all saves up to the call `until`; also those of calls up to `decided` in which ranks wait for
    its decision. `ended` says how its loop ended, if it did.
    """

    number: int = 0
    until: int = 1
    decided: int = 0
    saves: tuple[Announced, ...] = ()
    ended: str = ""


COMPLETE = "complete"
"""The loop of rank 0 ended without an error."""


class Announcements:
    """What rank 0 announces, and what other ranks hear of it.

    Rank 0 promises, some steps ahead, that there are no saves but those that it has announced; a save that is
    due is announced for the first step that it has promised nothing of. So a rank that finishes a step knows
    already whether to save. It waits only if it is that many steps before rank 0, or if the step itself shows
    that a save may be due: see `decide`. A thread exchanges the notes, so that other steps send none.
    `arrived` are the signals that have arrived in this rank at any time.
    """

    def __init__(self, members: Members, arrived: Collection[int]) -> None:
        self._members, self._board, self._arrived = members, members.board, arrived
        self._leads = members.rank == 0
        self._others = led_by(members.rank, members.size)
        self._look = members.lost_after / LOOKS
        self._lock, self._telling = threading.Lock(), threading.Lock()
        self._word = Word()
        self._call = 0
        self._ahead = 1
        self._asks: dict[int, int] = {}
        """The signals that arrived here, and after how many calls."""
        self._serving: frozenset[int] = frozenset()
        """Those that the save of the last call is for, until they take effect."""
        self._heard: dict[int, int] = {}
        """The same for the ranks whose notes this one collects."""
        self._answered: dict[int, int] = {}
        """In rank 0: the call of the last save that each signal led to."""
        self._changed, self._ends = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._exchange, name="saver-run", daemon=True)
        self._thread.start()

    # In rank 0

    def signals(self) -> frozenset[int]:
        """The signals that arrived in any rank, and that no announced save is for."""
        asked = self._asked().items()
        return frozenset(number for number, call in asked if call >= self._answered.get(number, 0))

    @property
    def is_coming(self) -> bool:
        """Whether a save is announced for a call to come."""
        return any(each.call > self._call for each in self._word.saves)

    def announce(self, reason: str, signals: Iterable[int] = ()) -> None:
        """Let all ranks save in the first call of which nothing is promised."""
        save = Announced(self._word.until + 1, reason, tuple(sorted(signals)))
        self._answered |= dict.fromkeys(save.signals, save.call)
        self._say(saves=(*self._word.saves, save))
        self._changed.set()

    def decide(self, reason: str) -> None:
        """Whether to save in this call, for which all ranks wait: they do if there is a reason."""
        call = self._call + 1
        saves = (*self._word.saves, Announced(call, reason)) if reason else self._word.saves
        self._say(saves=saves, decided=call)
        self._tell()

    def forget(self, call: int) -> None:
        """All ranks have made the save of this call: they know of it, and of those before."""
        with self._lock:
            saves = tuple(each for each in self._word.saves if each.call > call)
            self._word = msgspec.structs.replace(self._word, saves=saves)

    # In all ranks

    @property
    def call(self) -> int:
        """How many calls are over."""
        return self._call

    def found(self, asks: bool) -> Announced | None:
        """The save of this call, if there is one; `asks` says whether the call waits for a decision. Raises
        LostRankError if rank 0 does not come so far."""
        call = self._call + 1
        word = self._await(lambda word: word.until >= call and (not asks or word.decided >= call))
        found = _joined([each for each in word.saves if each.call == call])
        with self._lock:
            self._serving |= frozenset(found.signals if found is not None else ())
        return found

    def passed(self) -> None:
        """This call is over."""
        self._call += 1
        if self._leads:
            self._say(until=max(self._word.until, self._call + self._ahead))
            self._changed.set()

    def served(self, number: int) -> None:
        """A signal has taken effect; if it arrives again, it asks again."""
        with self._lock:
            self._asks.pop(number, None)
            self._serving -= {number}

    def complete(self) -> Announced | None:
        """The loop is over: the save of a call that did not come, if one was announced. Ranks wait for rank
        0, as it may have announced one meanwhile."""
        if self._leads:
            self._end(COMPLETE)
        word = self._await(lambda word: word.ended == COMPLETE)
        return _joined([each for each in word.saves if each.call > self._call])

    def close(self, failure: BaseException | None) -> None:
        """Exchange nothing more. A `failure` ended the loop of this rank."""
        if self._leads and failure is not None and not self._word.ended:
            with suppress(SaverError):
                self._end(f"{type(failure).__name__}: {failure}"[:500])
        self._ends.set()
        self._changed.set()
        self._thread.join(self._members.lost_after)

    # Notes

    def _say(self, **changes: Any) -> None:
        with self._lock:
            self._word = msgspec.structs.replace(self._word, number=self._word.number + 1, **changes)

    def _end(self, how: str) -> None:
        self._say(until=max(self._word.until, self._call), ended=how)
        self._tell()

    def _tell(self) -> None:
        with self._telling:
            self._board.put(self._name(0, "word"), self._word)

    def _hear(self) -> None:
        word = self._board.get(self._name(0, "word"), Word)
        with self._lock:
            if word is not None and word.number > self._word.number:
                self._word = word

    def _await(self, is_there: Callable[[Word], bool]) -> Word:
        """What rank 0 has said, once that is there. In rank 0 itself, it is."""
        word, waiting, who = self._word, Waiting(), self._members.all[0]
        began = seen = time.monotonic()
        beat, pulse = -1, Pulse()
        while not self._leads and not is_there(word):
            ended, now = word.ended, time.monotonic()
            if pulse.beat != beat:
                beat, seen = pulse.beat, now
            if ended:
                how = "after fewer steps than this rank" if ended == COMPLETE else f"with {ended}"
                raise LostRankError(f"{who} ended the run {how}", 0)
            if pulse.left or now - seen > self._members.lost_after:
                why = "its process ended" if pulse.left else f"no sign of life for {now - seen:.1f} s"
                raise LostRankError(f"{who} is lost: {why}; it decides when the run saves", 0)
            if now - began > self._members.arrive_within:
                raise LostRankError(
                    f"{who} lives, and did not come within {self._members.arrive_within:g} s to where this "
                    "rank is in the run; report the same steps in every rank, or give them more time with "
                    "`arrive_within`",
                    0,
                )
            waiting.wait()
            pulse = self._members.pulse(0)  # before its word: the last one says how it ended
            self._hear()
            word = self._word
        return word

    def _asked(self) -> dict[int, int]:
        """The signals that arrived here, and in the ranks whose notes this one collects."""
        with self._lock:
            new = {*self._arrived} - self._serving
            self._asks = {number: self._asks.get(number, self._call) for number in new}
            numbers = {*self._asks, *self._heard}
            return {each: max(self._asks.get(each, -1), self._heard.get(each, -1)) for each in numbers}

    def _exchange(self) -> None:
        """In a thread: tell what is new, and hear what others tell."""
        told: Any = None
        while not self._ends.is_set():
            if self._leads:  # a new word at once, if the one before was long ago
                self._changed.wait(self._look)
                self._changed.clear()
            began, call = time.monotonic(), self._call
            with suppress(SaverError):  # a rank that waits finds it out by itself
                self._collect()
                new = self._word if self._leads else self._asked()
                if new and new != told:
                    if self._leads:
                        self._tell()
                    else:
                        self._board.put(self._name(self._members.rank, "asks"), new)
                    told = new
                if not self._leads:
                    self._hear()
            self._ends.wait(self._look)
            rate = (self._call - call) / (time.monotonic() - began)
            self._ahead = 1 + math.ceil(rate * self._look * AHEAD)

    def _collect(self) -> None:
        """Hear which signals arrived in other ranks."""
        for rank in self._others:
            asks = self._board.get(self._name(rank, "asks"), dict[int, int]) or {}
            with self._lock:
                self._heard |= {each: max(call, self._heard.get(each, -1)) for each, call in asks.items()}

    def _name(self, rank: int, key: str) -> str:
        return f"{self._members.prefix}/run/{rank}/{key}"


def _joined(saves: list[Announced]) -> Announced | None:
    """Several saves as one."""
    if not saves:
        return None
    reasons = "; ".join(dict.fromkeys(each.reason for each in saves))
    return Announced(saves[-1].call, reasons, tuple({number for each in saves for number in each.signals}))
