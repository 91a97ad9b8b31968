"""Hostile compressed files: each is an error that names the file, and takes no memory that its size does not
warrant."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.seals.compressing import CompressedContent, header_for
from saver.seals.decompressing import DecompressedBlob
from saver.seals.frames import ENTRY, FRAME, Cuts, padded
from saver.seals.recognizing import is_compressed, opened
from saver.seals.zstd import unpack
from saver.storage import ALIGNMENT, Bytes
from saver.storages.memory import MemoryBlob

zstandard = pytest.importorskip("zstandard")

PLAIN = np.arange(2_500_000, dtype="<u4").tobytes()
CUTS = Cuts(len(PLAIN))
Rows = Any


def file_of(frames: Sequence[bytes], cuts: Cuts, change: Callable[[Rows], None] | None = None) -> bytes:
    """A file whose header and table vouch for these frames, whatever they are."""
    rows = np.zeros(len(frames), ENTRY)
    at = 0
    for row, frame in zip(rows, frames, strict=True):
        row["offset"], row["length"], row["item"], row["packed"] = at, len(frame), 1, 1
        at += padded(len(frame))
    if change is not None:
        change(rows)
    table = rows.tobytes()
    stored = b"".join(frame.ljust(padded(len(frame)), b"\0") for frame in frames)
    return header_for(cuts, len(stored), table) + stored + table


def compress(data: bytes, **options: Any) -> bytes:
    found: bytes = zstandard.ZstdCompressor(level=1, **options).compress(data)
    return found


def frames_of(data: bytes) -> list[bytes]:
    return [compress(data[at : at + FRAME]) for at in range(0, len(data), FRAME)]


def read(data: bytes) -> bytes:
    found = opened(MemoryBlob("the file", data))
    assert isinstance(found, DecompressedBlob)
    return found.read()


def test_the_forger_writes_what_is_read() -> None:
    """Otherwise all of them would be refused for another reason."""
    assert read(file_of(frames_of(PLAIN), CUTS)) == PLAIN


@pytest.fixture(scope="module")
def sound() -> bytes:
    return b"".join(map(bytes, CompressedContent(Bytes(PLAIN[: 6 << 20])).pieces()))


def test_every_byte_of_header_table_and_padding_is_vouched_for(sound: bytes) -> None:
    table = 2 * ENTRY.itemsize
    places = [*range(ALIGNMENT), *range(len(sound) - table, len(sound))]
    for at in places:
        spoiled = bytearray(sound)
        spoiled[at] ^= 1 << at % 8
        blob = MemoryBlob("the file", bytes(spoiled))
        if is_compressed(bytes(spoiled[:ALIGNMENT])):
            with pytest.raises(DamagedError, match="the file"):
                opened(blob).read()
        else:  # then it is at most what it calls itself: a file of another tool, with two arrays
            try:
                assert {*saver.load(io.BytesIO(bytes(spoiled)))} == {"sealed", "table"}
            except SaverError:
                pass


def test_every_byte_of_a_frame_is_vouched_for_if_it_is_compressed() -> None:
    data = bytes(np.arange(20_000, dtype="<u4").tobytes())
    file = b"".join(map(bytes, CompressedContent(Bytes(data)).pieces()))
    assert read(file) == data
    for at in range(ALIGNMENT, len(file) - ENTRY.itemsize, 7):
        spoiled = bytearray(file)
        spoiled[at] ^= 0x10
        try:
            assert read(bytes(spoiled)) == data, "a bit that means nothing"
        except DamagedError:
            pass


def test_a_file_that_was_cut_off_anywhere_is_damaged(sound: bytes) -> None:
    for length in [*range(0, ALIGNMENT, 97), *range(ALIGNMENT, len(sound), 50_021), len(sound) - 1]:
        with pytest.raises(SaverError):
            saver.loads(sound[:length])
    with pytest.raises(DamagedError):
        read(sound + b"\0")


CHANGES: dict[str, Callable[[Rows], None]] = {
    "a frame that begins within another": lambda rows: rows["offset"].__setitem__(1, 0),
    "a frame beyond the file": lambda rows: rows["offset"].__setitem__(1, 1 << 40),
    "an offset that overflows": lambda rows: rows["offset"].__setitem__(1, (1 << 64) - ALIGNMENT),
    "an offset between pages": lambda rows: rows["offset"].__setitem__(1, rows["offset"][1] + 1),
    "a frame longer than it is": lambda rows: rows["length"].__setitem__(0, rows["length"][0] + ALIGNMENT),
    "a frame as long as the numbers go": lambda rows: rows["length"].__setitem__(0, 0xFFFFFFFF),
    "a frame without bytes": lambda rows: rows["length"].__setitem__(2, 0),
    "a plain frame with the length of a compressed one": lambda rows: rows["packed"].__setitem__(0, 0),
    "a form that is unknown": lambda rows: rows["packed"].__setitem__(0, 2),
    "items of three bytes": lambda rows: rows["item"].__setitem__(0, 3),
    "items without bytes": lambda rows: rows["item"].__setitem__(0, 0),
    "bytes that must be zero": lambda rows: rows["zeros"].__setitem__(0, 1),
    "two frames exchanged": lambda rows: rows.__setitem__(slice(0, 2), rows[1::-1].copy()),
    "one frame twice": lambda rows: rows.__setitem__(1, rows[0]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_table_that_lies_is_refused(name: str) -> None:
    frames = frames_of(PLAIN)
    if name == "two frames exchanged":  # of different lengths, they say so themselves
        frames[1] = compress(PLAIN[: FRAME // 2])
    with pytest.raises(DamagedError, match="the file"):
        read(file_of(frames, CUTS, CHANGES[name]))


def test_two_frames_do_not_share_their_bytes() -> None:
    """Then a small file could become any size."""
    frames, cuts = [compress(PLAIN[:FRAME])] * 2, Cuts(2 * FRAME)
    assert read(file_of(frames, cuts)) == PLAIN[:FRAME] * 2
    with pytest.raises(DamagedError, match="the file"):
        read(file_of(frames, cuts, lambda rows: rows.__setitem__(1, rows[0])))


@pytest.mark.parametrize("cuts", [
    Cuts(len(PLAIN) + FRAME), Cuts(len(PLAIN) - FRAME), Cuts(0), Cuts(1 << 62), Cuts(len(PLAIN), FRAME),
    Cuts(len(PLAIN), 1), Cuts(len(PLAIN) + 1), Cuts(len(PLAIN) - 1),
])  # fmt: skip
def test_sizes_that_contradict_the_table_are_refused(cuts: Cuts) -> None:
    with pytest.raises(DamagedError, match="the file"):
        read(file_of(frames_of(PLAIN), cuts))


def bombs() -> Iterator[tuple[str, bytes]]:
    """Frames of 1,000 bytes, by what they say of themselves, and what they are."""
    large = compress(bytes(256 << 20))
    yield "one that becomes 256 MiB and says so", large
    yield "one that does not say what it becomes", compress(bytes(64 << 20), write_content_size=False)
    said = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(64 << 20))
    block = said[6:]
    yield "one that says 1,000 and becomes 64 MiB", said[:4] + b"\x60" + (744).to_bytes(2, "little") + block
    yield "two in one", compress(bytes(1000)) + compress(bytes(1000))
    yield "one with bytes behind", compress(bytes(1000)) + b"\0" * 100
    yield "a window of 2 GiB", said[:4] + b"\x40" + bytes([21 << 3]) + (744).to_bytes(2, "little") + block
    trained = zstandard.ZstdCompressionDict(b"words of a dictionary " * 50)
    yield "one with a dictionary", zstandard.ZstdCompressor(dict_data=trained).compress(b"words" * 200)
    yield "a frame to be skipped", b"\x50\x2a\x4d\x18" + (8).to_bytes(4, "little") + bytes(8)
    yield "nothing", b"\0" * 20
    yield "the beginning of one", compress(PLAIN[:1000])[:40]
    yield "one with a wrong checksum", compress(PLAIN[:1000], write_checksum=True)[:-1] + b"\x77"
    yield "one of fewer bytes", compress(PLAIN[:999])


@pytest.mark.parametrize(("name", "frame"), [pytest.param(*each, id=each[0]) for each in bombs()])
def test_a_frame_that_is_not_what_it_should_become_is_refused(name: str, frame: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError):
            unpack(memoryview(frame), 1000, "the file")
        if len(frame) < 1000:
            with pytest.raises(DamagedError, match="the file"):
                read(file_of([frame], Cuts(1000)))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20, name
    finally:
        tracemalloc.stop()


def test_bytes_between_frames_are_refused() -> None:
    frames = frames_of(PLAIN)
    data = bytearray(file_of(frames, CUTS))
    assert len(frames[0]) % ALIGNMENT
    data[ALIGNMENT + len(frames[0])] = 1
    with pytest.raises(DamagedError, match="between two frames"):
        read(bytes(data))


def test_a_compressed_file_in_a_compressed_file_is_not_opened_further() -> None:
    inner = saver.dumps({"a": np.arange(100_000)}, compress=True)
    outer = b"".join(map(bytes, CompressedContent(Bytes(inner.ljust(70_000, b"\0"))).pieces()))
    with pytest.raises((IncompatibleError, DamagedError)):
        saver.loads(outer)


def test_another_tensor_in_the_place_of_one_is_found_by_its_hash() -> None:
    """Anybody can write a table that fits: the tensors are verified as ever."""
    data = bytearray(opened(MemoryBlob("m", saver.dumps({"a": np.arange(100_000)}, compress=True))).read())
    data[-1] ^= 1
    forged = b"".join(map(bytes, CompressedContent(Bytes(bytes(data))).pieces()))
    with pytest.raises(DamagedError, match="a"):
        saver.loads(forged)
