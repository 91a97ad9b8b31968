"""A blob that is opened piece by piece: a segment is decrypted whole, and a frame decompressed whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from saver.disk.copied import CopiedBlob


class Cuts(Protocol):
    """How an object is cut into pieces."""

    def around(self, start: int, end: int) -> tuple[int, int]:
        """The range of the pieces that a range, which is not empty, overlaps."""


class PieceBlob(CopiedBlob):
    """What is fetched is whole pieces, so that none is opened twice."""

    @abstractmethod
    def _cut(self) -> Cuts:
        """How the object is cut. Raises DamagedError if that cannot be read."""

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        stop = self.size if end is None else min(end, self.size)
        if start >= stop:
            self._cut()  # of a broken file nothing is known, not even that it ends here
            return b""
        memory = bytearray(stop - start)
        self._fill(start, stop, memoryview(memory))
        return bytes(memory)

    def near(self, start: int, end: int) -> bool:
        return False

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        if start < end:
            super().fetch(*self._cut().around(start, end), scratch)

    def fetch_many(self, ranges: Sequence[tuple[int, int]], scratch: memoryview) -> None:
        cuts = self._cut()
        super().fetch_many([cuts.around(start, end) for start, end in ranges if start < end], scratch)
