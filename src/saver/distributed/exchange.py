"""Pieces of packs that one rank reads and sends, and others receive, on several threads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from saver.caching.host_memory import HostMemory
from saver.cluster import Network
from saver.distributed.passing import Piece
from saver.distributed.session import Session
from saver.errors import DamagedError, LostRankError, NotFoundError
from saver.storage import Blob, Bring
from saver.threads import processors

RECEIVING = 4
"""Threads that receive."""

LOOK = 0.05
"""Seconds between two looks at what became of the other ranks."""


SLOWEST = 25e6
"""Bytes a second that ranks must pass on at least, where there is another way to them."""


class Ends(Protocol):
    """Where pieces come from, and where they go."""

    def read(self, piece: Piece) -> NDArray[np.uint8]:
        """The bytes of a piece, to be sent. Raises DamagedError or NotFoundError if there are none."""

    def receive(self, piece: Piece, bring: Bring) -> None:
        """Have `bring` put what is missing of a piece into its place."""


class Blobs(Ends):
    """Packs that are open. What is read is needed here, too."""

    def __init__(self, blobs: Mapping[str, Blob]) -> None:
        self._blobs = blobs

    def read(self, piece: Piece) -> NDArray[np.uint8]:
        blob = self._blobs[piece.pack]
        blob.fetch(piece.start, piece.end, np.empty(piece.end - piece.start, np.uint8).data)
        return blob.map()[piece.start : piece.end]

    def receive(self, piece: Piece, bring: Bring) -> None:
        self._blobs[piece.pack].receive(piece.start, piece.end, bring)


class FromMemory(Blobs):
    """The same, but what is read is in the memory of this host, and not needed here."""

    def __init__(self, memory: HostMemory, blobs: Mapping[str, Blob]) -> None:
        super().__init__(blobs)
        self._memory = memory

    def read(self, piece: Piece) -> NDArray[np.uint8]:
        found = np.empty(piece.end - piece.start, np.uint8)
        if not self._memory.read(piece.pack, piece.start, found.data).all():
            raise DamagedError(f"{piece.pack} is in memory no more")
        return found


class Exchange:
    """Reads this rank's pieces, sends them to others, and receives theirs. A piece has a tag that no other
    one has between the same two ranks. With `bounded`, it is given up if it takes too long. At least
    `readers` threads read."""

    def __init__(
        self, session: Session, network: Network, ends: Ends, cut: Iterable[tuple[int, Piece]],
        readers: int = 0, bounded: bool = False,
    ) -> None:  # fmt: skip
        self._session, self._network, self._ends = session, network, ends
        cut = [*cut]
        mine = [(tag, piece) for tag, piece in cut if piece.reader == session.rank]
        others = [(tag, piece) for tag, piece in cut if session.rank in piece.others]
        self._total = sum(piece.end - piece.start for _, piece in (*mine, *others))
        self._done = 0
        self._reads, self._receives = iter(mine), iter(_in_turns(others))
        self._readers = max(processors(), readers)
        self._until = time.monotonic() + session.lost_after + self._total / SLOWEST if bounded else math.inf
        self._lock = threading.Lock()
        self._failure: Exception | None = None

    def run(self) -> None:
        """Return once everything was sent and received. Raises what ends the session."""
        threads = [
            *(started(lambda: self._work(self._reads, self._read)) for _ in range(self._readers)),
            *(started(lambda: self._work(self._receives, self._receive)) for _ in range(RECEIVING)),
        ]
        try:
            wait_for(threads, self._report)
        except BaseException as error:
            self._failure = self._failure or LostRankError(str(error), self._session.rank)
            self._network.close()
            raise

    def _report(self) -> None:
        self._session.doing("passing on what several ranks need", self._done, self._total)
        self._session.watch()
        if time.monotonic() > self._until:
            raise LostRankError(
                f"other ranks passed on less than {SLOWEST / 1e6:g} MB a second", self._session.rank
            )
        failure = self._failure
        if isinstance(failure, LostRankError):  # the rank that it names may only have heard of another one
            until = time.monotonic() + self._session.lost_after + 1
            while time.monotonic() < until:
                self._session.watch()
                time.sleep(LOOK)
        if failure is not None:
            raise failure

    def _work(
        self, items: Iterator[tuple[int, Piece]], act: Callable[[int, Piece], Iterable[Callable[[], object]]]
    ) -> None:
        """Do what is left, as one of several threads; then call what waits for the end of it."""
        waits = list[Callable[[], object]]()
        try:
            while self._failure is None:
                with self._lock:
                    item = next(items, None)
                if item is None:
                    break
                waits += act(*item)
                with self._lock:
                    self._done += item[1].end - item[1].start
            for wait in waits:
                wait()
        except Exception as error:
            self._failure = self._failure or error

    def _read(self, tag: int, piece: Piece) -> Iterator[Callable[[], object]]:
        """Read a piece, and begin to send it. What cannot be read is sent as zeros: each of the others will
        find out by itself what is wrong."""
        try:
            data = self._ends.read(piece)
        except (DamagedError, NotFoundError):
            data = np.zeros(piece.end - piece.start, np.uint8)
        for rank in piece.others:
            with self._reaching(rank):
                wait = self._network.send(rank, data, tag)
            yield partial(self._sent, rank, wait)

    def _sent(self, rank: int, wait: Callable[[], object]) -> None:
        with self._reaching(rank):
            wait()

    def _receive(self, tag: int, piece: Piece) -> Iterator[Callable[[], object]]:
        """Receive a piece, and put what is missing here of it into its place."""
        came = list[NDArray[np.uint8]]()

        def received(memory: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
            if not came:
                into = np.empty(piece.end - piece.start, np.uint8) if memory is None else memory
                with self._reaching(piece.reader):
                    self._network.receive(piece.reader, into, tag)
                came.append(into)
            return came[0]

        def bring(start: int, end: int, memory: memoryview) -> None:
            into = np.frombuffer(memory, np.uint8)
            if (start, end) == (piece.start, piece.end):
                received(into)
            else:
                into[:] = received()[start - piece.start : end - piece.start]

        self._ends.receive(piece, bring)
        received()
        return iter(())

    @contextmanager
    def _reaching(self, rank: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise LostRankError(f"rank {rank} cannot be reached any more: {error}", rank) from error


def _in_turns(items: Iterable[tuple[int, Piece]]) -> list[tuple[int, Piece]]:
    """The first piece of each reader, the second of each, and so on: they come about in that order."""
    count = dict[int, int]()
    keyed = []
    for tag, piece in items:
        count[piece.reader] = count.get(piece.reader, 0) + 1
        keyed.append((count[piece.reader], tag, piece))
    return [(tag, piece) for _, tag, piece in sorted(keyed, key=itemgetter(0, 1))]


def started(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, name="saver-passing", daemon=True)
    thread.start()
    return thread


def wait_for(threads: Iterable[threading.Thread], look: Callable[[], object]) -> None:
    """Wait until these threads end, and `look` now and then, and last."""
    for thread in threads:
        while thread.is_alive():
            look()
            thread.join(LOOK)
    look()
