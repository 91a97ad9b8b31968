"""Frames of a compressed file: how the plain bytes are cut, and where each frame is stored.

The table has 16 bytes for each frame, in the order of the plain bytes: where it is stored (8 bytes), how long
it is there (4), the size of the items by which it was shuffled (1), whether it is compressed (1), and two
zeros. docs/format/ has the details.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.errors import DamagedError
from saver.storage import ALIGNMENT, Content

FRAME = 4 << 20
"""Bytes that are compressed together: what the ring of `saver.pack.ring` writes at a time."""

ITEMS = (1, 2, 4, 8)
"""Sizes of items by which bytes are shuffled; 1: not at all."""

ENTRY = np.dtype([("offset", "<u8"), ("length", "<u4"), ("item", "u1"), ("packed", "u1"), ("zeros", "<u2")])


class Stored(msgspec.Struct, frozen=True):
    """How a frame is stored: `length` bytes, shuffled by `item` bytes, compressed or not."""

    length: int
    item: int
    packed: bool


class Cuts(msgspec.Struct, frozen=True):
    """How `size` bytes are cut into frames: all have `FRAME` bytes but the first, which has `first` (0: as
    the others), and the last. So what large writes write is whole frames."""

    size: int
    first: int = 0

    @property
    def count(self) -> int:
        """The number of frames."""
        return self.number(self.size - 1) + 1 if self.size else 0

    def number(self, offset: int) -> int:
        """That of the frame that a byte is in."""
        return offset // FRAME if not self.first else -(-(offset + 1 - self.first) // FRAME)

    def start(self, number: int) -> int:
        """Where a frame begins."""
        return max(number * FRAME - (FRAME - self.first if self.first else 0), 0)

    def end(self, number: int) -> int:
        """Where a frame ends."""
        return min(self.start(number + 1), self.size)

    def length(self, number: int) -> int:
        """The plain bytes of a frame."""
        return self.end(number) - self.start(number)

    def around(self, start: int, end: int) -> tuple[int, int]:
        """The range of the frames that a range, which is not empty, overlaps."""
        return self.start(self.number(start)), self.end(self.number(end - 1))


def cuts_of(content: Content) -> Cuts:
    """Those of a new object."""
    return Cuts(content.size, min(content.start % FRAME, content.size))


def items_of(content: Content, cuts: Cuts) -> list[int]:
    """For each frame, the size of the items that most of its bytes are in."""
    bytes_of: list[dict[int, int]] = [{} for _ in range(cuts.count)]
    for start, end, item in content.items():
        at = start
        while at < end:
            number = cuts.number(at)
            stop = min(cuts.end(number), end)
            bytes_of[number][item] = bytes_of[number].get(item, 0) + stop - at
            at = stop
    return [max(each, key=each.__getitem__, default=1) for each in bytes_of]


def padded(length: int) -> int:
    """The bytes that a frame takes: the next one begins at a multiple of `ALIGNMENT`."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def in_order(stored: Sequence[Stored]) -> list[int]:
    """Where frames are stored that lie in the order of the plain bytes."""
    ends = np.cumsum([0, *(padded(each.length) for each in stored)])
    return [int(end) for end in ends[:-1]]


def table_of(stored: Sequence[Stored], offsets: Sequence[int]) -> bytes:
    """The table of frames that are stored at these offsets."""
    rows = [
        (offset, each.length, each.item, each.packed, 0) for each, offset in zip(stored, offsets, strict=True)
    ]
    return np.array(rows, ENTRY).tobytes()


def parsed_table(data: bytes, cuts: Cuts, stored: int, where: str) -> NDArray[np.void]:
    """The entries of a table, of a file with `stored` bytes of frames. Raises DamagedError unless they are
    as Saver writes them: the frames lie one behind the other, in any order, and fill these bytes."""
    rows: NDArray[np.void] = np.frombuffer(data, ENTRY)
    plain = np.full(len(rows), FRAME, np.uint64)
    plain[:1], plain[-1:] = cuts.length(0), cuts.length(len(rows) - 1)
    by_place = rows[np.argsort(rows["offset"], kind="stable")]
    lengths = (by_place["length"].astype(np.uint64) + (ALIGNMENT - 1)) // ALIGNMENT * ALIGNMENT
    ends = np.cumsum(lengths, dtype=np.uint64)
    sound = (
        np.array_equal(by_place["offset"], ends - lengths)
        and int(ends[-1]) == stored
        and np.isin(rows["item"], ITEMS).all()
        and (rows["packed"] <= 1).all()
        and not rows["zeros"].any()
        and (rows["length"] > 0).all()
        and np.where(rows["packed"] == 1, rows["length"] < plain, rows["length"] == plain).all()
        and not ((rows["packed"] == 0) & (rows["item"] != 1)).any()
    )
    if not sound:
        raise DamagedError(
            f"{where}: the table of this compressed file is damaged; restore it from a copy", rule="6.05"
        )
    return rows


def shuffled(data: memoryview, item: int) -> memoryview:
    """First the first bytes of all items, then the second ones, and so on; what is left at the end stays."""
    if item == 1:
        return data
    flat = np.frombuffer(data, np.uint8)
    count = len(flat) // item
    items, found = flat[: count * item].reshape(count, item), np.empty(len(flat), np.uint8)
    for byte in range(item):
        found[byte * count : (byte + 1) * count] = items[:, byte]
    found[count * item :] = flat[count * item :]
    return found.data


def unshuffle(data: memoryview, item: int, memory: memoryview) -> None:
    """Put what was shuffled into memory, in order."""
    flat, target = np.frombuffer(data, np.uint8), np.frombuffer(memory, np.uint8)
    if item == 1:
        target[:] = flat
        return
    count = len(flat) // item
    items = target[: count * item].reshape(count, item)
    for byte in range(item):
        items[:, byte] = flat[byte * count : (byte + 1) * count]
    target[count * item :] = flat[count * item :]
