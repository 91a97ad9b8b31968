"""Checks bytes against their hashes, on all processors, at the speed of the disk.

Everything is hashed where it is mapped. What is not near is fetched first: threads take turns to fetch
small pieces in the order of the objects, distant ones of an object together. With 20,000 small tensors,
that was twice as fast as reading each tensor separately; with large ones, no difference could be measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from threading import Lock
from typing import TypeAlias

import msgspec
import numpy as np
from blake3 import blake3

from saver.errors import DamagedError
from saver.storage import Blob, Progress

READ = 2 << 20
REQUEST = 8 << 20
"""The most bytes that are fetched at once where calls are slow, if there is enough for all threads. With a
server on the same machine, 2 MiB at once took 1.15 times as long, and 16 as long as 8."""
JOB = 4 << 20
"""Small ranges are checked in jobs of about this size."""

GAP = 64 << 10
"""Up to this many bytes between two ranges are fetched as well, rather than skipped."""

SERIAL = 8 << 20
"""Up to this size, one thread is as fast as several, also if the page cache has nothing of it. Where other
programs keep the processors busy, several are much slower: a forest of 5 MB took twice as long."""


_START = attrgetter("start")


class Range(msgspec.Struct, frozen=True, gc=False):
    """The bytes of a blob from `start` to `end`, whose BLAKE3 must be `hash`.

    They are a tensor, or a block of one; `name` is reported if they are damaged.
    """

    name: str
    start: int
    end: int
    hash: str


def length_of(ranges: Iterable[Range]) -> int:
    """Of these ranges together."""
    return sum(each.end - each.start for each in ranges)


def damaged(wanted: Iterable[tuple[Blob, Iterable[Range]]], progress: Progress | None = None) -> set[str]:
    """Fetch ranges from any number of blobs, and return the names of those whose hash is wrong.

    A range that is not inside its blob is damaged, and so is one for which its blob raises DamagedError;
    other errors are passed on. Reads in the order of the blobs, and each in the order of its bytes.
    """
    lost: set[str] = set()
    within: list[tuple[Blob, list[Range]]] = []
    total = done = 0
    for blob, ranges in wanted:
        inside, end = list[Range](), blob.size
        for item in ranges:
            if 0 <= item.start <= item.end <= end:
                inside.append(item)
                total += item.end - item.start
            else:
                lost.add(item.name)
        if blob.hashed:
            done += sum(item.end - item.start for item in inside)
            continue
        inside.sort(key=_START)
        within.append((blob, inside))
    if done and progress is not None:
        progress(done, total)
    for size, names in _checked([job for each in within for job in _jobs(*each)], total - done):
        lost.update(names)
        done += size
        if progress is not None:
            progress(done, total)
    return lost


def _checked(jobs: Sequence[_Job], size: int) -> Iterable[tuple[int, list[str]]]:
    """The results of `_Job.check` for all jobs, which have `size` bytes together."""
    if len(jobs) == 1 and size <= READ and not jobs[0].pieces(READ):
        return [jobs[0].check()]
    fetchers = max((job.blob.fetchers for job in jobs), default=0)
    share = size // (2 * fetchers) // READ * READ if fetchers else READ
    feed = _Feed(jobs, max(READ, min(share, REQUEST)))
    alone = size <= (READ if fetchers else SERIAL)
    busy = any(job.blob.decrypts for job in jobs)
    return feed.checked() if alone else _checked_by_threads(feed, fetchers, busy)


class _Job:
    """Ranges, close to each other, that are hashed together; `missing` counts the pieces not fetched yet."""

    __slots__ = ("blob", "broken", "end", "missing", "ranges", "size", "start")

    def __init__(self, blob: Blob, ranges: Sequence[Range], end: int, size: int) -> None:
        self.ranges = ranges
        self.blob = blob
        self.start = ranges[0].start
        self.end = end
        self.size = size
        self.missing = 1
        self.broken = False

    def pieces(self, most: int) -> list[tuple[int, int]]:
        """The bounds of the pieces to fetch, of `most` bytes; none if all of it is near."""
        if self.start == self.end or self.blob.near(self.start, self.end):
            return []
        return [(at, min(at + most, self.end)) for at in range(self.start, self.end, most)]

    def check(self) -> tuple[int, list[str]]:
        """How many bytes the job has, and the names of what is damaged in it."""
        mapped = self.blob.map().data
        ranges, lost = self.ranges, list[str]()
        if self.broken:  # some of it cannot be read
            lost = [item.name for item in ranges if not self._can_be_read(item)]
            ranges = [item for item in ranges if item.name not in lost]
        wrong = _wrong(mapped, ranges)
        if wrong and self._brought_anew(wrong):
            wrong = _wrong(mapped, wrong)
        return self.size, [*lost, *(item.name for item in wrong)]

    def _brought_anew(self, ranges: Sequence[Range]) -> bool:
        """Whether ranges were fetched again, because what they held was a copy that was kept elsewhere."""
        try:
            return self.blob.anew([(item.start, item.end) for item in ranges])
        except DamagedError:
            return False

    def _can_be_read(self, item: Range) -> bool:
        scratch = np.empty(READ, np.uint8).data
        try:
            for at in range(item.start, item.end, READ):
                self.blob.fetch(at, min(at + READ, item.end), scratch)
        except DamagedError:
            return False
        return True


def _wrong(mapped: memoryview, ranges: Sequence[Range]) -> list[Range]:
    """Those whose bytes have another hash."""
    found = list[Range]()
    for item in ranges:
        if blake3(mapped[item.start : item.end]).hexdigest() != item.hash:
            found.append(item)
    return found


def _jobs(blob: Blob, ranges: Sequence[Range]) -> Iterator[_Job]:
    """Jobs for ranges of a blob, which must be in order."""
    held: list[Range] = []
    end = size = 0
    for item in ranges:
        if held and (size >= JOB or item.start > end + GAP):
            yield _Job(blob, held, end, size)
            held, end, size = [], 0, 0
        held.append(item)
        end = max(end, item.end)
        size += item.end - item.start
    if held:
        yield _Job(blob, held, end, size)


_Batch: TypeAlias = list[tuple[_Job, int, int]]
"""Jobs of one blob, each with the bounds of a piece to fetch; both are the same if all of it is near."""


def _batches(jobs: Iterable[_Job], most: int) -> Iterator[_Batch]:
    """The pieces of all jobs in their order, those that are fetched together in one batch: up to `most` bytes
    of one blob, wherever they are."""
    batch: _Batch = []
    size = 0
    for job in jobs:
        pieces = job.pieces(most) or [(job.start, job.start)]
        job.missing = len(pieces)
        for start, end in pieces:
            more = end - start or job.size  # then it is hashed at once, which another thread could do
            if batch and (batch[0][0].blob is not job.blob or size + more > most):
                yield batch
                batch, size = [], 0
            batch.append((job, start, end))
            size += more
    if batch:
        yield batch


def _fetch(batch: _Batch, scratch: memoryview) -> memoryview:
    """Fetch the pieces. Returns memory to be used as `scratch` the next time."""
    ranges = [(start, end) for _, start, end in batch if start < end]
    if not ranges:
        return scratch
    longest = max(end - start for start, end in ranges)
    if len(scratch) < longest:
        scratch = np.empty(longest, np.uint8).data
    try:
        if len(ranges) == 1:
            batch[0][0].blob.fetch(*ranges[0], scratch)
        else:
            batch[0][0].blob.fetch_many(ranges, scratch)
    except DamagedError:  # each job will find out which range it is
        for job, _, _ in batch:
            job.broken = True
    return scratch


def _checked_by_threads(feed: _Feed, fetchers: int, busy: bool) -> Iterator[tuple[int, list[str]]]:
    """The results of `_Job.check` for all jobs, as they become ready.

    Every thread takes the next piece; the one that fetched the last missing piece of a job hashes it, while
    the others go on fetching.
    """
    from queue import SimpleQueue

    results: SimpleQueue[tuple[int, list[str]] | None] = SimpleQueue()

    def work() -> None:
        try:
            for result in feed.checked():
                results.put(result)
        finally:
            feed.stop()
            results.put(None)

    from saver.threads import Threads, processors

    with Threads(max(processors() + busy, fetchers)) as pool:
        workers = [pool.submit(work) for _ in range(pool.count)]
        try:
            for _ in workers:
                yield from iter(results.get, None)
            for worker in workers:
                worker.result()
        finally:
            feed.stop()


class _Feed:
    """The bytes of jobs, in pieces of up to `most` bytes that are fetched strictly in their order."""

    def __init__(self, jobs: Iterable[_Job], most: int) -> None:
        self._batches = _batches(jobs, most)
        self._lock = Lock()

    def checked(self) -> Iterator[tuple[int, list[str]]]:
        """The results of `_Job.check` for the jobs whose last piece this call fetched."""
        scratch = memoryview(b"")
        while True:
            with self._lock:
                batch = next(self._batches, None)
            if batch is None:
                return
            scratch = _fetch(batch, scratch)
            for job, _, _ in batch:
                with self._lock:
                    job.missing -= 1
                    ready = job.missing == 0
                if ready:
                    yield job.check()

    def stop(self) -> None:
        """Hand out no more pieces."""
        with self._lock:
            self._batches = iter(())
