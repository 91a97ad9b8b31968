"""Staging: a copy of a run's tensors in memory, so that training goes on while the copy is written.

Copying into fresh memory costs four times as much as into memory that was used before, because the kernel
has to find and clear every page; two threads halve the rest (measured: 2.4, 5.9 and 11.3 GB/s). So the memory
is kept from one snapshot to the next. It is as large as the largest snapshot, and no larger. Devices copy
their tensors into the same memory themselves; it is pinned for that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from saver.device import Copying, DeviceData
from saver.memory import available_memory, huge_pages
from saver.tensors import TensorData, length_of, pieces
from saver.threads import Threads

THREADS = 2
PIECE = 16 << 20
"""Bytes that a thread copies at a time."""

LINE = 64

WITNESSES = 64
"""Bytes of a tensor that are compared again once it is copied. A change of the whole tensor that does not
increase its counter, such as `weight.data.mul_(0.9)`, is missed if it left all of these bytes unchanged."""

Views = Mapping[str, NDArray[np.uint8]]
Tensors = Mapping[str, TensorData]


class Torn(Exception):
    """Tensors of these `names` changed while they were being copied."""

    def __init__(self, *names: str) -> None:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        super().__init__(", ".join(names[:3]) + more)
        self.names = names


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


class _Changes:
    """Detects whether tensors changed since this was made: by their counters, and by some of their bytes."""

    def __init__(self, tensors: Tensors, witnessed: bool) -> None:
        self._counts = {name: data.changes for name, data in tensors.items() if data.changes is not None}
        self._before = {name: count() for name, count in self._counts.items()}
        self._samples = {}
        if witnessed:
            found = {name: _sample(data) for name, data in tensors.items()}
            self._samples = {name: (s, s.copy()) for name, s in found.items() if s is not None}

    def look(self) -> Torn | None:
        """The error to raise if any did."""
        changed = [name for name, count in self._counts.items() if count() != self._before[name]]
        changed += [
            name for name, (now, then) in self._samples.items()
            if name not in changed and not np.array_equal(now, then)
        ]  # fmt: skip
        return Torn(*changed) if changed else None


def _sample(data: TensorData) -> NDArray[np.uint8] | None:
    """Bytes at equal distances. The distance is odd, so that they come from all positions in an element."""
    if not isinstance(data.data, np.ndarray) or not data.data.flags.c_contiguous:
        return None
    raw = data.data.reshape(-1).view(np.uint8)
    return raw[:: raw.size // WITNESSES | 1]


class _HostCopies(Copying):
    """Copies within host memory, made by several threads together."""

    def __init__(self, jobs: Iterator[Callable[[], None]], changes: _Changes, threads: int) -> None:
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
        self._changes = _Changes(tensors, witnessed=False)
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
        self._reserve(_size(tensors), next(iter(devices), None))
        staged, views = {}, {}
        at = 0
        for name, data in tensors.items():
            length = length_of(data)
            views[name] = self._memory[at : at + length]
            staged[name] = TensorData(data.dtype, data.shape, views[name])
            at += -(-length // LINE) * LINE
        here, there = _split(tensors, lambda name: not isinstance(tensors[name].data, DeviceData))
        (here_now, here_later), (there_now, there_later) = (
            _split(found, lambda name: name not in later) for found in (here, there)
        )
        first = _DeviceCopies(there_now, views)
        first.hold()
        beside = _DeviceCopies(there_later, views)
        self._start(here_now, views, True).wait()
        return Snapshot(staged, (self._start(here_later, views, False), beside, first))

    def _start(self, tensors: Tensors, views: Views, helping: bool) -> _HostCopies:
        """Begin to copy. A caller that has to wait for it anyway is `helping`: it copies, too."""
        small = sum(map(length_of, tensors.values())) <= PIECE // 4
        changes = _Changes(tensors, witnessed=not helping)
        if small:
            work = _HostCopies(_jobs(tensors, views), changes, 1)
            work.run()
            return work
        pool = self._pool = self._pool or Threads(THREADS)
        work = _HostCopies(_jobs(tensors, views), changes, pool.count + helping)
        for _ in range(pool.count):
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


def _split(tensors: Tensors, first: Callable[[str], bool]) -> tuple[dict[str, TensorData], ...]:
    """The tensors for whose name `first` is true, and the others."""
    found: tuple[dict[str, TensorData], ...] = ({}, {})
    for name, data in tensors.items():
        found[not first(name)][name] = data
    return found


def _jobs(tensors: Tensors, views: Views) -> Iterator[Callable[[], None]]:
    """Copies of about `PIECE` bytes each; tensors that are not contiguous are copied whole."""
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
