"""The best speed of the device for any program: raw writes, raw reads, bare hashing."""

from __future__ import annotations

import mmap
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from benchmarks.measure import make_cold, remove

MIB = 1 << 20
HASH_PIECE = 16 * MIB


@dataclass(frozen=True, slots=True)
class Way:
    """One way to move bytes: direct or through the page cache, threads, and bytes per call."""

    direct: bool
    threads: int
    buffer: int

    def __str__(self) -> str:
        kind = "direct" if self.direct else "buffered"
        return f"{kind}, {self.threads} thread{'s' * (self.threads > 1)}, {self.buffer // MIB} MiB"


WRITES = [Way(True, threads, size * MIB) for threads in (1, 2, 4) for size in (1, 4, 16)]
READS = [
    Way(direct, threads, size * MIB)
    for direct in (False, True)
    for threads in (1, 2, 4, 8)
    for size in (1, 4)
]


def _flag(way: Way) -> int:
    return os.O_DIRECT if way.direct else 0


def _buffers(way: Way) -> list[mmap.mmap]:
    """One aligned buffer for each thread, warm, full of incompressible bytes, in huge pages if possible."""
    filling = random.Random(0).randbytes(MIB)
    buffers = [mmap.mmap(-1, way.buffer, access=mmap.ACCESS_COPY) for _ in range(way.threads)]
    for buffer in buffers:
        buffer.madvise(mmap.MADV_HUGEPAGE)
        buffer.write(filling * (way.buffer // MIB))
    return buffers


def _each_thread(way: Way, size: int, move: Callable[[memoryview, int], int]) -> float:
    """Seconds for the threads to move `size` bytes, each taking the next piece when it is free."""
    buffers = [memoryview(buffer) for buffer in _buffers(way)]
    pieces: Iterator[int] = count()

    def work(buffer: memoryview) -> None:
        while (at := next(pieces) * way.buffer) < size:
            end = min(at + way.buffer, -(-size // 4096) * 4096)
            while at < end:
                moved = move(buffer[: end - at], at)
                if moved == 0:
                    return
                at += moved

    with ThreadPoolExecutor(way.threads) as pool:
        list(pool.map(lambda _: None, range(way.threads)))  # start the threads before the clock
        begin = time.perf_counter()
        list(pool.map(work, buffers))
        return time.perf_counter() - begin


def raw_write(path: Path, size: int, way: Way) -> float:
    """Seconds to reserve a new file of `size` bytes, fill it, and fsync it and its folder."""
    begin = time.perf_counter()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _flag(way), 0o666)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.posix_fallocate(descriptor, 0, -(-size // 4096) * 4096)
        before = time.perf_counter() - begin
        moving = _each_thread(way, size, lambda buffer, at: os.pwrite(descriptor, buffer, at))
        begin = time.perf_counter()
        os.fsync(descriptor)
        os.fsync(folder)
        return before + moving + time.perf_counter() - begin
    finally:
        os.close(descriptor)
        os.close(folder)


def raw_read(path: Path, size: int, way: Way) -> float:
    """Seconds to read `size` bytes into buffers that are reused."""
    descriptor = os.open(path, os.O_RDONLY | _flag(way))
    try:
        return _each_thread(way, size, lambda buffer, at: os.preadv(descriptor, [buffer], at))
    finally:
        os.close(descriptor)


def hashing(size: int, threads: int) -> float:
    """Seconds for `threads` threads to hash `size` bytes of warm memory, larger than the caches."""
    memory = _warm_memory().data.cast("B")
    pieces = [min(HASH_PIECE, size - at) for at in range(0, size, HASH_PIECE)]
    slots = len(memory) // HASH_PIECE

    def work(number: int) -> None:
        at = number % slots * HASH_PIECE
        blake3(memory[at : at + pieces[number]]).digest()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: None, range(threads)))
        begin = time.perf_counter()
        list(pool.map(work, range(len(pieces))))
        return time.perf_counter() - begin


_memory: list[NDArray[np.int64]] = []


def _warm_memory() -> NDArray[np.int64]:
    if not _memory:
        _memory.append(np.random.default_rng(0).integers(0, 1 << 62, 32 * MIB))
    return _memory[0]


@dataclass(frozen=True, slots=True)
class Fastest:
    """The ways that were fastest in a first measurement; every round measures them all again."""

    writes: tuple[Way, ...]
    reads: tuple[Way, ...]


def fastest(folder: Path, size: int, tries: int = 2, keep: int = 3) -> Fastest:
    """Measure all ways with `size` bytes; keep those with the best medians."""
    path = folder / "limit"
    writing: dict[Way, list[float]] = {way: [] for way in WRITES}
    reading: dict[Way, list[float]] = {way: [] for way in READS}
    for _ in range(tries):
        for way, seconds in writing.items():
            seconds.append(raw_write(path, size, way))
            remove(path)
    raw_write(path, size, WRITES[0])
    for _ in range(tries):
        for way, seconds in reading.items():
            make_cold(path)
            seconds.append(raw_read(path, size, way))
    remove(path)
    return Fastest(_best(writing, keep), _best(reading, keep))


def _best(seconds: dict[Way, list[float]], keep: int) -> tuple[Way, ...]:
    return tuple(sorted(seconds, key=lambda way: median(seconds[way]))[:keep])
