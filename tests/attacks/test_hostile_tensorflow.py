"""Checkpoints that TensorFlow did not write, with true sums: read or refused, in bounded work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import saver
from saver.formats.tensorflow import bundle as bundles
from saver.formats.tensorflow import table as tables
from saver.formats.tensorflow.crc import crc32c
from saver.formats.tensorflow.table import MAGIC, entries
from saver.protobuf import Malformed, fields

GOLDEN = Path(__file__).parents[1] / "golden" / "of_tensorflow"
HEADER = (b"", b"\x08\1\x1a\2\x08\1")
"""The first pair of an index: one data file."""


def number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


def sized(data: bytes) -> bytes:
    return number(len(data)) + data


def masked(data: bytes) -> bytes:
    found = crc32c(data)
    return (((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def pair(key: bytes, value: bytes, shared: int = 0) -> bytes:
    return number(shared) + number(len(key)) + number(len(value)) + key + value


class Table:
    """A table, block by block; `handles` are what the index says of them."""

    def __init__(self) -> None:
        self.data = b""
        self.handles: list[bytes] = []

    def block(self, body: bytes, kind: int = 0) -> bytes:
        """Add a block; returns its handle."""
        body = body if kind else body + b"\0\0\0\0" + b"\1\0\0\0"
        handle = number(len(self.data)) + number(len(body))
        body += bytes((kind,))
        self.data += body + masked(body)
        return handle

    def add(self, *pairs: tuple[bytes, bytes]) -> Table:
        self.handles.append(self.block(b"".join(pair(*each) for each in pairs)))
        return self

    def finished(self, index: bytes | None = None) -> bytes:
        found = b"".join(pair(at.to_bytes(4, "big"), each) for at, each in enumerate(self.handles))
        last = self.block(found if index is None else index)
        return self.data + (number(0) + number(0) + last).ljust(40, b"\0") + MAGIC


def entry(offset: int, data: bytes, shape: bytes | None = None, more: bytes = b"") -> bytes:
    """A BundleEntryProto for bytes in the data file."""
    axes = b"\x12" + sized(b"\x08" + number(len(data))) if shape is None else shape
    found = b"\x08\4\x12" + sized(axes) + b"\x20" + number(offset) + b"\x28" + number(len(data))
    return found + b"\x35" + masked(data) + more


def one_block_again_and_again() -> tuple[bytes, bytes]:
    found = Table().add(HEADER, *((b"v%05d" % at, b"") for at in range(1000)))
    found.handles *= 1000
    return found.finished(), b""


def blocks_in_another_order() -> tuple[bytes, bytes]:
    found = Table().add((b"b", b"")).add(HEADER)
    found.handles.reverse()
    return found.finished(), b""


def index_keys_that_grow() -> tuple[bytes, bytes]:
    found = Table().add(HEADER)
    for _ in range(10_000):
        found.add()
    first = pair(b"k" * 50_000, found.handles[0])
    more = (pair(at.to_bytes(2, "big"), each, 50_000) for at, each in enumerate(found.handles[1:]))
    return found.finished(first + b"".join(more)), b""


def one_name_twice() -> tuple[bytes, bytes]:
    return Table().add(HEADER, (b"v", entry(0, b"ab")), (b"v", entry(0, b"cd"))).finished(), b"abcd"


def entries_that_share_bytes() -> tuple[bytes, bytes]:
    data = bytes(10_000)
    pairs = ((b"v%05d" % at, entry(0, data)) for at in range(1000))
    return Table().add(HEADER, *pairs).finished(), data


def strings_that_share_bytes() -> tuple[bytes, bytes]:
    lengths = bytes(1000)
    data = lengths + masked(bytes(4000))
    summed = masked(bytes(4000) + masked(bytes(4000)))
    proto = b"\x08\7\x12" + sized(b"\x12" + sized(b"\x08" + number(1000))) + b"\x28" + number(len(data))
    pairs = ((b"v%05d" % at, proto + b"\x35" + summed) for at in range(1000))
    return Table().add(HEADER, *pairs).finished(), data


def slices_of_a_long_name() -> tuple[bytes, bytes]:
    name = b"n" * 20_000
    return Table().add(HEADER, (name, b"\x08\4" + b"\x3a\0" * 20_000)).finished(), b""


def one_slice_again_and_again() -> tuple[bytes, bytes]:
    data = bytes(10_000)
    piece = next(bundles._slice_keys(b"v", [[]]))
    parts = (piece, entry(0, data)), (b"v", entry(0, data, more=b"\x3a\0" * 1000))
    return Table().add(HEADER, *parts).finished(), data


WORK: dict[str, tuple[Callable[[], tuple[bytes, bytes]], str]] = {
    name.__name__: (name, why)
    for name, why in {
        one_block_again_and_again: "its blocks do not follow each other",
        blocks_in_another_order: "its blocks do not follow each other",
        index_keys_that_grow: "its keys are longer than all of it",
        one_name_twice: "its keys are not in order",
        entries_that_share_bytes: "its entries have more bytes than",
        strings_that_share_bytes: "its entries have more bytes than",
        slices_of_a_long_name: "is missing, or there twice",
        one_slice_again_and_again: "is missing, or there twice",
    }.items()
}


@pytest.fixture
def summed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes were summed, call by call."""
    found: list[int] = []

    def counted(data: bytes, before: int = 0) -> int:
        found.append(len(data))
        return crc32c(data, before)

    monkeypatch.setattr(tables, "crc32c", counted)
    monkeypatch.setattr(bundles, "crc32c", counted)
    return found


@pytest.mark.parametrize("what", WORK)
def test_no_byte_is_read_more_than_a_few_times(what: str, summed: list[int], tmp_path: Path) -> None:
    """Each of these took time, or memory, that grew with the square of its size."""
    make, why = WORK[what]
    index, data = make()
    (tmp_path / "a.index").write_bytes(index)
    (tmp_path / "a.data-00000-of-00001").write_bytes(data)
    summed.clear()
    with pytest.raises(saver.IncompatibleError, match=why):
        saver.load(tmp_path / "a")
    assert sum(summed) <= 4 * (len(index) + len(data))


def test_what_these_are_made_of_is_read(tmp_path: Path) -> None:
    """Otherwise they would be refused for another reason."""
    data = np.arange(5, dtype=np.uint8).tobytes()
    piece = next(bundles._slice_keys(b"w", [[]]))
    table = Table().add(HEADER, (piece, entry(5, data))).add((b"v", entry(0, data)))
    table.add((b"w", entry(0, data, more=b"\x3a\0")))
    (tmp_path / "a.index").write_bytes(table.finished())
    (tmp_path / "a.data-00000-of-00001").write_bytes(data * 2)
    assert {name: value.tolist() for name, value in saver.load(tmp_path / "a").items()} == {
        "v": [*range(5)],
        "w": [*range(5)],
    }


# Every field


NASTY = [0, 1, 2, 7, 8, 14, 21, 63, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64 - 1]
NASTY_BYTES = [b"", b"\0", b"\xff" * 10, b"\x08" * 3, b"\x12\0" * 70, b"../../x", b"$", b"a" * 3000]

Field = tuple[int, int, bytes | int]
"""Number, kind on the wire, and value."""


def parsed(data: bytes) -> list[Field] | None:
    """The fields of a message; None for other bytes."""
    try:
        values = list(fields(memoryview(data)))
    except Malformed:
        return None
    found: list[Field] = []
    for key, value in values:
        kind = 2 if isinstance(value, memoryview) else 0
        found.append((key, kind, bytes(value) if isinstance(value, memoryview) else value))
    fixed = [(key, 5 if (key, kind) == (6, 0) else kind, value) for key, kind, value in found]
    for candidate in (found, fixed):
        if written(candidate) == data:
            return candidate
    return None


def written(message: list[Field]) -> bytes:
    found = b""
    for key, kind, value in message:
        found += number(key << 3 | kind)
        if isinstance(value, bytes):
            found += sized(value)
        else:
            found += value.to_bytes(4, "little") if kind == 5 else number(value)
    return found


def changed(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """The message with one field, of it or of what it holds, replaced, left out, or there twice."""
    message = parsed(data)
    for at, (key, kind, value) in enumerate(message or ()):
        head, tail = message[:at], message[at + 1 :]  # type: ignore[index]
        yield written([*head, *tail])
        yield written([*head, (key, kind, value), (key, kind, value), *tail])
        if isinstance(value, bytes):
            new: list[Field] = [(key, 2, each) for each in NASTY_BYTES] + [(key, 0, 1)]
            if depth < 5 and len(value) < 200:
                new += [(key, 2, each) for each in changed(value, depth + 1)]
        else:
            new = [(key, kind, each % 2**32 if kind == 5 else each) for each in NASTY] + [(key, 2, b"\x08\1")]
        for each in new:
            yield written([*head, each, *tail])


@pytest.mark.shows("TensorFlow checkpoints", "hostile files tried")
@pytest.mark.parametrize("name", ["v1", "v2.index", "objects.index"])
def test_whatever_a_field_says_it_is_read_or_refused(
    name: str, tmp_path: Path, record_property: Callable[[str, int], None]
) -> None:
    prefix = name.partition(".")[0]
    for each in GOLDEN.glob(f"{prefix}.data-*"):
        (tmp_path / each.name).write_bytes(each.read_bytes())
    pairs = [(k, bytes(v)) for k, v in entries(memoryview((GOLDEN / name).read_bytes()), name)]
    pairs = [(key, value) for key, value in pairs if len(value) < 2000]
    refused = tried = 0
    for at, (key, value) in list(enumerate(pairs))[:: 1 + len(pairs) // 8]:
        for new in changed(value):
            tried += 1
            forged = Table().add(*pairs[:at], (key, new), *pairs[at + 1 :]).finished()
            (tmp_path / name).write_bytes(forged)
            try:
                saver.load(tmp_path / name)
            except saver.SaverError:
                refused += 1
    record_property("hostile files", tried)
    assert refused > tried / 3 > 50


@pytest.mark.skipif(sys.platform == "win32", reason="tests POSIX file systems")
@pytest.mark.parametrize("what", ["pipe", "folder", "loop", "dangling", "device"])
def test_only_a_regular_file_holds_data(what: str, tmp_path: Path) -> None:
    (tmp_path / "v2.index").write_bytes((GOLDEN / "v2.index").read_bytes())
    data = tmp_path / "v2.data-00000-of-00001"
    {
        "pipe": lambda: os.mkfifo(data),
        "folder": data.mkdir,
        "loop": lambda: data.symlink_to(data),
        "dangling": lambda: data.symlink_to(tmp_path / "nothing"),
        "device": lambda: data.symlink_to("/dev/zero"),
    }[what]()
    with pytest.raises(saver.SaverError, match="data-00000-of-00001"):
        saver.load(tmp_path / "v2")
