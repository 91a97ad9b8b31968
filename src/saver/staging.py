"""Staging: a copy of a run's tensors in memory that is kept and warm, so that training goes on while it
is written.

Copying into fresh memory costs four times as much as into memory that was used before, for the kernel has
to find and clear every page; two threads halve the rest (measured: 2.4, 5.9 and 11.3 GB/s). So the memory
stays from one snapshot to the next. It is as large as the largest snapshot, and no larger.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Lock, Thread

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.pack.write import pieces
from saver.repo.dedup import length_of
from saver.tree import TensorData

THREADS = 2
PIECE = 16 << 20
"""Bytes that a thread copies at a time."""

LINE = 64
HUGE_PAGE = 2 << 20

WIPE_ON_FORK = 18
"""MADV_WIPEONFORK of Linux, which the module mmap has no name for."""


class Torn(Exception):
    """A tensor changed while it was being copied."""


class Snapshot(msgspec.Struct):
    """Staged tensors. They are whole once `wait` has returned."""

    tensors: dict[str, TensorData]
    work: _Work

    def wait(self) -> None:
        """Until everything is copied. Raises Torn when a tensor was changed meanwhile, naming it."""
        self.work.wait()

    @property
    def ready(self) -> bool:
        """Whether everything is copied."""
        return self.work.finished.is_set()


class _Work:
    """Copies that several threads share."""

    def __init__(
        self, jobs: Iterator[Callable[[], None]], changes: Mapping[str, Callable[[], int]], threads: int
    ) -> None:
        self._jobs = jobs
        self._lock = Lock()
        self._changes = changes
        self._before = {name: count() for name, count in changes.items()}
        self._active = threads
        self._error: BaseException | None = None
        self.finished = Event()

    def run(self) -> None:
        """Do jobs until there are no more; the last thread to come back checks that nothing changed."""
        try:
            while self._error is None:
                with self._lock:
                    job = next(self._jobs, None)
                if job is None:
                    break
                job()
        except BaseException as error:
            self._error = error
        with self._lock:
            self._active -= 1
            last = self._active == 0
        if last:
            self._look()
            self.finished.set()

    def _look(self) -> None:
        """Whether anything changed meanwhile: now, for whoever waits may change it once this is finished."""
        changed = [name for name, count in self._changes.items() if count() != self._before[name]]
        if changed and self._error is None:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            self._error = Torn(", ".join(changed[:3]) + more)

    def wait(self) -> None:
        self.finished.wait()
        if self._error is not None:
            raise self._error


class Staging:
    """Memory for one snapshot at a time, and the threads that fill it. `close` gives both back."""

    def __init__(self) -> None:
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[Thread] = []

    @property
    def bytes(self) -> int:
        """How much memory is kept."""
        return self._memory.size

    def take(self, tensors: Mapping[str, TensorData], later: Collection[str] = ()) -> Snapshot:
        """Copy `tensors` into the staging memory, over what was there. Returns when all are copied but
        those named in `later`, which must not change until `Snapshot.wait` has returned.
        """
        self._reserve(sum(-(-length_of(data) // LINE) * LINE for data in tensors.values()))
        staged, views = {}, {}
        at = 0
        for name, data in tensors.items():
            length = length_of(data)
            views[name] = self._memory[at : at + length]
            staged[name] = TensorData(data.dtype, data.shape, views[name])
            at += -(-length // LINE) * LINE
        now = {name: data for name, data in tensors.items() if name not in later}
        self._start(now, views, True).wait()
        rest = {name: data for name, data in tensors.items() if name in later}
        return Snapshot(staged, self._start(rest, views, False))

    def _start(
        self, tensors: Mapping[str, TensorData], views: Mapping[str, NDArray[np.uint8]], helping: bool
    ) -> _Work:
        """Begin to copy. Who has to wait for it anyway is `helping`."""
        changes = {name: data.changes for name, data in tensors.items() if data.changes is not None}
        small = sum(map(length_of, tensors.values())) <= PIECE // 4
        work = _Work(_jobs(tensors, views), changes, 1 if small else THREADS + helping)
        if small:
            work.run()
            return work
        while len(self._threads) < THREADS:
            thread = Thread(target=self._serve, name="saver-staging", daemon=True)
            thread.start()
            self._threads.append(thread)
        for _ in range(THREADS):
            self._queue.put(work)
        if helping:
            work.run()
        return work

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            work.run()

    def _reserve(self, size: int) -> None:
        if size <= self._memory.size:
            return
        self._memory = np.empty(0, np.uint8)  # the old one goes first
        self._memory = _mapped(size)

    def close(self) -> None:
        """Stop the threads and give the memory back."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._memory = np.empty(0, np.uint8)


def _jobs(
    tensors: Mapping[str, TensorData], views: Mapping[str, NDArray[np.uint8]]
) -> Iterator[Callable[[], None]]:
    """Copies of about `PIECE` bytes; of tensors that come in pieces of their own, whole ones."""
    for name, data in tensors.items():
        view = views[name]
        if isinstance(data.data, np.ndarray) and data.data.flags.c_contiguous:
            source = data.data.reshape(-1).view(np.uint8)
            for at in range(0, view.size, PIECE):
                yield _copy(view[at : at + PIECE], source[at : at + PIECE])
        else:
            yield _gather(view, data)


def _copy(target: NDArray[np.uint8], source: NDArray[np.uint8]) -> Callable[[], None]:
    def copy() -> None:
        target[:] = source

    return copy


def _gather(target: NDArray[np.uint8], data: TensorData) -> Callable[[], None]:
    def gather() -> None:
        at = 0
        for piece in pieces(data):
            target[at : at + piece.size] = piece
            at += piece.size

    return gather


def _mapped(size: int) -> NDArray[np.uint8]:
    """Fresh memory, in huge pages where the system has them, at the beginning of one.

    It is private to the process: shared memory has huge pages on few systems, and took 1.2 times as long.
    And a child, such as a data loader's worker, finds zeros there: with memory that it could look at, the
    next snapshot took ten times as long, for every page had to be copied first.
    """
    memory = mmap.mmap(-1, size + HUGE_PAGE, access=mmap.ACCESS_COPY)
    for advice in (getattr(mmap, "MADV_HUGEPAGE", None), WIPE_ON_FORK if sys.platform == "linux" else None):
        if advice is not None:
            with suppress(OSError):  # a kernel without it
                memory.madvise(advice)
    whole = np.frombuffer(memory, np.uint8)
    first = -whole.ctypes.data % HUGE_PAGE
    return whole[first : first + size]
