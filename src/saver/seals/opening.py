"""Reads sealed packs: decrypts what is fetched, into memory of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from saver.errors import DamagedError
from saver.seals.pieces import PieceBlob
from saver.seals.segments import TAG, Grid, nonce
from saver.storage import ALIGNMENT, Blob

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class SealedBlob(PieceBlob):
    """An object of `size` bytes, of which `blob` has the encrypted segments, and then the tags. `begin`
    returns the cipher, where the first segment is, and how they are cut; it is called when something is read.
    A segment whose tag is wrong is never handed out."""

    decrypts = True

    def __init__(
        self,
        blob: Blob,
        size: int,
        begin: Callable[[Blob], tuple[AESGCM, int, Grid]],
        again: Callable[[], Blob] | None = None,
    ) -> None:
        super().__init__(blob.name, size)
        self.fetchers = blob.fetchers
        self._begin_reading = begin
        self._again = again
        self._blob = blob
        self._reading: _Reading | None = None
        self._rooms: list[NDArray[np.uint8]] = []

    def _cut(self) -> Grid:
        return self._opened().grid

    def _fill(self, start: int, end: int, memory: memoryview) -> None:
        while True:
            reading = self._opened()
            try:
                return self._fill_once(reading, start, end, memory)
            except DamagedError:
                if not self._was_replaced(reading):
                    raise

    def _fill_once(self, reading: _Reading, start: int, end: int, memory: memoryview) -> None:
        grid = reading.grid
        first, last = grid.around(start, end)
        room = self._taken(last - first + TAG)
        try:
            if reading.blob.read_into(reading.begin + first, room.data[: last - first]) != last - first:
                raise reading.cut_off()
            for number in range(grid.number(first), grid.number(last - 1) + 1):
                at, stop = grid.start(number), grid.end(number)
                if start <= at and stop <= end:
                    reading.decrypt(number, room.data[at - first :], memory[at - start : stop - start])
                else:
                    whole = memoryview(bytearray(stop - at))
                    reading.decrypt(number, room.data[at - first :], whole)
                    one, other = max(start, at), min(end, stop)
                    memory[one - start : other - start] = whole[one - at : other - at]
        finally:
            self._rooms.append(room)

    def _was_replaced(self, reading: _Reading) -> bool:
        """Whether the object was sealed anew since it was opened: then the new one is read on. Another
        thread may have noticed first; and the blob may read the new object by now, so headers are compared
        with what was read of the old one."""
        if self._again is None or self._reading is not reading:
            return self._again is not None
        blob = self._again()
        if blob.read(0, ALIGNMENT) == reading.head:
            return False
        self._reading = _Reading(blob, self._begin_reading)
        return True

    def _opened(self) -> _Reading:
        if self._reading is None:
            self._reading = _Reading(self._blob, self._begin_reading)
        return self._reading

    def _taken(self, size: int) -> NDArray[np.uint8]:
        """Memory for sealed bytes, used again and again."""
        room = self._rooms.pop() if self._rooms else None
        return room if room is not None and room.size >= size else np.empty(size, np.uint8)


class _Reading:
    """An object, opened: all that is read of it belongs together, also while it is replaced."""

    def __init__(self, blob: Blob, begin: Callable[[Blob], tuple[AESGCM, int, Grid]]) -> None:
        self.blob = blob
        self.head = blob.read(0, ALIGNMENT)
        self.cipher, self.begin, self.grid = begin(blob)
        self._tags: bytes | None = None

    def decrypt(self, number: int, room: memoryview, memory: memoryview) -> None:
        """Decrypt a segment, which `room` begins with, into memory. After a wrong tag, nothing of it stays
        there. What was kept of it on this machine may be wrong: then it is read again."""
        from cryptography.exceptions import InvalidTag

        length = len(memory)
        behind = bytes(room[length : length + TAG])  # the tag must follow what it belongs to
        try:
            room[length : length + TAG] = self._tag(number)
            self.cipher.decrypt_into(nonce(number), room[: length + TAG], None, memory)
        except InvalidTag:
            memory[:] = bytes(length)
            self._decrypt_again(number, memory)
        finally:
            room[length : length + len(behind)] = behind

    def _decrypt_again(self, number: int, memory: memoryview) -> None:
        """The same from the object itself, if what was kept of it here was wrong. Raises DamagedError."""
        from cryptography.exceptions import InvalidTag

        start, end = self.begin + self.grid.start(number), self.begin + self.grid.end(number)
        try:
            if self.blob.anew([(start, end)]):
                sealed = self.blob.read(start, end) + self._tag(number)
                memory[:] = self.cipher.decrypt(nonce(number), sealed, None)
                return
        except InvalidTag:
            pass  # raised below
        raise DamagedError(
            f"{self.blob.name}: the bytes from {self.grid.start(number):,} on are not those that were "
            "sealed; restore it from a copy",
            rule="6.04",
        )

    def _tag(self, number: int) -> bytes:
        if self._tags is None:
            at = self.begin + self.grid.size
            tags = self.blob.read(at, at + self.grid.table)
            if len(tags) != self.grid.table:
                raise self.cut_off()
            self._tags = tags
        return self._tags[number * TAG : (number + 1) * TAG]

    def cut_off(self) -> DamagedError:
        return DamagedError(
            f"{self.blob.name} was cut off or replaced while it was read; restore it from a copy"
        )
