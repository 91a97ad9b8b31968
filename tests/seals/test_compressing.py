"""Compressed packs: what is written, in every way that a storage takes it, is read again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saver.errors import CannotWriteError
from saver.pack import PackWriter
from saver.seals import compressing
from saver.seals.compressing import CompressedContent, compressed
from saver.seals.decompressing import DecompressedBlob
from saver.seals.frames import FRAME, ITEMS, Cuts, items_of, shuffled, unshuffle
from saver.seals.recognizing import opened
from saver.storage import ALIGNMENT, Bytes, Content, Sink
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryBlob, MemoryStorage
from saver.tensors import TensorData
from sealing import sealed

zstandard = pytest.importorskip("zstandard")


def tensor(dtype: str, array: Any) -> TensorData:
    return TensorData(dtype, array.shape, np.frombuffer(array.tobytes(), np.uint8))


def tensors(count: int, seed: int = 0) -> dict[str, TensorData]:
    random = np.random.default_rng(seed)
    return {
        "weights": tensor("F32", random.normal(0, 0.01, count).astype("<f4")),
        "ids": tensor("I64", random.integers(0, 1000, count // 2)),
        "text": tensor("U8", np.frombuffer(random.bytes(count // 3), np.uint8)),
        "zeros": tensor("U8", np.zeros(count // 2, np.uint8)),
    }


def writer(count: int) -> PackWriter:
    return PackWriter(tensors(count), ident="0" * 32)


def plain(content: Content) -> bytes:
    return b"".join(map(bytes, content.pieces()))


class Pieces(Content):
    """Bytes that are written in pieces, in another order."""

    def __init__(self, data: bytes, sizes: list[int], start: int = 0) -> None:
        self.size, self.start = len(data), start
        self._data, self._sizes = data, sizes

    def pieces(self) -> Iterator[bytes | memoryview]:
        at = 0
        while at < self.size:
            size = self._sizes[at % len(self._sizes)]
            yield self._data[at : at + size]
            at += size

    def write(self, sink: Sink) -> None:
        at, pieces = 0, []
        for piece in self.pieces():
            pieces.append((bytes(piece), at))
            at += len(piece)
        random.Random(0).shuffle(pieces)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda each: sink.write(*each), pieces))


@pytest.fixture(params=["in order", "by offset", "sealed, in order", "sealed, by offset"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if "sealed" in request.param:
        pytest.importorskip("cryptography")
    inner = LocalStorage(tmp_path) if "offset" in request.param else MemoryStorage()
    return sealed(inner) if "sealed" in request.param else inner


COUNTS = (3000, 400_000, 2_000_000, 3_500_000)
"""Packs that are held in memory, and such as are written through the ring."""


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("held", [True, False])
def test_a_pack_is_read_as_it_was(
    storage: Any, count: int, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its frames did not stay in memory, and were compressed twice."""
    monkeypatch.setattr(compressing, "TINY", 0)
    if not held:
        monkeypatch.setattr(compressing, "HELD", 0)
    content = compressed(writer(count))
    bound = content.size
    storage.put("packs/a.bin", content)
    stored = storage.open("packs/a.bin")
    assert stored.size == content.size <= bound
    assert content.size < 0.9 * writer(count).size
    found, expected = opened(stored), plain(writer(count))
    assert isinstance(found, DecompressedBlob)
    assert found.read() == expected
    blob = opened(storage.open("packs/a.bin"))
    for _ in range(20):
        start, end = sorted(random.Random(count).sample(range(blob.size), 2))
        assert blob.read(start, end) == expected[start:end]
        blob.fetch(start, end, memoryview(b""))
        assert blob.map()[start:end].tobytes() == expected[start:end]


def test_both_ways_give_the_same_bytes_once_sizes_are_known(tmp_path: Path) -> None:
    content = CompressedContent(writer(3_000_000))
    content.settle()
    storage = LocalStorage(tmp_path)
    storage.put("packs/a.bin", content)
    assert storage.read("packs/a.bin") == plain(content)
    assert plain(content) == plain(CompressedContent(writer(3_000_000))), "and always the same"


def test_a_compressed_pack_is_a_safetensors_file(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    path = tmp_path / "a.safetensors"
    path.write_bytes(plain(CompressedContent(writer(400_000))))
    with safetensors.safe_open(path, "numpy") as file:
        assert {*file.keys()} == {"sealed", "table"}


def test_frames_begin_at_pages_and_where_large_writes_do() -> None:
    content = CompressedContent(writer(3_000_000))
    read = DecompressedBlob(MemoryBlob("a", plain(content)))._read
    assert read.cuts.start(1) == writer(3_000_000).start
    for number in range(read.cuts.count):
        assert read.place(number)[0] % ALIGNMENT == 0


def test_noise_stays_as_it_is() -> None:
    noise = Bytes(np.random.default_rng(0).bytes(3 << 20))
    assert compressed(noise) is noise
    large = Bytes(np.random.default_rng(0).bytes(12 << 20))
    assert len(plain(compressed(large))) < large.size + 3 * ALIGNMENT
    small = Bytes(bytes(1000))
    assert compressed(small) is small


def test_what_changes_between_two_passes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressing, "HELD", 0)
    array = np.zeros(3_000_000, "<f4")
    data = TensorData("F32", array.shape, array.view(np.uint8))
    content = compressed(PackWriter({"a": data}))
    content.settle()
    array[:] = np.random.default_rng(0).normal(size=array.shape)
    storage = MemoryStorage()
    with pytest.raises(CannotWriteError, match="changed while it was being saved"):
        storage.put("packs/a.bin", content)
    assert not list(storage.keys(""))


def test_numbers_are_shuffled_and_bytes_are_not() -> None:
    """What a pack says of its numbers, frame by frame."""
    content = writer(6_000_000)
    cuts = compressing.cuts_of(content)
    found = items_of(content, cuts)
    assert found[0] == 1, "the header"
    assert {*found[1:]} == {1, 4, 8}


@given(st.binary(max_size=200), st.sampled_from(ITEMS))
def test_what_is_shuffled_comes_back(data: bytes, item: int) -> None:
    memory = bytearray(len(data))
    unshuffle(memoryview(shuffled(memoryview(data), item)), item, memoryview(memory))
    assert memory == data


@given(st.integers(1, 5 * FRAME), st.integers(0, FRAME - 1))
def test_frames_tile_the_bytes(size: int, first: int) -> None:
    cuts = Cuts(size, min(first, size))
    ends = [cuts.start(0), *(cuts.end(number) for number in range(cuts.count))]
    assert ends[0] == 0
    assert ends[-1] == size
    for number in range(cuts.count):
        assert cuts.start(number) == ends[number] < cuts.end(number)
        assert cuts.number(cuts.start(number)) == cuts.number(cuts.end(number) - 1) == number
        assert cuts.length(number) <= FRAME


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 9 << 20), st.integers(0, FRAME), st.lists(st.integers(1, 3 << 20), min_size=1, max_size=4)
)
def test_it_does_not_matter_in_which_pieces_it_is_written(size: int, start: int, sizes: list[int]) -> None:
    data = np.resize(np.arange(70_000, dtype="<u4"), size // 4 + 1).tobytes()[:size]
    sizes = [max(each, size // 50 + 1) for each in sizes]
    content = CompressedContent(Pieces(data, sizes, min(start, size)))
    content.settle()
    assert opened(MemoryBlob("a", plain(content))).read() == data


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_a_write_that_failed_may_be_repeated(fails: int, tmp_path: Path) -> None:
    content = compressed(writer(3_000_000))
    left = [fails]

    class Failing(Sink):
        def write(self, data: bytes | memoryview, offset: int) -> None:
            self.write_aligned(memoryview(data), offset)

        def write_aligned(self, data: memoryview, offset: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise CannotWriteError("the disk is full")

    with pytest.raises(CannotWriteError, match="full"):
        content.write(Failing())
    storage = LocalStorage(tmp_path)
    storage.put("packs/a.bin", content)
    assert opened(storage.open("packs/a.bin")).read() == plain(writer(3_000_000))


class Kept(MemoryBlob):
    """A blob of which this machine kept a copy with wrong bytes."""

    def __init__(self, data: bytes, spoiled: bytes) -> None:
        super().__init__("a", spoiled)
        self._good = data

    def anew(self, ranges: Any) -> bool:
        self._data = self._good
        return True


@pytest.mark.parametrize("spoil", [bytes, lambda size: b"\xff" * size])
def test_a_wrong_copy_is_read_again(spoil: Callable[[int], bytes]) -> None:
    data = plain(CompressedContent(writer(400_000)))
    start, end = DecompressedBlob(MemoryBlob("a", data))._read.place(1)
    blob = DecompressedBlob(Kept(data, data[:start] + spoil(end - start) + data[end:]))
    assert blob.read() == plain(writer(400_000))
