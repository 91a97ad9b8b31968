"""One save or load that all ranks make together: notes that they leave for each other, and one verdict."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from saver.caching.host_memory import HostMemory
from saver.cluster import Network
from saver.distributed.members import Members
from saver.distributed.notes import Problem, Waiting, leader_of, led_by, problem_of
from saver.errors import CommitUnknownError, LostRankError, SaverError

T = TypeVar("T")

CALL_EVERYWHERE = "call `run.save()` in every rank, after the same step"


class Session:
    """What the ranks do together now: `with Session(members, "save iris") as session`.

    Rank 0 alone decides how it ends. A rank that fails says so in its sign of life, and rank 0, which sees
    this or that a rank is lost, writes the verdict: then all of them raise its error. Once rank 0 has
    `decided`, the problems of others no longer matter.

    `soon` says that the script requested it after the same step of all ranks: rank 0, once it is there, waits
    for no other longer than `lost_after`. No rank waits longer than `within` seconds, if that is given.
    """

    def __init__(self, members: Members, what: str, soon: bool = False, within: float | None = None) -> None:
        self._members, self.what = members, what
        self._within = members.lost_after if soon and members.rank == 0 else members.arrive_within
        self._within = self._within if within is None else within
        self._advice = CALL_EVERYWHERE if soon else "do this in every rank"
        self.rank, self.size, self.lost_after = members.rank, members.size, members.lost_after
        self.leads = members.rank == 0
        self._lock = threading.Lock()
        self._problem: Problem | None = None
        self._decided = False
        self._raised: BaseException | None = None
        self._told: list[str] = []
        self._verdict = self.leads
        self.is_unknown = False
        """In rank 0: whether it is unknown if what it decided took place."""

    def __enter__(self) -> Session:
        self._number = self._members.sessions + 1
        self._members.begin(self._number, self._note)
        self._began = time.monotonic()
        try:
            self._meet()
        except BaseException as error:
            self._fail(error)
            self._members.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._fail(error)
            else:
                self._leave_together()
        finally:
            self._members.end()
            self._tidy()

    def doing(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say what this rank does. Raises what ends the session, if something does."""
        self._members.doing(stage, done, total)
        self.check()

    def check(self) -> None:
        """Raise what ends the session, if something does."""
        problem = self._problem
        if problem is not None and not self._decided:
            self._raised = problem.error(self._members.all[problem.rank])
            raise self._raised

    def watch(self) -> None:
        """As `check`, after a look at what rank 0 has decided: for a wait that is not for a note."""
        self._look()
        self.check()

    def decide(self) -> None:
        """In rank 0: from now on, the problems of other ranks no longer matter. Raises what ends the
        session, if something does."""
        with self._lock:
            self.check()
            self._decided = True

    def reopen(self) -> None:
        """In rank 0: nothing is decided yet."""
        self._decided = False

    def is_verdict(self, error: BaseException) -> bool:
        """Whether this is the error that rank 0 ended the session with, for all ranks."""
        return error is self._raised and self._verdict

    # Notes

    def tell(self, key: str, data: Any) -> None:
        """Leave a note for other ranks."""
        name = self._name(self.rank, key)
        self._told.append(name)
        self._members.board.put(name, data)

    def hear(self, rank: int, key: str, kind: type[T]) -> T:
        """Wait for a note of a rank. Raises what ends the session, if something does."""
        waiting = Waiting()
        while True:
            found: T | None = self._members.board.get(self._name(rank, key), kind)
            if found is not None:
                return found
            self.watch()
            self._demand_arrived(rank)
            waiting.wait()

    def gather(self, key: str, data: Any, kind: Any) -> list[Any]:
        """In rank 0: what all ranks pass, by rank; elsewhere nothing."""
        found = {self.rank: data}
        for rank in led_by(self.rank, self.size):
            if leader_of(rank, self.size) == rank and rank != 0:
                found |= self.hear(rank, f"{key}-of-group", dict[int, kind])
            else:
                found[rank] = self.hear(rank, key, kind)
        if self.leads:
            return [found[rank] for rank in range(self.size)]
        group = leader_of(self.rank, self.size) == self.rank
        self.tell(f"{key}-of-group" if group else key, found if group else data)
        return []

    def agree(self, key: str, data: T, kind: type[T]) -> T:
        """What rank 0 passes, in all ranks."""
        if self.leads:
            self.tell(key, data)
            return data
        return self.hear(0, key, kind)

    def hand_out(self, key: str, data: list[T], kind: type[T]) -> T:
        """Of the items that rank 0 passes, one for each rank: the own one."""
        if self.leads:
            for rank in range(1, self.size):
                self.tell(f"{key}-{rank}", data[rank])
            return data[0]
        return self.hear(0, f"{key}-{self.rank}", kind)

    @property
    def has_network(self) -> bool:
        """Whether the ranks can pass bytes on."""
        return self._members.network is not None

    @property
    def kept(self) -> HostMemory | None:
        """The memory of this host; None if the ranks keep no packs there."""
        return self._members.kept

    def network(self) -> Network:
        """A network of all ranks, for this session. Raises any exception if they cannot reach each other."""
        assert self._members.network is not None
        return self._members.network(f"{self._members.prefix}/{self._number}")

    # How it begins and ends

    def _meet(self) -> None:
        found = self.gather("arrive", self.what, str)
        if self.leads:
            for rank, what in enumerate(found):
                if what != self.what:
                    raise LostRankError(
                        f"{self._members.all[rank]} is about to {what}, and {self._members.all[0]} to "
                        f"{self.what}; do the same in every rank, in the same order",
                        rank,
                    )

    def _demand_arrived(self, rank: int) -> None:
        """Raise LostRankError if a rank lives, and does something else for too long."""
        waited = time.monotonic() - self._began
        if waited > self._within and self._members.pulse(rank).session < self._number:
            more = "lost_after" if self._within < self._members.arrive_within else "arrive_within"
            raise LostRankError(
                f"{self._members.all[rank]} lives, and did not come within {self._within:g} s "
                f"to {self.what}: it is {self._members.pulse(rank)}; {self._advice}, or give them "
                f"more time with `{more}`",
                rank,
            )

    def _look(self) -> None:
        """Look for the verdict of rank 0."""
        if not self.leads and self._problem is None:
            self._look_again()

    def _look_again(self) -> None:
        found = self._read_verdict()
        if found is not None:
            self._problem, self._verdict = found, True

    def _read_verdict(self) -> Problem | None:
        found: Problem | None = self._members.board.get(self._name(0, "verdict"), Problem)
        return found

    def _note(self, problem: Problem) -> None:
        """A problem of a rank that this one watches, or of the board: called by another thread."""
        with self._lock:
            if self._decided or self._problem is not None:
                return
            if self.leads:
                self._problem = problem
            elif problem.rank == 0 and problem.code == LostRankError.code:
                verdict = None  # before anybody hears that rank 0 ended: it may have, after its verdict
                with suppress(SaverError):
                    verdict = self._read_verdict()
                self._problem, self._verdict = verdict or problem, verdict is not None
                return
        if self.leads:
            self._members.board.put(self._name(0, "verdict"), problem)
        else:
            self._members.tell(problem)

    def _fail(self, error: BaseException) -> None:
        """Let the others know, unless it is from them that this rank knows."""
        if error is self._raised:
            return
        problem = problem_of(self.rank, error)
        if self.is_unknown:
            problem = msgspec.structs.replace(problem, code=CommitUnknownError.code)
        try:
            if self.leads:
                self._members.board.put(self._name(0, "verdict"), problem)
            else:
                self._members.tell(problem)
                if isinstance(error, Exception):
                    self._await_verdict()
        except SaverError:  # they will miss the signs of life of this rank
            pass

    def _await_verdict(self) -> None:
        """Wait a while until rank 0 knows: in the next session, this rank's signs of life tell nothing of its
        problem in this one."""
        until, waiting = time.monotonic() + self.lost_after, Waiting()
        while self._problem is None and time.monotonic() < until:
            self._look_again()
            waiting.wait()

    def _leave_together(self) -> None:
        """Rank 0, which may keep the board, waits a while until all others know how it ended."""
        try:
            self._decided = True
            if not self.leads:
                self.tell("end", True)
                return
            until = time.monotonic() + self.lost_after
            left = set(range(1, self.size))
            waiting = Waiting()
            while time.monotonic() < until:
                left -= {rank for rank in left if self._members.board.get(self._name(rank, "end"), bool)}
                if not left:
                    return
                waiting.wait()
        except SaverError:  # it is over, also for those who have not heard of it
            pass

    def _tidy(self) -> None:
        """Take away this rank's notes of the session before the last: all ranks have read them."""
        self._members.told.append(self._told)
        if len(self._members.told) > 2:
            old = self._members.told.pop(0)
            try:
                self._members.board.delete(old)
            except SaverError:  # they are in nobody's way
                pass

    def _name(self, rank: int, key: str) -> str:
        return f"{self._members.prefix}/{self._number}/{rank}/{key}"
