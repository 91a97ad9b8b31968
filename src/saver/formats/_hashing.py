"""Hashes and sums of what files of other tools hold, which have none of Saver's: taken on all processors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from blake3 import blake3

from saver.tensors import Bytes, Hashed, block_count, block_span, hashed_of

TOGETHER = 4 << 20
"""Bytes that one thread hashes at a time."""

SERIAL = 8 << 20
"""Up to this size, threads cost more than they gain."""

T = TypeVar("T")


def hash_all(arrays: Sequence[Bytes]) -> list[Hashed]:
    """The hashes of shards, whole or by blocks, as `saver.tensors` defines them."""
    spans = [span for array in arrays for span in _spans(array)]
    digests = iter(in_threads(lambda at: _digest(spans[at]), [span.size for span in spans]))
    return [hashed_of([*islice(digests, max(1, block_count(array.size)))], array.size) for array in arrays]


def in_threads(act: Callable[[int], T], sizes: Sequence[int]) -> list[T]:
    """The results of `act` for 0, 1 …: for as many as there are sizes, each that of the bytes it reads.
    Raises what the first one raises."""
    if sum(sizes) <= SERIAL:
        return [*map(act, range(len(sizes)))]
    from saver.threads import Threads, processors

    with Threads(processors()) as pool:
        try:
            runs = [pool.submit(_all, act, run) for run in _runs(sizes)]
            return [result for run in runs for result in run.result()]
        finally:
            pool.shutdown(cancel_futures=True)


def _all(act: Callable[[int], T], numbers: range) -> list[T]:
    return [*map(act, numbers)]


def _runs(sizes: Sequence[int]) -> Iterator[range]:
    """The numbers of those that are read together, `TOGETHER` bytes or somewhat more."""
    start = size = 0
    for at, each in enumerate(sizes, 1):
        size += each
        if size >= TOGETHER or at == len(sizes):
            yield range(start, at)
            start, size = at, 0


def _spans(array: Bytes) -> Iterator[Bytes]:
    """The blocks of a shard, or all of it."""
    count = block_count(array.size)
    for number in range(count):
        start, end = block_span(number, array.size)
        yield array[start:end]
    if not count:
        yield array


def _digest(array: Bytes) -> bytes:
    return blake3(array.data).digest()
