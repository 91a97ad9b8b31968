"""What the ring writes and what it has hashed, with sinks that compute and with others."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from saver.errors import CannotWriteError
from saver.pack import ring
from saver.storage import Sink

SIZES = [1, ring.CACHED - 1, 3, ring.RING_BUFFER, 0, 2 * ring.CACHED, ring.RING_BUFFER + 5, 7]


class Kept(Sink):
    """Keeps what is written, in memory; `fails` on the write at that offset."""

    def __init__(self, size: int, computes: bool, fails: int = -1) -> None:
        self.computes = computes
        self.data = bytearray(size + 4096)
        self.fails = fails

    def write(self, data: bytes | memoryview, offset: int) -> None:
        raise AssertionError("everything is written aligned")

    def write_aligned(self, data: memoryview, offset: int) -> None:
        if offset == self.fails:
            raise CannotWriteError("full")
        self.data[offset : offset + len(data)] = data


@pytest.mark.parametrize("computes", [False, True])
def test_what_is_hashed_is_what_is_written_in_order(computes: bool) -> None:
    source = [np.random.default_rng(size).integers(0, 255, size, np.uint8) for size in SIZES]
    whole, hashed, threads, told = b"".join(source), bytearray(), set[int](), list[int]()

    def hash(data: memoryview) -> None:
        threads.add(threading.get_ident())
        hashed.extend(data)

    sink = Kept(4096 + len(whole), computes)
    ring.write_through_ring(
        sink, source, hash, 4096, 4096 + len(whole), lambda done, total: told.append(done)
    )
    assert sink.data[4096 : 4096 + len(whole)] == hashed == whole
    assert len(threads) == 1
    assert (threads == {threading.get_ident()}) == computes
    assert told[-1] == 4096 + len(whole)
    assert told == sorted(told)


@pytest.mark.parametrize("computes", [False, True])
@pytest.mark.parametrize("culprit", ["hash", "sink"])
def test_a_failure_ends_the_save(computes: bool, culprit: str) -> None:
    def hash(data: memoryview) -> None:
        if culprit == "hash":
            raise CannotWriteError("full")

    size = 3 * ring.RING_BUFFER
    sink = Kept(size, computes, ring.RING_BUFFER if culprit == "sink" else -1)
    with pytest.raises(CannotWriteError, match="full"):
        ring.write_through_ring(sink, [np.zeros(size, np.uint8)], hash, 0, size, None)
