"""Writes version 2 of TensorFlow's checkpoints: the data file, and the table that describes it.

The messages are those that `bundle.py` reads, the table that of `table.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from saver.formats.tensorflow.crc import crc32c, masked
from saver.formats.tensorflow.table import MAGIC
from saver.protobuf import encoded

_BLOCK = 4096
"""Bytes from which on a block of the table ends."""

_RESTARTS = 16


class Entry(NamedTuple):
    """A tensor in the data file: the number of its type, its shape, its place, and the sum of its bytes."""

    kind: int
    shape: tuple[int, ...]
    offset: int
    size: int
    sum: int

    def message(self) -> bytes:
        """A BundleEntryProto."""
        axes = b"".join(_bytes(2, _number(1, size)) for size in self.shape)
        return (
            _number(1, self.kind) + _bytes(2, axes) + _number(4, self.offset) + _number(5, self.size)
            + b"\x35" + masked(self.sum).to_bytes(4, "little")
        )  # fmt: skip


HEADER = b"\x08\x01\x1a\x02\x08\x01"
"""A BundleHeaderProto: one data file, little-endian, version 1."""


def written(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A table of keys, which must be in order, and values."""
    out, index, block = bytearray(), list[tuple[bytes, bytes]](), list[tuple[bytes, bytes]]()
    for key, value in pairs:
        block.append((key, value))
        if sum(len(each) + len(held) for each, held in block) > _BLOCK:
            index.append((key, _added(out, _block(block))))
            block = []
    if block:
        index.append((block[-1][0], _added(out, _block(block))))
    meta = _added(out, _block([]))
    handles = meta + _added(out, _block(index))
    return bytes(out) + handles.ljust(40, b"\0") + MAGIC


def _added(out: bytearray, block: bytes) -> bytes:
    """Append a block; returns its handle."""
    handle = encoded(len(out)) + encoded(len(block))
    out += block + b"\0" + masked(crc32c(block + b"\0")).to_bytes(4, "little")
    return handle


def _block(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    out, before, restarts = bytearray(), b"", list[int]()
    for number, (key, value) in enumerate(pairs):
        shared = 0
        if number % _RESTARTS == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += encoded(shared) + encoded(len(key) - shared) + encoded(len(value)) + key[shared:] + value
        before = key
    ends = restarts or [0]
    return bytes(out) + b"".join(at.to_bytes(4, "little") for at in ends) + len(ends).to_bytes(4, "little")


def _number(field: int, value: int) -> bytes:
    """A field that holds a number; zero is left out."""
    return encoded(field << 3) + encoded(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return encoded(field << 3 | 2) + encoded(len(value)) + value
