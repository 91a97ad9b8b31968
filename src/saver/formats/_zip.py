"""Zip archives whose entries are stored as they are, written in order: the sum of an entry's bytes is known
only once they are written, and stands behind them.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from saver.formats._writing import PIECE, Later, Piece
from saver.storage import ALIGNMENT
from saver.tensors import Bytes

_LARGE = 0xFFFFFFFF
_LATER, _UTF8 = 8, 0x800
_DAY = 33
"""The first of January 1980, so that equal contents make equal files."""

_FILL = 0x4246
"""The number of the extra field with which PyTorch aligns entries."""


class Entry(NamedTuple):
    """A file of the archive."""

    name: str
    content: Piece


class _Placed:
    """An entry and where it is, once that is known."""

    def __init__(self, entry: Entry, start: int) -> None:
        self.name, self.content = entry.name.encode(), entry.content
        self.length = entry.content.length if isinstance(entry.content, Later) else len(entry.content)
        self.start, self.sum = start, 0

    @property
    def is_large(self) -> bool:
        return self.length >= _LARGE

    def header(self, alignment: int) -> bytes:
        """What stands before the bytes, so that these begin on a multiple of `alignment`."""
        sizes = struct.pack("<HHQQ", 1, 16, 0, 0) if self.is_large else b""
        before = self.start + 30 + len(self.name) + len(sizes) + 4
        fill = -before % alignment
        extra = sizes + struct.pack("<HH", _FILL, fill) + b"Z" * fill
        flags = _LATER | (0 if self.name.isascii() else _UTF8)
        size = _LARGE if self.is_large else 0
        fixed = (20, flags, 0, 0, _DAY, 0, size, size, len(self.name), len(extra))
        return b"PK\3\4" + struct.pack("<HHHHHIIIHH", *fixed) + self.name + extra

    def read(self) -> Iterator[Bytes]:
        """The content, whose sum is taken."""
        self.sum = 0
        inside = self.content.pieces() if isinstance(self.content, Later) else [_array(self.content)]
        for found in inside:
            for at in range(0, found.size, PIECE):
                self.sum = zlib.crc32(found[at : at + PIECE].data, self.sum)
            yield found

    def done(self) -> None:
        if isinstance(self.content, Later):
            self.content.done()

    def behind(self) -> bytes:
        """The sum and the sizes, which follow the bytes."""
        form = "<IQQ" if self.is_large else "<III"
        return b"PK\7\x08" + struct.pack(form, self.sum, self.length, self.length)

    def listed(self) -> bytes:
        """The entry of the directory."""
        large = [each for each in (self.length, self.length, self.start) if each >= _LARGE]
        extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        flags = _LATER | (0 if self.name.isascii() else _UTF8)
        size, start = min(self.length, _LARGE), min(self.start, _LARGE)
        fixed = (
            20,
            20,
            flags,
            0,
            0,
            _DAY,
            self.sum,
            size,
            size,
            len(self.name),
            len(extra),
            0,
            0,
            0,
            0,
            start,
        )
        return b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", *fixed) + self.name + extra


def archived(entries: Sequence[Entry], alignment: int, lead_to: int = ALIGNMENT) -> list[Piece]:
    """The pieces of an archive. The bytes of each entry begin on a multiple of `alignment`; those of the
    first one that is read later on one of `lead_to`: of `ALIGNMENT`, so that they can be written past the
    page cache."""
    pieces, placed, lead, at = list[Piece](), list[_Placed](), bytearray(), 0
    for entry in entries:
        each = _Placed(entry, at)
        placed.append(each)
        first = isinstance(entry.content, Later) and not pieces
        header = each.header(lead_to if first else alignment)
        at += len(header) + each.length + len(each.behind())
        if not isinstance(entry.content, Later) and not pieces:
            lead += b"".join([header, *map(bytes, each.read()), each.behind()])
            continue
        behind = Later(len(each.behind()), partial(_made, each.behind), _nothing)
        pieces += [bytes(lead) + header, Later(each.length, each.read, each.done), behind]
        lead.clear()
    pieces += [bytes(lead)] if lead else []
    directory = partial(_directory, placed, at)
    return [*pieces, Later(len(directory()), partial(_made, directory), _nothing)]


def _directory(placed: Sequence[_Placed], at: int) -> bytes:
    listed = b"".join(each.listed() for each in placed)
    count, end = len(placed), at + len(listed)
    large = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(listed), at)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, end, 1)
    few, low = min(count, 0xFFFF), min(at, _LARGE)
    last = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, few, few, min(len(listed), _LARGE), low, 0)
    needed = count >= 0xFFFF or at >= _LARGE
    return listed + (b"PK\6\6" + large + locator if needed else b"") + last


def _made(make: Callable[[], bytes]) -> Iterator[Bytes]:
    yield _array(make())


def _array(data: bytes) -> Bytes:
    return np.frombuffer(data, np.uint8)


def _nothing() -> None:
    """Nothing has to be given back."""
