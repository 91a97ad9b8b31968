"""Staging: a copy of a run's tensors in memory, so that training goes on while the copy is written.

Copying into fresh memory costs four times as much as into memory that was used before, because the kernel
has to find and clear every page; two threads halve the rest (measured: 2.4, 5.9 and 11.3 GB/s). So the memory
is kept from one snapshot to the next. It is as large as the largest snapshot, and no larger. Devices copy
their tensors into the same memory themselves; it is pinned for that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.device import Copying, DeviceData
from saver.memory import available_memory, huge_pages
from saver.tensors import TensorData, length_of, pieces
from saver.threads import Threads
from saver.torn import Changes, Torn

THREADS = 2
PIECE = 16 << 20
"""Bytes that a thread copies at a time. Tensors that are smaller than a quarter of that are copied one after
another by the same thread until they are as many: with a turn for each of 198 tensors of 100 kB, the threads
took longer than one alone."""

LINE = 64

Views = Mapping[str, NDArray[np.uint8]]
Tensors = Mapping[str, TensorData]


class Snapshot:
    """Staged tensors. They are whole once `wait` has returned."""

    def __init__(self, tensors: Mapping[str, TensorData], copies: Iterable[Copying] = ()) -> None:
        self.tensors = tensors
        self._copies = tuple(copies)

    def hold(self) -> None:
        """Call this before changing anything that is still being copied: it waits for the copies of tensors
        in host memory, and lets devices wait for theirs.
        """
        for copy in self._copies:
            copy.hold()

    def wait(self) -> None:
        """Wait until everything is copied. Raises Torn, which names the tensors that changed meanwhile."""
        for copy in self._copies:
            copy.wait()


class _HostCopies(Copying):
    """Copies within host memory, made by several threads together."""

    def __init__(self, jobs: Iterator[Callable[[], None]], changes: Changes, threads: int) -> None:
        self._jobs = jobs
        self._lock = Lock()
        self._changes = changes
        self._active = threads
        self._error: BaseException | None = None
        self._finished = Event()

    def run(self) -> None:
        """Do jobs until there are no more; the last thread to finish checks that nothing changed."""
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
        if last:  # now, since a waiting caller may change tensors once this is finished
            self._error = self._error or self._changes.look()
            self._finished.set()

    def hold(self) -> None:
        self._finished.wait()

    def wait(self) -> None:
        self._finished.wait()
        if self._error is not None:
            raise self._error


class _DeviceCopies(Copying):
    """Copies that devices make themselves."""

    def __init__(self, tensors: Tensors, views: Views) -> None:
        self._changes = Changes(tensors, witnessed=False)
        self._lock = Lock()
        self._looked = False
        self._error: Torn | None = None
        self._copies = [
            data.data.begin(views[name])
            for name, data in tensors.items()
            if isinstance(data.data, DeviceData)
        ]

    def hold(self) -> None:
        for copy in self._copies:
            copy.hold()
        self._look()

    def wait(self) -> None:
        for copy in self._copies:
            copy.wait()
        self._look()
        if self._error is not None:
            raise self._error

    def _look(self) -> None:
        """Check for changes, only once: after `hold`, tensors may change."""
        with self._lock:
            if not self._looked:
                self._looked, self._error = True, self._changes.look()


class Staging:
    """Memory for one snapshot at a time, at most `limit` bytes, and the threads that fill it. `close`
    releases both.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._unpin: Callable[[], None] | None = None
        self._pool: Threads | None = None

    @property
    def bytes(self) -> int:
        """How much memory is kept."""
        return self._memory.size

    def room(self, tensors: Tensors) -> int:
        """Bytes that would still be free with a snapshot of `tensors`; negative if it does not fit."""
        size = _size(tensors)
        if self._limit is not None:
            return self._limit - size
        if size <= self._memory.size:
            return self._memory.size - size
        free = available_memory()
        return size if free is None else free + self._memory.size - size

    def take(self, tensors: Tensors, later: Collection[str] = ()) -> Snapshot:
        """Copy `tensors` into the staging memory, over the previous snapshot. Returns when all are copied
        except those named in `later`, which must not change until the snapshot's `hold` has returned. Copies
        from devices may still be in progress then, but a device finishes copying the tensors that are not
        in `later` before it changes them. Raises MemoryError if there is no memory for the copy.
        """
        devices = [data.data for data in tensors.values() if isinstance(data.data, DeviceData)]
        there = {name: data for name, data in tensors.items() if isinstance(data.data, DeviceData)}
        here = {name: data for name, data in tensors.items() if name not in there} if there else tensors
        self._reserve(_size(tensors), next(iter(devices), None))
        staged, views = {}, {}
        memory, at = self._memory, 0
        for name, data in tensors.items():
            length = length_of(data)
            views[name] = view = memory[at : at + length]
            staged[name] = TensorData(data.dtype, data.shape, view)
            at += -(-length // LINE) * LINE
        here_now, here_later = _split(here, later)
        there_now, there_later = _split(there, later)
        first = _DeviceCopies(there_now, views)
        first.hold()
        beside = _DeviceCopies(there_later, views)
        self._start(here_now, views, True).wait()
        return Snapshot(staged, (self._start(here_later, views, False), beside, first))

    def _start(self, tensors: Tensors, views: Views, helping: bool) -> _HostCopies:
        """Begin to copy. A caller that has to wait for it anyway is `helping`: it copies, too."""
        small = sum(map(length_of, tensors.values())) <= (2 * PIECE if helping else PIECE // 4)
        changes = Changes(tensors, witnessed=not helping)
        if small:
            work = _HostCopies(_jobs(tensors, views), changes, 1)
            work.run()
            return work
        pool = self._pool = self._pool or Threads(THREADS)
        work = _HostCopies(_jobs(tensors, views), changes, pool.count)
        for _ in range(pool.count - helping):
            pool.submit(work.run)
        if helping:
            work.run()
        return work

    def _reserve(self, size: int, device: DeviceData | None) -> None:
        if size > self._memory.size:
            self._free()  # the old one goes first
            self._memory = huge_pages(size, wiped_on_fork=True)
        if device is not None and self._unpin is None:
            self._unpin = device.pin(self._memory)

    def _free(self) -> None:
        unpin, self._unpin = self._unpin, None
        if unpin is not None:
            unpin()
        self._memory = np.empty(0, np.uint8)

    def close(self) -> None:
        """Stop the threads and give the memory back."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        self._free()


def address_of(data: TensorData) -> int | None:
    """The address of the first element; None if the elements are not in one place."""
    if isinstance(data.data, DeviceData):
        return data.data.address
    return data.data.ctypes.data if isinstance(data.data, np.ndarray) else None


def _size(tensors: Tensors) -> int:
    return sum(-(-length_of(data) // LINE) * LINE for data in tensors.values())


def _split(tensors: Tensors, later: Collection[str]) -> tuple[Tensors, Tensors]:
    """The tensors to copy now, and those `later`."""
    if not later:
        return tensors, {}
    now = {name: data for name, data in tensors.items() if name not in later}
    return now, {name: data for name, data in tensors.items() if name in later}


def _jobs(tensors: Tensors, views: Views) -> Iterator[Callable[[], None]]:
    """Copies of `PIECE` bytes at most, those of small tensors together; tensors that are not contiguous are
    copied whole."""
    some, size = list[tuple[NDArray[np.uint8], NDArray[Any]]](), 0
    for name, data in tensors.items():
        view = views[name]
        if not (isinstance(data.data, np.ndarray) and data.data.flags.c_contiguous):
            yield _gather(view, data)
        elif view.size > PIECE // 4:
            source = data.data.reshape(-1).view(np.uint8)
            for at in range(0, view.size, PIECE):
                yield _copy([(view[at : at + PIECE], source[at : at + PIECE])])
        else:
            some.append((view, data.data))
            size += view.size
            if size >= PIECE // 4:
                yield _copy(some)
                some, size = [], 0
    yield _copy(some)


def _copy(pairs: Sequence[tuple[NDArray[np.uint8], NDArray[Any]]]) -> Callable[[], None]:
    """Copies each second array into the first one."""

    def copy() -> None:
        for target, source in pairs:
            target[:] = source.reshape(-1).view(np.uint8)

    return copy


def _gather(target: NDArray[np.uint8], data: TensorData) -> Callable[[], None]:
    def gather() -> None:
        at = 0
        for piece in pieces(data):
            target[at : at + piece.size] = piece
            at += piece.size

    return gather
