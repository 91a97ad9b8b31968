"""Writes large data: copies, hashes and writes at the same time, through a small ring of buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from saver.errors import CannotWriteError
from saver.memory import huge_pages
from saver.storage import ALIGNMENT, Progress, Sink
from saver.tensors import Bytes

if TYPE_CHECKING:
    from concurrent.futures import Future

RING_BUFFER = 4 << 20
RING_LENGTH = 8
"""Buffers of the ring: 32 MiB keep two writers and the hasher busy; larger rings were not faster."""

WRITERS = 2

CACHED = 1 << 20
"""Bytes that are copied and then hashed from the cache of one processor: a sealed save took 0.42 to 0.49 s of
the processors' time per GB, and 0.48 to 0.57 with buffers of 4 MiB that another thread hashed."""


def write_through_ring(
    sink: Sink,
    source: Iterable[Bytes],
    hash: Callable[[memoryview], None],
    start: int,
    end: int,
    progress: Progress | None,
) -> None:
    """Write the bytes of `source` from `start` to `end`, which is the end of the file. One thread passes them
    to `hash`, in order; two write them. Where writing keeps processors busy, this thread hashes what it has
    just copied, which takes less of them."""
    from saver.threads import Threads  # small files need none: saves 5 ms of `import saver`

    ring = _ring()
    busy: list[list[Future[None]]] = [[] for _ in ring]
    at_once = sink.computes
    with Threads(0 if at_once else 1) as hasher, Threads(WRITERS) as writers:
        try:
            at = start
            for turn, length in _fill(ring, busy, source, hash if at_once else None):
                whole = -(-length // ALIGNMENT) * ALIGNMENT
                busy[turn] = [writers.submit(sink.write_aligned, ring[turn][:whole].data, at)]
                if not at_once:
                    busy[turn].append(hasher.submit(hash, ring[turn][:length].data))
                at += length
                if progress is not None:
                    progress(at, end)
            for work in busy:
                _wait(work)
        except BaseException:
            for pool in (hasher, writers):
                pool.shutdown(cancel_futures=True)
            raise


def _ring() -> list[NDArray[np.uint8]]:
    """The buffers. Raises CannotWriteError if there is no memory for them."""
    size = RING_BUFFER * RING_LENGTH
    try:
        memory = huge_pages(size)
    except MemoryError as error:
        raise CannotWriteError(
            f"there is no memory for {error}, through which tensors are written; nothing was written; "
            "free some memory, and save again"
        ) from error
    return [memory[at : at + RING_BUFFER] for at in range(0, size, RING_BUFFER)]


def _wait(work: list[Future[None]]) -> None:
    for future in work:
        future.result()
    work.clear()


def _fill(
    ring: Sequence[NDArray[np.uint8]],
    busy: list[list[Future[None]]],
    source: Iterable[NDArray[np.uint8]],
    hash: Callable[[memoryview], None] | None,
) -> Iterator[tuple[int, int]]:
    """Copy `source` into the ring, buffer by buffer; yields the buffer's number and the bytes in it. What was
    copied is passed to `hash`, while it is in the cache."""
    longest = RING_BUFFER if hash is None else CACHED
    turn = used = 0
    for piece in source:
        at, size = 0, piece.size
        while at < size:
            if used == 0:
                _wait(busy[turn])
            take = min(size - at, RING_BUFFER - used, longest)
            ring[turn][used : used + take] = piece[at : at + take]
            if hash is not None:
                hash(ring[turn][used : used + take].data)
            at += take
            used += take
            if used == RING_BUFFER:
                yield turn, used
                turn, used = (turn + 1) % len(ring), 0
    if used:
        yield turn, used
