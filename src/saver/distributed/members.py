"""The ranks of a cluster: how they find each other, and who still gives signs of life."""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from blake3 import blake3

from saver import environment
from saver.caching.host_memory import HostMemory
from saver.cluster import Cluster
from saver.distributed.corners import SealedCorner
from saver.distributed.notes import Board, Member, Problem, Pulse, Waiting, led_by, problem_of
from saver.errors import IncompatibleError, LostRankError, SaverError

SIGNS = 5
"""How many signs of life a rank gives within `lost_after`."""


class Members:
    """The processes that are the ranks of a cluster now.

    They meet once, when they first do something together. The notes of an earlier start of the same ranks
    may still be on the board: so each process leaves a random text, rank 0 answers with a list of all those
    texts, and they begin once every process has confirmed the list that has its own.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.rank, self.size = cluster.rank, cluster.size
        self.lost_after, self.arrive_within = cluster.lost_after, cluster.arrive_within
        self.board, self.network = Board(cluster), cluster.network
        self.sent: dict[str, Any] = {}
        """What this rank holds, by model, as rank 0 knows it since the last save."""
        self.tasks: dict[str, Any] = {}
        """What this rank staged last, by model: the same again, unless rank 0 says otherwise."""
        self.plans: dict[str, Any] = {}
        """In rank 0: what all of them hold and stage, by model."""
        self.kept: HostMemory | None = None
        """The memory of this host, if the ranks keep packs there."""
        me = Member(
            self.rank,
            socket.gethostname(),
            os.getpid(),
            environment.package_version("saver") or "",
            secrets.token_hex(8),
        )
        self.all, self.prefix = _Meeting(self.board, me, self.size, self.arrive_within).meet()
        self.sessions = 0
        self.told: list[list[str]] = []
        """The names of this rank's notes in its last sessions."""
        self._watch = Watch(self)
        atexit.register(self.close)

    def begin(self, number: int, note: Callable[[Problem], None]) -> None:
        """Begin a session; `note` is called with a problem of a rank that this one watches."""
        self.sessions = number
        self._watch.session(number, note)

    def doing(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say what this rank does."""
        self._watch.doing(stage, done, total)

    def tell(self, problem: Problem) -> None:
        """Let the other ranks know of a problem of this one, at once."""
        self._watch.problem(problem)

    def end(self) -> None:
        """The session is over."""
        self._watch.session(self.sessions, None)

    def close(self) -> None:
        """This rank takes part no more: the others need not wait for signs of life. Its threads end, since
        those that Python stops at its end, in the midst of a call to the board, end the process."""
        atexit.unregister(self.close)
        self._watch.leave()
        self.board.close()

    def pulse(self, rank: int) -> Pulse:
        """The last sign of life of a rank that this one watches."""
        return self._watch.last(rank)


_members: WeakKeyDictionary[Cluster, dict[bytes | None, tuple[int, Members]]] = WeakKeyDictionary()
"""Those of a cluster, by the secret of the sealed store that they use; None: of one that is not sealed."""


def members_of(cluster: Cluster, secret: bytes | None = None) -> Members:
    """The ranks of a cluster, which meet at the first call; those who use a sealed store, with a `secret`,
    meet apart. Raises LostRankError if not all of them come."""
    known = _members.setdefault(cluster, {})
    process, found = known.get(secret, (0, None))
    if found is None or process != os.getpid():
        found = Members(cluster if secret is None else SealedCorner(cluster, secret))
        known[secret] = os.getpid(), found
    return found


def leave(cluster: Cluster) -> None:
    """This rank takes part no more, if it ever did: the others need not wait for signs of life."""
    for _, found in _members.pop(cluster, {}).values():
        found.close()


class _Meeting:
    """How the ranks find each other: see `Members`."""

    def __init__(self, board: Board, me: Member, size: int, within: float) -> None:
        self._board, self._me, self._size = board, me, size
        self._until = time.monotonic() + within
        self._within = within

    def meet(self) -> tuple[list[Member], str]:
        """All members by rank, and a text that no earlier start of them had."""
        self._board.put(f"hello/{self._me.rank}", self._me)
        found = self._call() if self._me.rank == 0 else self._come()
        others = [each for each in found if each.version != found[0].version]
        if others:
            raise IncompatibleError(
                f"{others[0]} has Saver {others[0].version} and {found[0]} has Saver {found[0].version}; "
                "install the same version for all ranks"
            )
        return found, _digest(found)

    def _call(self) -> list[Member]:
        """In rank 0: wait for all, and let them confirm that all are there."""
        told: list[Member] | None = None
        waiting = Waiting()
        while True:
            hellos = [self._board.get(f"hello/{rank}", Member) for rank in range(self._size)]
            found: list[Member] = [each for each in hellos if each is not None]
            if len(found) == self._size and found != told:
                told = found
                self._board.put("welcome", told)
            if told is not None:
                digest = _digest(told)
                confirmed = [self._board.get(f"ready/{rank}", str) for rank in range(1, self._size)]
                if all(each == digest for each in confirmed):
                    self._board.put("begin", digest)
                    return told
                missing = [rank for rank, each in enumerate(confirmed, 1) if each != digest]
            else:
                missing = [rank for rank, each in enumerate(hellos) if each is None]
            self._demand_time(missing)
            waiting.wait()

    def _come(self) -> list[Member]:
        confirmed, waiting = "", Waiting()
        while True:
            welcome = self._board.get("welcome", list[Member])
            if welcome is not None and self._me in welcome:
                digest = _digest(welcome)
                if digest != confirmed:
                    confirmed = digest
                    self._board.put(f"ready/{self._me.rank}", digest)
                if self._board.get("begin", str) == digest:
                    return welcome
            self._demand_time([0])
            waiting.wait()

    def _demand_time(self, missing: list[int]) -> None:
        if time.monotonic() > self._until:
            names = ", ".join(map(str, missing[:8])) + ", …" * (len(missing) > 8)
            raise LostRankError(
                f"of {self._size} ranks, these did not come within {self._within:g} s: {names}; call this in "
                "every rank, or give them more time with `arrive_within`",
                missing[0],
            )


def _digest(members: list[Member]) -> str:
    return blake3(msgspec.json.encode(members)).hexdigest(16)


class Watch:
    """Gives this rank's signs of life, and looks for those of the ranks that it watches: rank 0 watches all,
    or among many the leaders of groups, who watch their own; everybody watches rank 0."""

    def __init__(self, members: Members) -> None:
        self._members, self._board = members, members.board
        self._pulse = Pulse()
        self._lock = threading.Lock()
        self._note: Callable[[Problem], None] | None = None
        others = led_by(members.rank, members.size)
        self._watched = others if members.rank == 0 else [0, *others]
        self._last = dict.fromkeys(self._watched, Pulse())
        self._seen = dict.fromkeys(self._watched, time.monotonic())
        self._process = os.getpid()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._give()
        self._start()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._seen = dict.fromkeys(self._watched, time.monotonic())
            self._thread = threading.Thread(target=self._run, name="saver-pulse", daemon=True)
            self._thread.start()

    def session(self, number: int, note: Callable[[Problem], None] | None) -> None:
        """A session begins; or ends, without `note`: a problem that this rank had in it stays, as the others
        may not have seen it."""
        with self._lock:
            self._note = note
            if note is not None:
                self._pulse = Pulse(self._pulse.beat, number, "arrived")
                self._start()
            else:
                idle = Pulse()
                self._pulse = msgspec.structs.replace(self._pulse, stage=idle.stage, done=0, total=0)
        self._give()

    def doing(self, stage: str, done: int, total: int) -> None:
        """Say what this rank does, at the next sign of life."""
        with self._lock:
            self._pulse = msgspec.structs.replace(self._pulse, stage=stage, done=done, total=total)

    def problem(self, problem: Problem) -> None:
        """Say at once that this rank has a problem, or one that it watches."""
        with self._lock:
            if self._pulse.problem is None:
                self._pulse = msgspec.structs.replace(self._pulse, problem=problem)
        self._give()

    def last(self, rank: int) -> Pulse:
        """The last sign of life of a rank; an empty one if this rank does not watch it."""
        return self._last.get(rank, Pulse())

    def leave(self) -> None:
        """The process ends: the others need not wait for signs of life."""
        self._ends.set()
        if os.getpid() == self._process:
            with self._lock:
                self._pulse = msgspec.structs.replace(self._pulse, left=True)
            with suppress(SaverError):
                self._give()
            if self._thread is not None:
                self._thread.join(self._members.lost_after)

    def _give(self) -> None:
        with self._lock:
            self._pulse = msgspec.structs.replace(self._pulse, beat=self._pulse.beat + 1)
            pulse = self._pulse
        self._board.put(f"{self._members.prefix}/pulse/{self._members.rank}", pulse)

    def _run(self) -> None:
        pause = min(self._members.lost_after / SIGNS, 1.0)
        before = time.monotonic()
        while not self._ends.wait(pause):
            try:
                self._give()
                for rank in self._watched:
                    self._look(rank)
            except SaverError as error:
                if self._note is None:  # the ranks, or their board, have ended; a next session begins again
                    return
                self._report(problem_of(0, error))
            now = time.monotonic()
            if now - before > self._members.lost_after / 2:  # this process was stopped itself, or the board
                self._seen = dict.fromkeys(self._watched, now)
            before = now

    def _look(self, rank: int) -> None:
        found = self._board.get(f"{self._members.prefix}/pulse/{rank}", Pulse) or Pulse()
        now, last = time.monotonic(), self._last[rank]
        if found.beat != last.beat:
            self._last[rank], self._seen[rank] = found, now
        if found.problem is not None and found.session == self._members.sessions:
            self._report(found.problem)
        elif found.left:
            self._report(self._lost(rank, "its process ended"))
        elif now - self._seen[rank] > self._members.lost_after:
            silent = f"it has given no sign of life for {now - self._seen[rank]:.1f} s"
            self._report(self._lost(rank, silent))

    def _lost(self, rank: int, why: str) -> Problem:
        who = self._members.all[rank]
        message = f"{who} is lost: {why}; the last was: {self._last[rank]}"
        return Problem(rank, LostRankError.code, message)

    def _report(self, problem: Problem) -> None:
        note = self._note
        if note is not None:
            note(problem)
