"""Reads compressed files: decompresses the frames that are fetched, into memory of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.errors import DamagedError, SaverError
from saver.seals import zstd
from saver.seals.compressing import header_for
from saver.seals.frames import ENTRY, FRAME, Cuts, padded, parsed_table, unshuffle
from saver.seals.layout import parse_header
from saver.seals.pieces import PieceBlob
from saver.storage import Blob


class _Read:
    """Where the frames of a compressed file are."""

    def __init__(self, blob: Blob) -> None:
        head, header, stored, table = parse_header(blob)
        self.cuts = Cuts(head.size, head.first)
        self.start = len(header)
        where = blob.name
        if not 0 <= head.first < FRAME or head.first > head.size or not head.size:
            raise _contradictory(where)
        if table != self.cuts.count * ENTRY.itemsize:
            raise _contradictory(where)
        self._place = self.start + stored, table, stored
        self._blob = blob
        self._header = header
        self._rows: NDArray[np.void] | None = None

    def row(self, number: int) -> Any:
        """The entry of a frame in the table, which is read and checked as a whole before."""
        if self._rows is None:
            at, length, stored = self._place
            table = self._blob.read(at, at + length)
            if len(table) != length or header_for(self.cuts, stored, table) != self._header:
                raise DamagedError(
                    f"{self._blob.name}: the header or the table of this compressed file is not as it was "
                    "written; restore it from a copy",
                    rule="6.05",
                )
            self._rows = parsed_table(table, self.cuts, stored, self._blob.name)
        return self._rows[number]

    def places(self, start: int, end: int) -> list[tuple[int, int]]:
        """Where the frames are stored that a range overlaps."""
        numbers = range(self.cuts.number(start), self.cuts.number(end - 1) + 1)
        return [self.place(number) for number in numbers]

    def place(self, number: int) -> tuple[int, int]:
        """Where a frame is stored."""
        row = self.row(number)
        at = self.start + int(row["offset"])
        return at, at + int(row["length"])


class DecompressedBlob(PieceBlob):
    """An object of which `blob` has the compressed form. If the header is damaged, every read says so."""

    def __init__(self, blob: Blob) -> None:
        self._damage: SaverError | None = None
        self._header: tuple[int, bytes] | None = None
        try:
            self._read = _Read(blob)
            size = self._read.cuts.size
        except DamagedError as error:
            self._damage, size = error, blob.size
        super().__init__(blob.name, size)
        self.fetchers = blob.fetchers
        self._blob = blob

    def _demand(self) -> _Read:
        if self._damage is not None:
            raise DamagedError(str(self._damage))
        self._read.row(0)
        return self._read

    def _cut(self) -> Cuts:
        return self._demand().cuts

    def anew(self, ranges: Sequence[tuple[int, int]]) -> bool:
        """What was kept on this machine of a frame may be wrong, though it could be decompressed."""
        replaced = super().anew(ranges)
        read = self._demand()
        wanted = [(start, end) for start, end in ranges if start < end]
        if wanted and self._blob.anew([place for each in wanted for place in read.places(*each)]):
            self._header = None
            for start, end in wanted:
                self._fill(start, end, self.map().data[start:end])
            return True
        return replaced

    def _fill(self, start: int, end: int, memory: memoryview) -> None:
        cuts = self._demand().cuts
        for number in range(cuts.number(start), cuts.number(end - 1) + 1):
            at, stop = cuts.start(number), cuts.end(number)
            if start <= at and stop <= end:
                self._frame(number, memory[at - start : stop - start])
                continue
            one, other = max(start, at), min(end, stop)
            memory[one - start : other - start] = self._whole(number)[one - at : other - at]

    def _whole(self, number: int) -> bytes:
        """A frame of which a part is needed. The first one, which is the header of a pack and small, is
        kept: it is read in several steps."""
        kept = self._header
        if kept is not None and kept[0] == number:
            return kept[1]
        found = bytearray(self._read.cuts.length(number))
        self._frame(number, memoryview(found))
        if number == 0 and len(found) < FRAME // 4:
            self._header = number, bytes(found)
        return bytes(found)

    def _frame(self, number: int, memory: memoryview) -> None:
        """Put a frame into memory. If it is damaged, it is read again if it came from a copy kept here."""
        place = self._read.place(number)
        try:
            self._expand(number, place, memory)
        except DamagedError:
            if not self._blob.anew([place]):
                raise
            self._expand(number, place, memory)

    def _expand(self, number: int, place: tuple[int, int], memory: memoryview) -> None:
        row = self._read.row(number)
        start, end = place
        length, last = end - start, start + padded(end - start)
        if last == end and not row["packed"]:
            if self._blob.read_into(start, memory) != length:
                raise self._cut_off()
            return
        data = memoryview(bytearray(last - start))
        if self._blob.read_into(start, data) != len(data):
            raise self._cut_off()
        if any(data[length:]):
            raise DamagedError(
                f"{self.name}: there is something between two frames; restore it from a copy", rule="6.05"
            )
        frame = zstd.unpack(data[:length], len(memory), self.name) if row["packed"] else data[:length]
        unshuffle(memoryview(frame), int(row["item"]), memory)

    def _cut_off(self) -> DamagedError:
        return DamagedError(f"{self.name} was cut off or replaced while it was read; restore it from a copy")


def _contradictory(where: str) -> DamagedError:
    return DamagedError(f"{where}: the header of this compressed file contradicts itself; restore a copy")
