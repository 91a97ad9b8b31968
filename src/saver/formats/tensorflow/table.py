"""Tables of keys and values as LevelDB and TensorFlow write them.

Format: https://github.com/google/leveldb/blob/main/doc/table_format.md; blocks may be compressed with Snappy
(https://github.com/google/snappy/blob/main/format_description.txt).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from saver.errors import DamagedError
from saver.formats.tensorflow.crc import crc32c, unmasked
from saver.protobuf import Malformed, varint

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
"""The last bytes of every table."""

_FOOTER, _TRAILER = 48, 5
_KEYS = 64
"""Bytes of keys for each byte of a table: they share their beginnings, but no honest ones more than this."""


def entries(table: memoryview, where: str) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values, in order. Raises DamagedError if a block is not what its sum says, and Malformed."""
    if len(table) < _FOOTER or bytes(table[-8:]) != MAGIC:
        raise Malformed("the end of the table is missing")
    footer = table[-_FOOTER:]
    _, at = varint(footer, 0)
    _, at = varint(footer, at)
    end = 0
    keys = _Keys(_KEYS * len(table))
    for _, handle in _Keys(_KEYS * len(table)).of(_block(table, *_place(footer[at:]), where)):
        offset, size = _place(handle)
        if offset < end:  # otherwise a small table could have one block read again and again
            raise Malformed("its blocks do not follow each other")
        end = offset + size + _TRAILER
        yield from keys.of(_block(table, offset, size, where))


class _Keys:
    """Demands that the keys of blocks that follow each other grow, and take at most `room` bytes in all."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._last: bytes | None = None

    def of(self, pairs: Iterable[tuple[bytes, memoryview]]) -> Iterator[tuple[bytes, memoryview]]:
        for key, value in pairs:
            self._room -= len(key)
            if self._room < 0:
                raise Malformed("its keys are longer than all of it")
            if self._last is not None and key <= self._last:
                raise Malformed("its keys are not in order")
            self._last = key
            yield key, value


def _place(handle: memoryview) -> tuple[int, int]:
    """Where a block begins, and its size."""
    offset, at = varint(handle, 0)
    return offset, varint(handle, at)[0]


def _block(table: memoryview, offset: int, size: int, where: str) -> Iterator[tuple[bytes, memoryview]]:
    if offset + size + _TRAILER > len(table):
        raise Malformed("a block is outside of the table")
    block = table[offset : offset + size]
    found = crc32c(np.frombuffer(table[offset : offset + size + 1], np.uint8))
    if found != unmasked(int.from_bytes(table[offset + size + 1 : offset + size + _TRAILER], "little")):
        raise DamagedError(f"{where}: bytes {offset:,} to {offset + size:,} are not what was written")
    kind = table[offset + size]
    if kind > 1:
        raise Malformed(f"a block is compressed in the unknown way {kind}")
    return _pairs(memoryview(_unsnappy(block)) if kind else block)


def _pairs(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise Malformed("a block is cut off")
    key, at = b"", 0
    while at < end:
        shared, at = varint(block, at)
        new, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or new + length > end - at:
            raise Malformed("an entry is cut off")
        key = key[:shared] + bytes(block[at : at + new])
        yield key, block[at + new : at + new + length]
        at += new + length


def _unsnappy(data: memoryview) -> bytes:
    size, at = varint(data, 0)
    if size > 32 * len(data):  # a copy of three bytes makes at most 64
        raise Malformed("a block claims to be larger than it can be")
    out = bytearray()
    while at < len(data):
        tag, at = data[at], at + 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                more = length - 60
                length = int.from_bytes(data[at : at + more], "little") + 1
                at += more
            out += data[at : at + length]
            at += length
        else:
            at = _copy(out, data, tag, at)
        if len(out) > size:
            break
    if len(out) != size or at != len(data):
        raise Malformed("a block does not have the size that it claims")
    return bytes(out)


def _copy(out: bytearray, data: memoryview, tag: int, at: int) -> int:
    """Repeat bytes that are there already; returns where the next element begins."""
    if tag & 3 == 1:
        length, width = (tag >> 2 & 7) + 4, 1
    else:
        length, width = (tag >> 2) + 1, 2 if tag & 3 == 2 else 4
    back = int.from_bytes(data[at : at + width], "little") | (tag >> 5 << 8 if width == 1 else 0)
    if not 0 < back <= len(out):
        raise Malformed("a block repeats bytes that are not there")
    start = len(out) - back
    repeated = out[start : start + length]
    out += (repeated * -(-length // len(repeated)))[:length]
    return at + width
