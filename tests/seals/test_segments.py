"""Segments: however an object is written and read, by any threads, it is AES-GCM under numbered nonces,
none of which is used twice."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from saver.errors import DamagedError
from saver.seals import segments
from saver.seals.aead import Aead
from saver.seals.segments import TAG, Grid, SegmentSink, grid_of, nonce, sealed_in_order
from saver.storage import Bytes, Content, Sink
from saver.storages.memory import MemoryBlob

SMALL = 64
"""Bytes of a segment in these tests, so that objects have many."""

KEY = bytes(range(32))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(segments, "SEGMENT", SMALL)
    patch.setattr("saver.seals.aead.SEGMENT", SMALL)


class Memory(Sink):
    """What was written."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        self.data[offset : offset + len(data)] = data

    write_aligned = write


class Counting:
    """A cipher that knows which nonces it was given."""

    def __init__(self) -> None:
        self.nonces: list[bytes] = []
        self._cipher = AESGCM(KEY)

    def encrypt_into(self, nonce: bytes, *more: Any) -> int:
        self.nonces.append(nonce)
        return self._cipher.encrypt_into(nonce, *more)

    def encrypt(self, nonce: bytes, *more: Any) -> bytes:
        self.nonces.append(nonce)
        return self._cipher.encrypt(nonce, *more)


def expected(data: bytes, grid: Grid) -> bytes:
    """Plain AES-GCM of each segment, written from the specification: segments, their tags, and zeros."""
    cipher, found, tags, at = AESGCM(KEY), b"", b"", 0
    while at < len(data):
        end = min(at + (grid.first if not at and grid.first else SMALL), len(data))
        sealed = cipher.encrypt((len(tags) // TAG).to_bytes(12, "big"), data[at:end], None)
        found, tags, at = found + sealed[:-TAG], tags + sealed[-TAG:], end
    return found + tags.ljust(TAG * (-(-len(data) // SMALL) + 1), b"\0")


sizes = st.integers(0, 5 * SMALL + 3)
firsts = st.integers(0, SMALL - 1)


@st.composite
def writes(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[int, int]]]:
    """An object, its first segment, and the cuts of its writes, in any order."""
    data = draw(st.binary(min_size=0, max_size=5 * SMALL))
    cuts = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=12))})
    pieces = list(pairwise(cuts))
    return data, draw(firsts), draw(st.permutations(pieces))


@given(writes(), st.booleans())
def test_any_order_and_cut_of_writes_gives_the_same_bytes(
    case: tuple[bytes, int, list[tuple[int, int]]], aligned: bool
) -> None:
    data, first, cuts = case
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        grid, cipher = Grid(len(data), min(first, len(data))), Counting()
        memory = Memory(5 + len(data) + grid.table)
        sink = SegmentSink(memory, cipher, 5, grid)  # type: ignore[arg-type]
        for start, end in cuts:
            if aligned and end == len(data):  # bytes beyond the object are dropped
                sink.write_aligned(memoryview(data[start:end] + b"beyond"), start)
            else:
                sink.write(data[start:end], start)
        sink.finish()
        assert bytes(memory.data) == bytes(5) + expected(data, grid)
        assert sorted(cipher.nonces) == [nonce(number) for number in range(grid.count)]
        again = Counting()
        in_order = b"".join(sealed_in_order(Cut(data, cuts), again, grid))  # type: ignore[arg-type]
        assert in_order == expected(data, grid)
        assert again.nonces == [nonce(number) for number in range(grid.count)]


class Cut(Content):
    """Bytes that come in pieces."""

    def __init__(self, data: bytes, cuts: list[tuple[int, int]]) -> None:
        self.size, self._data, self._cuts = len(data), data, sorted(cuts)

    def pieces(self) -> Iterator[bytes | memoryview]:
        return (self._data[start:end] for start, end in self._cuts)


def written(sink: SegmentSink, data: bytes, cuts: list[tuple[int, int]]) -> None:
    for start, end in cuts:
        sink.write(data[start:end], start)
    sink.finish()


@given(writes(), st.data())
def test_a_byte_that_is_written_twice_or_not_at_all_is_noticed(
    case: tuple[bytes, int, list[tuple[int, int]]], draw: st.DataObject
) -> None:
    """Else a nonce would be used again, or zeros be stored."""
    data, first, cuts = case
    if not cuts:
        return
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        at = draw.draw(st.integers(0, len(cuts) - 1))
        for changed in ([*cuts[:at], cuts[at], *cuts[at:]], [*cuts[:at], *cuts[at + 1 :]], [*cuts, cuts[at]]):
            grid, cipher = Grid(len(data), min(first, len(data))), Counting()
            sink = SegmentSink(Memory(len(data) + grid.table), cipher, 0, grid)  # type: ignore[arg-type]
            with pytest.raises(AssertionError):
                written(sink, data, changed)
            assert len(set(cipher.nonces)) == len(cipher.nonces)
        one, other = cuts[at]
        instead = [*cuts[:at], (one, other), *cuts[at + 1 :]]
        lost = draw.draw(st.integers(0, len(cuts) - 1))
        if lost != at:  # as many bytes as there should be, but not all of them
            grid, cipher = Grid(len(data), min(first, len(data))), Counting()
            sink = SegmentSink(Memory(len(data) + grid.table), cipher, 0, grid)  # type: ignore[arg-type]
            instead[lost] = (one, other)
            with pytest.raises(AssertionError):
                written(sink, data, instead)


def test_pieces_of_another_length_than_announced_are_refused(small: None) -> None:
    for content in (Cut(b"a" * 100, [(0, 99)]), Cut(b"a" * 101, [(0, 101)])):
        content.size = 100
        with pytest.raises(AssertionError, match="announced"):
            list(sealed_in_order(content, AESGCM(KEY), Grid(100)))


# The grid


@given(sizes, firsts)
def test_segments_tile_the_object(size: int, first: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        grid = Grid(size, min(first, size))
        ends = [grid.end(number) for number in range(grid.count)]
        starts = [grid.start(number) for number in range(grid.count)]
        assert starts == [0, *ends[:-1]][: grid.count]
        assert (ends[-1] if ends else 0) == size
        assert all(0 < end - start <= SMALL for start, end in zip(starts, ends, strict=True))
        assert all(
            end - start == SMALL
            for start, end in list(zip(starts, ends, strict=True))[bool(grid.first) : grid.count - 1]
        )
        assert TAG * grid.count <= grid.table
        for offset in range(size):
            number = grid.number(offset)
            assert starts[number] <= offset < ends[number]


@given(sizes.filter(bool), firsts, st.data())
def test_ranges_are_made_of_whole_segments(size: int, first: int, draw: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        grid = Grid(size, min(first, size))
        start = draw.draw(st.integers(0, size - 1))
        end = draw.draw(st.integers(start + 1, size))
        numbers = [n for n in range(grid.count) if grid.start(n) < end and start < grid.end(n)]
        assert grid.around(start, end) == (grid.start(numbers[0]), grid.end(numbers[-1]))
        inside = [n for n in numbers if start <= grid.start(n) and grid.end(n) <= end]
        found = grid.within(start, end)
        assert found == ((grid.start(inside[0]), grid.end(inside[-1])) if inside else (end, end))


@given(sizes, firsts)
def test_the_size_of_a_sealed_pack_tells_that_of_its_content(size: int, first: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        content = Bytes(bytes(size))
        content.start = first  # type: ignore[misc]
        seal = Aead(lambda: [KEY])
        raw = b"".join(seal.content("a", content).pieces())
        assert seal.size(len(raw)) == size
        assert len(raw) == seal.content("a", content).size
        assert grid_of(content).first == min(first, size)
        assert seal.blob("a", MemoryBlob("a", raw)).read() == bytes(size)


@given(st.integers(0, 200 * SMALL))
def test_a_size_that_no_sealed_pack_has_is_known(size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        found = Aead(lambda: [KEY]).size(4096 + size)
        fitting = [n for n in range(size + 1) if n + Grid(n).table == size]
        assert found == (fitting[0] if fitting else None)
        assert len(fitting) <= 1


# At the same time


DATA = random.Random(3).randbytes(4096 + 9 * (256 << 10) + 5000)


def pack() -> bytes:
    content = Bytes(DATA)
    content.start = 4096  # type: ignore[misc]
    return b"".join(Aead(lambda: [KEY]).content("a", content).pieces())


def reads(blob: Any, seed: int) -> bool:
    """Ranges that overlap, in each of the ways in which a blob is read."""
    drawing = random.Random(seed)
    for _ in range(12):
        start = drawing.randrange(len(DATA))
        end = min(start + drawing.choice([1, 4096, 300_000, 1_000_000]), len(DATA))
        match drawing.randrange(4):
            case 0:
                assert blob.read(start, end) == DATA[start:end]
            case 1:
                blob.fetch(start, end, memoryview(bytearray(1 << 20)))
                assert blob.map()[start:end].tobytes() == DATA[start:end]
            case 2:
                half = (start + end) // 2
                blob.fetch_many([(start, half), (half, end), (start, end)], memoryview(bytearray(1 << 20)))
                assert blob.map()[start:end].tobytes() == DATA[start:end]
            case _:
                start = start // 4096 * 4096
                memory = bytearray(end - start)
                assert blob.read_into(start, memoryview(memory)) == len(memory)
                assert memory == DATA[start:end]
    return True


def test_threads_read_overlapping_ranges() -> None:
    raw = pack()
    for seed in range(5):
        blob = Aead(lambda: [KEY]).blob("a", MemoryBlob("a", raw))
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(lambda number, b=blob, s=seed: reads(b, 100 * s + number), range(8)))


def test_threads_read_what_is_right_beside_what_is_damaged() -> None:
    raw = bytearray(pack())
    raw[4096 + 4096 + 3 * (256 << 10)] ^= 1
    bad = range(4096 + 3 * (256 << 10), 4096 + 4 * (256 << 10))
    blob = Aead(lambda: [KEY]).blob("a", MemoryBlob("a", bytes(raw)))

    def one(number: int) -> bool:
        start = number * (64 << 10)
        end = min(start + (300 << 10), len(DATA))
        try:
            blob.fetch(start, end, memoryview(bytearray(1)))
            found = blob.map()[start:end].tobytes()
        except DamagedError:
            return start < bad.stop and bad.start < end
        return found == DATA[start:end] and not (start < bad.stop and bad.start < end)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(len(DATA) // (64 << 10))))
    assert not blob.map()[bad.start : bad.stop].any()


def test_a_fork_in_the_middle_of_reading_reads_on() -> None:
    """In the parent and in the child, also if another thread of the parent was just reading."""
    blob = Aead(lambda: [KEY]).blob("a", MemoryBlob("a", pack()))
    blob.fetch(0, 500_000, memoryview(bytearray(1)))
    with ThreadPoolExecutor(2) as threads:
        busy = [threads.submit(reads, blob, seed) for seed in (1, 2)]
        for seed in range(5):
            child = os.fork()
            if not child:
                code = 1
                try:
                    code = 0 if reads(blob, 10 + seed) else 1
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
        assert all(each.result() for each in busy)
    assert reads(blob, 99)


def test_threads_write_a_pack_in_any_order() -> None:
    content = Bytes(DATA)
    content.start = 4096  # type: ignore[misc]
    grid, cipher = grid_of(content), AESGCM(KEY)
    memory = Memory(len(DATA) + grid.table)
    sink = SegmentSink(memory, cipher, 0, grid)
    cuts = sorted({0, len(DATA), *random.Random(4).sample(range(len(DATA)), 60)})
    pieces = list(pairwise(cuts))
    random.Random(5).shuffle(pieces)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda each: sink.write(DATA[each[0] : each[1]], each[0]), pieces))
    sink.finish()
    assert bytes(memory.data) == b"".join(sealed_in_order(content, cipher, grid))


def test_threads_that_write_the_same_segment_encrypt_it_once() -> None:
    grid, cipher = Grid(len(DATA), 4096), Counting()
    sink = SegmentSink(Memory(len(DATA) + grid.table), cipher, 0, grid)  # type: ignore[arg-type]
    start, end = grid.start(3), grid.end(5)

    def write(_: int) -> bool:
        try:
            sink.write(DATA[start:end], start)
        except AssertionError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(write, range(16))) == 1
    assert len(set(cipher.nonces)) == len(cipher.nonces) == 3


def test_a_write_that_fails_and_is_tried_again_takes_another_key() -> None:
    """A storage may call `write` or `pieces` again: the salt is another one, and so are key and header."""

    class Full(Memory):
        def write(self, data: bytes | memoryview, offset: int) -> None:
            raise OSError(28, "the disk is full")

    salts: list[bytes] = []

    def fresh(size: int) -> bytes:
        salts.append(os.urandom(size))
        return salts[-1]

    content = Aead(lambda: [KEY], fresh=fresh).content("a", Bytes(b"a" * 1000))
    with pytest.raises(OSError, match="full"):
        content.write(Full(content.size))
    memory = Memory(content.size)
    content.write(memory)
    made: list[Callable[[], bytes]] = [
        lambda: bytes(memory.data), lambda: b"".join(content.pieces()), lambda: b"".join(content.pieces())
    ]  # fmt: skip
    found = [act() for act in made]
    assert len(set(salts)) == len(salts) == 4
    assert len({each[4096:] for each in found}) == 3
    for each in found:
        assert Aead(lambda: [KEY]).blob("a", MemoryBlob("a", each)).read() == b"a" * 1000


def test_large_writes_from_memory_of_numpy_are_the_same() -> None:
    """More than is encrypted at once, from the end of a header on, as writers of packs do."""
    data = np.random.default_rng(1).bytes(4096 + (9 << 20) + 17)
    content = Bytes(data)
    content.start = 4096  # type: ignore[misc]
    grid, cipher = grid_of(content), AESGCM(KEY)
    memory = Memory(len(data) + grid.table)
    sink = SegmentSink(memory, cipher, 0, grid)
    buffer = np.frombuffer(data, np.uint8)
    for at in range(4096, len(data), 4 << 20):
        sink.write_aligned(buffer[at : at + (4 << 20)].data, at)
    sink.write(data[:4096], 0)
    sink.finish()
    assert bytes(memory.data) == b"".join(sealed_in_order(content, cipher, grid))
