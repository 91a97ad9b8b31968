"""Checks the bytes of tensors against their hashes, on all processors, at the speed of the disk.

Everything is hashed where it is mapped. What is not in the page cache is brought there first, by a few
threads that read small pieces strictly in the order of the file: page faults, or as many streams as
there are processors, reach two thirds of that. Reading into fresh memory instead was not faster.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.errors import Damaged
from saver.pack.layout import BLOCK, Entry, Progress

READ = 1 << 20
READERS = 3
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


def _jobs(entries: Sequence[Entry], base: int) -> Iterator[list[_Range]]:
    job: list[_Range] = []
    size = 0
    for entry in entries:
        for item in _ranges(entry, base):
            job.append(item)
            size += item.end - item.start
            if size >= JOB:
                yield job
                job, size = [], 0
    if job:
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
    hashed = (_hash_job(mapped, job) for job in jobs)
    results = hashed if total <= SERIAL else _hash_all(descriptor, mapped, jobs)
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


def _hash_job(mapped: NDArray[np.uint8], job: list[_Range]) -> tuple[int, list[str]]:
    """How many bytes the job has, and the names of tensors whose hash is wrong."""
    lost = [r.name for r in job if blake3(mapped[r.start : r.end].data).hexdigest() != r.hash]
    return sum(r.end - r.start for r in job), lost


def _hash_fetched(
    mapped: NDArray[np.uint8], job: list[_Range], fetched: list[Future[None]]
) -> tuple[int, list[str]]:
    for piece in fetched:
        piece.result()
    return _hash_job(mapped, job)


def _hash_all(
    descriptor: int, mapped: NDArray[np.uint8], jobs: Iterator[list[_Range]]
) -> Iterator[tuple[int, list[str]]]:
    """The results of `_hash_job` for all jobs, in their order, a few jobs ahead of who asks."""
    threads = _threads()
    ahead: deque[Future[tuple[int, list[str]]]] = deque()
    with _Fetcher(descriptor) as fetcher, ThreadPoolExecutor(threads) as hashers:
        for job in jobs:
            fetched = fetcher.fetch(job[0].start, job[-1].end)
            ahead.append(hashers.submit(_hash_fetched, mapped, job, fetched))
            if len(ahead) > 4 * threads:
                yield ahead.popleft().result()
        for result in ahead:
            yield result.result()


class _Fetcher:
    """Brings pieces of a file into the page cache, in the order in which they were asked for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffers = [bytearray(READ) for _ in range(READERS)]
        self._readers = ThreadPoolExecutor(READERS)

    def __enter__(self) -> _Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.shutdown(cancel_futures=True)

    def fetch(self, start: int, end: int) -> list[Future[None]]:
        """What to wait for until the bytes are there: nothing when they already are."""
        if self._cached(start, end):
            return []
        return [self._readers.submit(self._read, at, min(READ, end - at)) for at in range(start, end, READ)]

    def _read(self, at: int, size: int) -> None:
        buffer = self._buffers.pop()
        try:
            os.preadv(self._descriptor, [memoryview(buffer)[:size]], at)
        finally:
            self._buffers.append(buffer)

    def _cached(self, start: int, end: int) -> bool:
        """Whether the last and first page are in the page cache; reading them would block if not."""
        no_wait = getattr(os, "RWF_NOWAIT", 0)
        if not no_wait:
            return False
        probe = bytearray(1)
        try:
            return all(
                os.preadv(self._descriptor, [probe], at, no_wait) == 1 for at in (max(start, end - 1), start)
            )
        except OSError:
            return False
