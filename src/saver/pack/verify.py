"""Checks the bytes of tensors against their hashes, on all processors, at the speed of the disk.

Everything is hashed where it is mapped. What is not in the page cache is brought there first: threads
take turns to read small pieces in the order of the file. With 20,000 small tensors that was twice as
fast as reading each tensor for itself; with large ones no difference could be told from noise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from threading import Lock

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.errors import Damaged
from saver.pack.layout import BLOCK, Entry, Progress

READ = 2 << 20
JOB = 4 << 20
"""Small tensors are checked in jobs of about this size."""

SERIAL = 4 << 20
"""Up to this size, one thread is as fast as several."""


def _threads() -> int:
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class _Range:
    """Bytes that must have a given BLAKE3: a tensor, or a block of one."""

    __slots__ = ("end", "hash", "name", "start")

    def __init__(self, name: str, start: int, end: int, digest: str) -> None:
        self.name, self.start, self.end, self.hash = name, start, end, digest


def _ranges(entry: Entry, base: int) -> Iterator[_Range]:
    start = base + entry.offset
    end = start + entry.length
    if not entry.blocks:
        yield _Range(entry.name, start, end, entry.hash)
    for number, digest in enumerate(entry.blocks):
        at = start + number * BLOCK
        yield _Range(entry.name, at, min(at + BLOCK, end), digest)


class _Job:
    """Ranges that are hashed together; `missing` counts the pieces that are not yet in the page cache."""

    __slots__ = ("missing", "ranges", "size")

    def __init__(self) -> None:
        self.ranges: list[_Range] = []
        self.size = 0
        self.missing = 1

    def check(self, mapped: NDArray[np.uint8]) -> tuple[int, list[str]]:
        """How many bytes the job has, and the names of tensors whose hash is wrong."""
        lost = [r.name for r in self.ranges if blake3(mapped[r.start : r.end].data).hexdigest() != r.hash]
        return self.size, lost


def _jobs(entries: Sequence[Entry], base: int) -> Iterator[_Job]:
    job = _Job()
    for entry in entries:
        for item in _ranges(entry, base):
            job.ranges.append(item)
            job.size += item.end - item.start
            if job.size >= JOB:
                yield job
                job = _Job()
    if job.ranges:
        yield job


def verify(
    path: str,
    descriptor: int,
    mapped: NDArray[np.uint8],
    base: int,
    entries: Sequence[Entry],
    progress: Progress | None = None,
) -> None:
    """Raise Damaged, naming the tensors, unless every entry's bytes have its hash.

    `base` is where the data begins in the file, which `descriptor` reads and `mapped` holds whole.
    """
    lost: set[str] = {e.name for e in entries if e.blocks and not _root_matches(e)}
    total = sum(entry.length for entry in entries)
    done = 0
    jobs = _jobs(entries, base)
    serial = (job.check(mapped) for job in jobs)
    results = serial if total <= SERIAL else _check_all(descriptor, mapped, jobs)
    for size, names in results:
        lost.update(names)
        done += size
        if progress is not None:
            progress(done, total)
    if lost:
        names_ = ", ".join(sorted(lost)[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        raise Damaged(
            f"{path}: the bytes of {names_} are not those that were saved; use a copy of the file, "
            "or load the other parts with lazy=True"
        )


def _root_matches(entry: Entry) -> bool:
    return blake3(b"".join(map(bytes.fromhex, entry.blocks))).hexdigest() == entry.hash


def _check_all(
    descriptor: int, mapped: NDArray[np.uint8], jobs: Iterator[_Job]
) -> Iterator[tuple[int, list[str]]]:
    """What `_Job.check` says of every job, as they become ready.

    Every thread takes the next piece; who has read the last missing piece of a job hashes it, while the
    others read on.
    """
    feed = _Feed(descriptor, jobs)
    results: SimpleQueue[tuple[int, list[str]] | None] = SimpleQueue()

    def work() -> None:
        buffer = memoryview(bytearray(READ))
        try:
            while (ready := feed.next_ready(buffer)) is not None:
                results.put(ready.check(mapped))
        finally:
            results.put(None)

    threads = _threads()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        workers = [pool.submit(work) for _ in range(threads)]
        try:
            for _ in workers:
                yield from iter(results.get, None)
            for worker in workers:
                worker.result()
        finally:
            feed.stop()


class _Feed:
    """The bytes of jobs, in pieces that are read into the page cache strictly in the order of the file."""

    def __init__(self, descriptor: int, jobs: Iterator[_Job]) -> None:
        self._descriptor = descriptor
        self._pieces = self._cut(jobs)
        self._lock = Lock()

    def next_ready(self, buffer: memoryview) -> _Job | None:
        """Read pieces, into `buffer`, until a job has them all; None when there are no more."""
        while True:
            with self._lock:
                piece = next(self._pieces, None)
            if piece is None:
                return None
            job, at, size = piece
            if size:
                os.preadv(self._descriptor, [buffer[:size]], at)
            with self._lock:
                job.missing -= 1
                if job.missing == 0:
                    return job

    def stop(self) -> None:
        """No more pieces."""
        with self._lock:
            self._pieces = iter(())

    def _cut(self, jobs: Iterator[_Job]) -> Iterator[tuple[_Job, int, int]]:
        """Each job with the place and size of a piece to read; size 0 when nothing needs to be read."""
        for job in jobs:
            start, end = job.ranges[0].start, job.ranges[-1].end
            if start == end or self._cached(start, end):
                yield job, start, 0
                continue
            job.missing = -(-(end - start) // READ)
            yield from ((job, at, min(READ, end - at)) for at in range(start, end, READ))

    def _cached(self, start: int, end: int) -> bool:
        """Whether the last and first page are in the page cache; reading them would block if not."""
        no_wait = getattr(os, "RWF_NOWAIT", 0)
        if not no_wait:
            return False
        probe = bytearray(1)
        try:
            return all(os.preadv(self._descriptor, [probe], at, no_wait) == 1 for at in (end - 1, start))
        except OSError:
            return False
