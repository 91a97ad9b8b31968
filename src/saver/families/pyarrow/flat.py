"""Writes the flatbuffers of Arrow's messages, without Arrow: from the end, as every writer of them does.

Specification: https://flatbuffers.dev/internals, and Message.fbs and Schema.fbs of Arrow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence


class Flat:
    """One flatbuffer that is being written. Places are counted from its end."""

    def __init__(self) -> None:
        self.data = b""
        self._tables: list[int] = []
        self._widest = 1

    def _pad(self, length: int, alignment: int) -> None:
        """Write zeros, so that what follows with this length ends up aligned."""
        self._widest = max(self._widest, alignment)
        self.data = bytes(-(len(self.data) + length) % alignment) + self.data

    def _put(self, form: str, value: int) -> None:
        packed = struct.pack(f"<{form}", value)
        self._pad(0, len(packed))
        self.data = packed + self.data

    def _refer(self, place: int) -> None:
        self._pad(0, 4)
        self._put("I", len(self.data) - place + 4)

    def text(self, value: str) -> int:
        """A string."""
        octets = value.encode()
        self._pad(len(octets) + 1, 4)
        self.data = octets + b"\0" + self.data
        self._put("I", len(octets))
        return len(self.data)

    def vector(self, places: Sequence[int]) -> int:
        """A vector of the tables or strings at these places."""
        self._pad(4 * len(places), 4)
        for place in reversed(places):
            self._refer(place)
        self._put("I", len(places))
        return len(self.data)

    def structs(self, rows: Sequence[tuple[int, int]]) -> int:
        """A vector of pairs of 64-bit numbers."""
        return self._packed([number for row in rows for number in row], len(rows))

    def numbers(self, values: Sequence[int]) -> int:
        """A vector of 64-bit numbers."""
        return self._packed(values, len(values))

    def _packed(self, values: Sequence[int], count: int) -> int:
        if values:
            self._pad(8 * len(values), 8)
        self.data = struct.pack(f"<{len(values)}q", *values) + self.data
        self._put("I", count)
        return len(self.data)

    def table(self, fields: Iterable[tuple[int, str, int | None, int]]) -> int:
        """A table: for each field its number, its form, its value and its default. The form of a table, text
        or vector is "", and its value is its place.

        Fields are written in this order, and left out if they have their default or no value.
        """
        start, offsets = len(self.data), dict[int, int]()
        for number, form, value, default in fields:
            if value is None or (form and value == default):
                continue
            if form:
                self._put(form, value)
            else:
                self._refer(value)
            offsets[number] = len(self.data)
        self._put("i", 0)
        place = len(self.data)
        slots = [place - offsets.get(number, place) for number in range(max(offsets, default=-1) + 1)]
        layout = struct.pack(f"<{2 + len(slots)}H", 4 + 2 * len(slots), place - start, *slots)
        known = next((each for each in self._tables if self._at(each, len(layout)) == layout), None)
        if known is None:
            self.data = layout + self.data
            known = len(self.data)
            self._tables.append(known)
        at = len(self.data) - place
        self.data = self.data[:at] + struct.pack("<i", known - place) + self.data[at + 4 :]
        return place

    def _at(self, place: int, length: int) -> bytes:
        start = len(self.data) - place
        return self.data[start : start + length]

    def finished(self, root: int) -> bytes:
        """The whole, of which the table at this place is the root."""
        self._pad(4, self._widest)
        self._refer(root)
        return self.data
