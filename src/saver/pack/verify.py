"""Checks the bytes of tensors against their hashes, on all processors, at the speed of the disk.

What is in the page cache is hashed where it is mapped. What is not is read by large reads into a
small buffer of the thread and hashed there, which also fills the cache for the mapping: page faults
would fetch it in small pieces, and reading it into fresh memory costs more than hashing it.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.errors import Damaged
from saver.pack.layout import BLOCK, Entry, Progress

READ = 1 << 20
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
    mapped: NDArray[np.uint8],
    base: int,
    entries: Sequence[Entry],
    progress: Progress | None = None,
) -> None:
    """Raise Damaged, naming the tensors, unless every entry's bytes have its hash.

    `base` is where the data begins in the file, which `mapped` holds whole.
    """
    lost: set[str] = {e.name for e in entries if e.blocks and not _root_matches(e)}
    total = sum(entry.length for entry in entries)
    done = 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        checker = _Checker(descriptor, mapped)
        if total <= SERIAL:
            results: Iterator[tuple[int, list[str]]] = map(checker.check, _jobs(entries, base))
            for _, names in results:
                lost.update(names)
        else:
            with ThreadPoolExecutor(_threads()) as pool:
                for size, names in pool.map(checker.check, _jobs(entries, base)):
                    lost.update(names)
                    done += size
                    if progress is not None:
                        progress(done, total)
    finally:
        os.close(descriptor)
    if lost:
        names_ = ", ".join(sorted(lost)[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        raise Damaged(
            f"{path}: the bytes of {names_} are not those that were saved; use a copy of the file, "
            "or load the other parts with lazy=True"
        )


def _root_matches(entry: Entry) -> bool:
    return blake3(b"".join(map(bytes.fromhex, entry.blocks))).hexdigest() == entry.hash


class _Checker:
    def __init__(self, descriptor: int, mapped: NDArray[np.uint8]) -> None:
        self._descriptor = descriptor
        self._mapped = mapped

    def check(self, job: list[_Range]) -> tuple[int, list[str]]:
        """How many bytes the job had, and the names of tensors whose hash is wrong."""
        first, last = job[0].start, job[-1].end
        hash_of = self._hash_mapped if self._cached(first, last) else self._hash_read
        lost = [item.name for item in job if hash_of(item.start, item.end) != item.hash]
        return sum(item.end - item.start for item in job), lost

    def _cached(self, start: int, end: int) -> bool:
        """Whether the first and last page are in the page cache; reading them would block if not."""
        no_wait = getattr(os, "RWF_NOWAIT", 0)
        if not no_wait:
            return False
        probe = bytearray(1)
        try:
            return all(
                os.preadv(self._descriptor, [probe], at, no_wait) == 1 for at in (start, max(start, end - 1))
            )
        except OSError:
            return False

    def _hash_mapped(self, start: int, end: int) -> str:
        return blake3(self._mapped[start:end].data).hexdigest()

    def _hash_read(self, start: int, end: int) -> str:
        hasher = blake3()
        buffer = memoryview(mmap.mmap(-1, min(READ, max(1, end - start))))
        while start < end:
            got = os.preadv(self._descriptor, [buffer[: min(len(buffer), end - start)]], start)
            if got == 0:
                break
            hasher.update(buffer[:got])
            start += got
        return hasher.hexdigest()
