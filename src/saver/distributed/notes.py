"""What ranks write on the board of their cluster, and how they wait for what others write."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import msgspec

from saver import errors
from saver.cluster import Cluster
from saver.errors import IncompatibleError, LostRankError, SaverError

T = TypeVar("T")

POLL = 0.0005, 0.02
"""Seconds between two looks at a note that is not there yet: at first, and at most."""

LONGER = 1.05
"""By how much each pause is longer than the one before: so a note is seen late by no more than a twentieth of
the time that it took to come."""


class Member(msgspec.Struct, frozen=True):
    """A process that takes part: its rank, its host, its number there, its version of Saver, and a random
    text that no other process has. Every version of Saver has these fields, so that ranks with different
    ones can say so."""

    rank: int
    host: str
    process: int
    version: str
    nonce: str

    def __str__(self) -> str:
        return f"rank {self.rank} (process {self.process} on {self.host})"


class Problem(msgspec.Struct, frozen=True):
    """Why all ranks give up what they do together: a rank failed with an error of this code, or is lost."""

    rank: int
    code: str
    message: str

    def error(self, who: object) -> SaverError:
        """The error to raise in the other ranks; `who` is the rank that has the problem."""
        if self.code == LostRankError.code:
            return LostRankError(self.message, self.rank)
        cls = _CLASSES.get(self.code)
        if cls is None:
            return LostRankError(f"{who} failed: {self.message}", self.rank)
        return cls(f"{who}: {self.message}")


_CLASSES: dict[str, type[SaverError]] = {
    found.code: found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, SaverError) and found is not LostRankError
}


def problem_of(rank: int, error: BaseException) -> Problem:
    """An error of this rank, for all others."""
    if isinstance(error, LostRankError):
        return Problem(error.rank, error.code, str(error))
    if isinstance(error, SaverError):
        return Problem(rank, error.code, str(error))
    return Problem(rank, "", f"{type(error).__name__}: {error}"[:1000])


class Pulse(msgspec.Struct, frozen=True):
    """A sign of life: the number of this one, what the rank does in which session, its bytes done and in
    all, its problem, and whether its process ends."""

    beat: int = 0
    session: int = 0
    stage: str = "between saves"
    done: int = 0
    total: int = 0
    problem: Problem | None = None
    left: bool = False

    def __str__(self) -> str:
        return self.stage + (f", {self.done:,} of {self.total:,} bytes" if self.total else "")


def leader_of(rank: int, size: int) -> int:
    """Who collects the notes of a rank for rank 0: rank 0 itself, or among many, the first of some √size."""
    return rank - rank % _group(size)


def led_by(rank: int, size: int) -> list[int]:
    """The ranks whose notes this one collects; rank 0 also those of the other leaders."""
    group = _group(size)
    own = range(rank + 1, min(rank + group, size)) if rank % group == 0 else range(0)
    return [*own, *(range(group, size, group) if rank == 0 else ())]


def _group(size: int) -> int:
    """How many ranks have one leader."""
    return size if size <= 16 else math.isqrt(size - 1) + 1


class Waiting:
    """Waits a little longer each time."""

    def __init__(self) -> None:
        self._pause = POLL[0]

    def wait(self) -> None:
        time.sleep(self._pause)
        self._pause = min(self._pause * LONGER, POLL[1])


_Answers: TypeAlias = "queue.SimpleQueue[tuple[Any, BaseException | None]]"


class Board:
    """The board of a cluster, asked by a thread of its own: a board that does not answer is an error after a
    while, not a wait without end."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._waiting: queue.SimpleQueue[tuple[Callable[[], Any] | None, _Answers]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._answer, name="saver-board", daemon=True)
        self._thread.start()

    def put(self, key: str, data: Any) -> None:
        """Leave a note, as JSON."""
        text = msgspec.json.encode(data)
        self._ask(lambda: self._cluster.put(key, text))

    def get(self, key: str, kind: type[T]) -> T | None:
        """The note under a key, of this type; None if there is none. Raises IncompatibleError if this
        version of Saver left no such note."""
        found: bytes | None = self._ask(lambda: self._cluster.get(key))
        try:
            return None if found is None else msgspec.json.decode(found, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IncompatibleError(
                f"the note {key!r} of a rank is not one of this version of Saver ({error}); install the same "
                "version for all ranks, and let nobody else write notes there"
            ) from error

    def delete(self, keys: list[str]) -> None:
        """Take notes away."""
        self._ask(lambda: self._cluster.delete(*keys))

    def close(self) -> None:
        """Ask nothing more."""
        self._waiting.put((None, queue.SimpleQueue()))
        self._thread.join(self._cluster.lost_after)

    def _ask(self, ask: Callable[[], Any]) -> Any:
        answer: _Answers = queue.SimpleQueue()
        self._waiting.put((ask, answer))
        try:
            found, error = answer.get(timeout=self._cluster.lost_after)
        except queue.Empty:
            found, error = None, TimeoutError(f"no answer for {self._cluster.lost_after:g} s")
        if error is not None:
            raise LostRankError(
                f"the ranks can no longer reach each other: {type(self._cluster).__name__}: "
                f"{type(error).__name__}: {error}; the process that keeps their notes may have ended",
                0,
            ) from error
        return found

    def _answer(self) -> None:
        while True:
            ask, answer = self._waiting.get()
            if ask is None:
                return
            try:
                answer.put((ask(), None))
            except BaseException as error:
                answer.put((None, error))
