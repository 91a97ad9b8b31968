"""Writes the bytes of an Arrow IPC stream, without Arrow, from buffers that were read elsewhere.

What is in the buffers is not interpreted, but for where it lies: a load checks all of it, as in `codecs.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.families.pyarrow.flat import Flat
from saver.pickled import NotReadError

_V5, _SCHEMA, _DICTIONARY, _BATCH = 4, 1, 2, 3
_END = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass(frozen=True)
class Kind:
    """A type of Arrow: its number in Schema.fbs, the fields of its table, and how its buffers lie. `width` is
    the number of bits of an element, or of an offset into its buffer or child; or the one length of lists.
    A dictionary is the type of its indices, with that of its `values`."""

    number: int
    layout: str
    width: int = 0
    fields: tuple[tuple[int, str, int, int], ...] = ()
    zone: str | None = None
    children: tuple[tuple[str, Kind, bool], ...] = ()
    values: Kind | None = None
    ordered: bool = False

    @property
    def count(self) -> int:
        """How many types there are in it, with itself."""
        inner = [kind for _, kind, _ in self.children] + ([] if self.values is None else [self.values])
        return 1 + sum(kind.count for kind in inner)


@dataclass(frozen=True)
class Column:
    """An array of Arrow: its length, where it begins in its buffers, those, and the dictionary that it refers
    to."""

    kind: Kind
    length: int
    offset: int
    buffers: list[memoryview | None]
    children: list[Column]
    dictionary: Column | None = None


def stream_of(kind: Kind, columns: list[Column]) -> bytes:
    """A stream with a batch for each column, as Arrow writes it."""
    written = [_message(_SCHEMA, _schema(kind), b"")]
    known: dict[int, bytes] = {}
    for column in columns:
        for number, each in _dictionaries(column, count()):
            found = _batch(each, number)
            if known.get(number) != found:
                written.append(found)
            known[number] = found
        written.append(_batch(column))
    return b"".join([*written, _END])


def _batch(column: Column, number: int | None = None) -> bytes:
    """A message with a column, or with a dictionary of this number."""
    body = _Body()
    body.add(column, 0, column.length)
    flat, place = body.header(column.length)
    if number is None:
        return _message(_BATCH, (flat, place), body.data)
    place = flat.table([(0, "q", number, 0), (1, "", place, 0)])
    return _message(_DICTIONARY, (flat, place), body.data)


def _dictionaries(column: Column, numbers: Iterator[int]) -> Iterator[tuple[int, Column]]:
    """The dictionaries in a column, those within others first. They have the numbers of their fields."""
    number = next(numbers) if column.dictionary is not None else 0
    for child in (column.dictionary or column).children:
        yield from _dictionaries(child, numbers)
    if column.dictionary is not None:
        yield number, column.dictionary


def _message(number: int, header: tuple[Flat, int], body: bytes) -> bytes:
    flat, place = header
    root = flat.table([(3, "q", len(body), 0), (2, "", place, 0), (0, "h", _V5, 0), (1, "B", number, 0)])
    data = flat.finished(root)
    data += bytes(-len(data) % 8)
    return b"\xff\xff\xff\xff" + struct.pack("<i", len(data)) + data + body


def _schema(kind: Kind) -> tuple[Flat, int]:
    flat = Flat()
    fields = flat.vector([_field(flat, count(), "", kind, True)])
    return flat, flat.table([(1, "", fields, 0), (0, "h", 0, 0)])


def _field(flat: Flat, numbers: Iterator[int], name: str, kind: Kind, nullable: bool) -> int:
    own = kind if kind.values is None else kind.values
    number = 0 if own is kind else next(numbers)
    inner = [_field(flat, numbers, *child) for child in own.children]
    zone = [] if own.zone is None else [(1, "", flat.text(own.zone), 0)]
    described = flat.table([*zone, *own.fields])
    encoded = None
    if own is not kind:
        indices = flat.table(kind.fields)
        encoded = flat.table([(0, "q", number, 0), (1, "", indices, 0), (2, "B", int(kind.ordered), 0)])
    called = flat.text(name)
    children = flat.vector(inner)
    return flat.table([
        (5, "", children, 0), (4, "", encoded, 0), (3, "", described, 0), (0, "", called, 0),
        (2, "B", own.number, 0), (1, "B", int(nullable), 0),
    ])  # fmt: skip


@dataclass
class _Body:
    """The buffers of a batch, one behind the other, and what is said of them."""

    data: bytes = b""
    parts: list[bytes] = field(default_factory=list)
    nodes: list[tuple[int, int]] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    views: list[int] = field(default_factory=list)
    size: int = 0

    def header(self, length: int) -> tuple[Flat, int]:
        self.data = b"".join(self.parts)
        flat = Flat()
        nodes, places = flat.structs(self.nodes), flat.structs(self.places)
        views = flat.numbers(self.views) if self.views else None
        return flat, flat.table([
            (0, "q", length, 0), (4, "", views, 0), (2, "", places, 0), (1, "", nodes, 0),
        ])  # fmt: skip

    def _put(self, data: Any) -> None:
        octets = bytes(data)
        self.places.append((self.size, len(octets)))
        self.parts.append(octets + bytes(-len(octets) % 8))
        self.size += len(octets) + -len(octets) % 8

    def add(self, column: Column, start: int, length: int) -> None:
        """Some elements of a column. Raises NotReadError if its buffers end before."""
        kind, first = column.kind, column.offset + start
        if start + length > column.length:
            raise NotReadError("an array of Arrow ends before what refers to it")
        if kind.layout == "null":
            self.nodes.append((length, length))
            return
        self._validity(column, first, length)
        if kind.layout == "bits":
            self._put(np.packbits(_bits(_buffer(column, 1), first, length), bitorder="little"))
        elif kind.layout == "fixed":
            width = kind.width // 8
            self._put(_part(_buffer(column, 1), first * width, (first + length) * width))
        elif kind.layout == "views":
            self._put(_part(_buffer(column, 1), first * 16, (first + length) * 16))
            self.views.append(max(0, len(column.buffers) - 2))
            for at in range(2, len(column.buffers)):
                self._put(_buffer(column, at))
        elif kind.layout == "rows":
            self.add(_child(column, 0), first * kind.width, length * kind.width)
        elif kind.layout in ("bytes", "list"):
            low, high = self._offsets(column, first, length)
            if kind.layout == "bytes":
                self._put(_part(_buffer(column, 2), low, high))
            else:
                self.add(_child(column, 0), low, high - low)
        else:
            for at in range(len(kind.children)):
                self.add(_child(column, at), first, length)

    def _validity(self, column: Column, first: int, length: int) -> None:
        buffer = column.buffers[0] if column.buffers else None
        there = None if buffer is None else _bits(buffer, first, length)
        missing = 0 if there is None else length - int(np.count_nonzero(there))
        self.nodes.append((length, missing))
        self._put(np.packbits(there, bitorder="little") if there is not None and missing else b"")

    def _offsets(self, column: Column, first: int, length: int) -> tuple[int, int]:
        """Write the offsets from zero on; returns the first and the last that there were."""
        size = column.kind.width // 8
        buffer = _buffer(column, 1)
        if not length and not len(buffer):
            self._put(bytes(size))
            return 0, 0
        found: NDArray[Any] = np.frombuffer(
            _part(buffer, first * size, (first + length + 1) * size), f"<i{size}"
        )
        low, high = int(found[0]), int(found[-1])
        if not 0 <= low <= high:
            raise NotReadError("the offsets of an array of Arrow do not rise")
        self._put((found - low).astype(found.dtype).tobytes())
        return low, high


def _buffer(column: Column, at: int) -> memoryview:
    found = column.buffers[at] if at < len(column.buffers) else None
    return memoryview(b"") if found is None else found


def _child(column: Column, at: int) -> Column:
    if at >= len(column.children):
        raise NotReadError("an array of Arrow lacks a child")
    return column.children[at]


def _part(buffer: memoryview, start: int, stop: int) -> memoryview:
    if not 0 <= start <= stop <= len(buffer):
        raise NotReadError(f"an array of Arrow needs bytes up to {stop:,} of a buffer of {len(buffer):,}")
    return buffer[start:stop]


def _bits(buffer: memoryview, start: int, length: int) -> NDArray[Any]:
    part = _part(buffer, start // 8, -(-(start + length) // 8))
    bits = np.unpackbits(np.frombuffer(part, np.uint8), bitorder="little")
    return bits[start % 8 : start % 8 + length]
