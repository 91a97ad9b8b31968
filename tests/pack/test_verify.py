"""Verification: whatever is damaged is named, however the ranges lie in however many objects."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saver import threads
from saver.disk.files import Files
from saver.disk.mapped import MappedFile, open_file
from saver.errors import CannotReadError, DamagedError, NotFoundError
from saver.pack import Pack, PackWriter, Range, damaged, verify
from saver.storage import Blob
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.tensors import TensorData

quick = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


class Remote(Blob):
    """An object of which nothing is there that was not fetched, and which says what was."""

    def __init__(self, data: bytes, name: str = "remote", broken: Sequence[int] = ()) -> None:
        self.name, self.size, self.fetched = name, len(data), list[tuple[int, int]]()
        self._data, self._broken = data, broken
        self._map = np.full(len(data), 0xEE, np.uint8)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return self._data[start:end]

    def map(self) -> Any:
        return self._map

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        assert 0 <= start < end <= self.size
        assert len(scratch) >= end - start
        if any(start <= at < end for at in self._broken):
            raise DamagedError("the disk cannot read it")
        self.fetched.append((start, end))
        self._map[start:end] = np.frombuffer(self._data[start:end], np.uint8)

    def near(self, start: int, end: int) -> bool:
        return False


def content(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def digest(data: bytes) -> str:
    return str(blake3(data).hexdigest())


def range_of(blob: Blob, start: int, end: int, name: str) -> Range:
    return Range(name, start, end, digest(blob.read(start, end)))


bounds = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 300_000), st.integers(0, 120_000), st.booleans()), max_size=30
)


@pytest.mark.parametrize("serial", [True, False])
@quick
@given(bounds=bounds)
def test_exactly_what_is_damaged_is_named(bounds: Any, serial: bool) -> None:
    """In any order, with gaps, twice, overlapping, over several objects."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "SERIAL", 1 << 40 if serial else -1)
        patch.setattr(verify, "JOB", 40_000)
        patch.setattr(verify, "READ", 10_000)
        patch.setattr(verify, "GAP", 5_000)
        blobs = [Remote(content(300_000, seed)) for seed in range(3)]
        ranges, wrong = list[Range](), set()
        of_blobs: list[list[Range]] = [[], [], []]
        for number, (blob, start, length, sound) in enumerate(bounds):
            item = range_of(blobs[blob], start, min(start + length, 300_000), str(number))
            if not sound:
                item = Range(item.name, item.start, item.end, digest(b"another"))
                wrong.add(item.name)
            ranges.append(item)
            of_blobs[blob].append(item)
        told: list[tuple[int, int]] = []
        assert damaged(zip(blobs, of_blobs, strict=True), lambda *now: told.append(now)) == wrong
        total = sum(item.end - item.start for item in ranges)
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert not ranges or told[-1] == (total, total)
        assert {whole for _, whole in told} <= {total}


def test_only_what_is_requested_is_fetched_and_in_order() -> None:
    far = verify.GAP + 1
    blob = Remote(content(10 * far))
    asked = [(0, 1000), (2000, 3000), (3000 + far, 4000 + far), (8 * far, 8 * far)]
    assert damaged([(blob, [range_of(blob, *at, name="x") for at in reversed(asked)])]) == set()
    assert blob.fetched == [(0, 3000), (3000 + far, 4000 + far)], "what is close by is fetched at once"


def test_many_packs_are_checked_at_once(tmp_path: Path) -> None:
    store = LocalStorage(tmp_path)
    packs = []
    for number in range(20):
        tensors = {
            name: TensorData("U8", (400_000,), np.frombuffer(content(400_000, number), np.uint8))
            for name in ("a", "b")
        }
        writer = PackWriter(tensors)
        store.put(f"packs/{writer.id}.safetensors", writer)
        packs.append(writer)
    hit = packs[13]
    with open(tmp_path / f"packs/{hit.id}.safetensors", "r+b") as file:
        file.seek(hit.shards["b"].extents[0][1] + 17)
        file.write(b"x" if content(400_000, 13)[17:18] != b"x" else b"y")
    wanted = []
    for number, writer in enumerate(packs):
        blob = store.open(f"packs/{writer.id}.safetensors")
        found = Pack(blob).ranges()
        wanted.append(
            (blob, [Range(f"{each.name} {number}", each.start, each.end, each.hash) for each in found])
        )
    assert damaged(wanted) == {"b 13"}


@pytest.mark.parametrize("size", [1000, 9 << 20])
def test_names_may_come_in_any_order(size: int, tmp_path: Path) -> None:
    """Also those of large tensors, which threads read in the order of the file."""
    names = [f"{number}" for number in range(4)]
    store = MemoryStorage()
    writer = PackWriter(
        {name: TensorData("U8", (size,), np.frombuffer(content(size), np.uint8)) for name in names}
    )
    raw = bytearray(writer.size)
    store.put("a", writer)
    raw[:] = store.read("a")
    raw[writer.shards["2"].extents[0][1]] ^= 1
    store.create("b", raw)
    pack = Pack(store.open("b"))
    lost = "2"
    assert pack.damaged(reversed(names)) == {lost}
    assert pack.damaged([name for name in reversed(names) if name != lost]) == set()
    with pytest.raises(DamagedError, match=f"the bytes of {lost} are not"):
        pack.source().verify(reversed(names))


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1001), (1001, 1002), (-5, 10), (500, 400), (0, 10**18), (10**18, 10**19)]
)
def test_a_range_outside_of_its_object_is_damaged(start: int, end: int) -> None:
    """A forged document may say anything; nothing of that size is read or allocated."""
    blob = Remote(content(1000))
    sound = range_of(blob, 0, 1000, "sound")
    assert damaged([(blob, [Range("x", start, end, digest(b"")), sound])]) == {"x"}
    assert blob.fetched == [(0, 1000)]


@pytest.mark.parametrize("serial", [True, False])
def test_what_the_disk_cannot_read_is_damaged_and_its_neighbours_are_not(
    serial: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SERIAL", 1 << 40 if serial else -1)
    blob = Remote(content(50_000), broken=[12_345, 40_000])
    ranges = [range_of(blob, at, at + 1000, str(at)) for at in range(0, 50_000, 1000)]
    assert damaged([(blob, ranges)]) == {"12000", "40000"}


@pytest.mark.parametrize("serial", [True, False])
@pytest.mark.parametrize("error", [NotFoundError, CannotReadError, RuntimeError])
def test_other_errors_are_raised(
    error: type[Exception], serial: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SERIAL", 1 << 40 if serial else -1)

    class Gone(Remote):
        def fetch(self, start: int, end: int, scratch: memoryview) -> None:
            raise error("gone")

    blob = Gone(content(20 << 20))
    with pytest.raises(error, match="gone"):
        damaged([(blob, [range_of(blob, at, at + (1 << 20), "x") for at in range(0, 20 << 20, 1 << 20)])])


class Cut(Files):
    """A file that another program makes shorter, once it is open."""

    def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
        return super().read_into(file, buffer[: max(0, 5000 - offset)], offset, wait) if offset < 5000 else 0


class Broken(Files):
    """A disk that has lost a part of a file."""

    def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
        if offset <= 6000 < offset + len(buffer):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read_into(file, buffer, offset, wait)


@pytest.mark.parametrize(("files", "lost"), [(Cut(), {"5000", "6000", "7000"}), (Broken(), {"6000"})])
def test_a_file_that_is_cut_or_broken_is_damaged_where_it_is(
    files: Files, lost: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MappedFile, "near", lambda self, start, end: False)
    path = tmp_path / "a"
    path.write_bytes(content(8000))
    whole = open_file(str(path))
    ranges = [range_of(whole, at, at + 1000, str(at)) for at in range(0, 8000, 1000)]
    assert damaged([(open_file(str(path), files=files), ranges)]) == lost


def test_what_is_in_the_page_cache_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content(100_000))
    blob = open_file(str(path))
    blob.fetch(0, 100_000, memoryview(bytearray(100_000)))
    assert blob.near(0, 100_000) is True
    assert blob.near(0, 100_001) is False


class Slow(Remote):
    """One that fetches many ranges in one call, and counts its calls."""

    calls = 0

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self.calls += 1
        super().fetch(start, end, scratch)

    def fetch_many(self, ranges: Sequence[tuple[int, int]], scratch: memoryview) -> None:
        self.calls += 1
        for start, end in ranges:
            super().fetch(start, end, scratch)


@pytest.mark.parametrize("count", [1, 2, 300])
@pytest.mark.parametrize("length", [1000, 20_000])
def test_distant_ranges_are_fetched_in_as_few_calls_as_near_ones(count: int, length: int) -> None:
    step = length + verify.GAP + 1
    data = content(count * step)
    blob = Slow(data)
    ranges = [
        Range(str(at), at, at + length, blake3(data[at : at + length]).hexdigest())
        for at in range(0, count * step, step)
    ]
    assert damaged([(blob, ranges)]) == set()
    assert blob.calls <= 1 + count * length // (verify.READ - length)
    assert sum(end - start for start, end in blob.fetched) == count * length, "and nothing between them"


def test_what_was_hashed_where_it_lies_is_not_read_again_but_counts() -> None:
    sure, other = Remote(content(300)), Remote(content(500, 1), "other")
    sure.hashed = True
    ranges = [Range("a", 0, 100, "0" * 64), Range("b", 100, 300, "0" * 64), Range("far", 200, 301, "0" * 64)]
    digest = blake3(content(500, 1)).hexdigest()
    seen: list[tuple[int, int]] = []
    lost = damaged([(sure, ranges), (other, [Range("c", 0, 500, digest)])], lambda *done: seen.append(done))
    assert lost == {"far"}
    assert sure.fetched == []
    assert other.fetched == [(0, 500)]
    assert seen == [(300, 800), (800, 800)]


@pytest.mark.parametrize("decrypts", [False, True])
def test_where_threads_decrypt_one_more_keeps_the_disk_busy(
    decrypts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, begun = content(4 * verify.JOB), list[int]()

    class Counted(threads.Threads):
        def __init__(self, count: int) -> None:
            begun.append(count)
            super().__init__(count)

    monkeypatch.setattr(threads, "Threads", Counted)
    monkeypatch.setattr(threads, "processors", lambda: 2)
    blob = Remote(data)
    blob.decrypts = decrypts
    step = verify.JOB
    ranges = [
        Range(str(at), at, at + step, blake3(data[at : at + step]).hexdigest())
        for at in range(0, len(data), step)
    ]
    assert damaged([(blob, ranges)]) == set()
    assert begun == [2 + decrypts]
