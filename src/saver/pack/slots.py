"""Where a safetensors header says that the tensors are, and whether they tile the file."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from saver.errors import DamagedError, IncompatibleError
from saver.rules import Broken
from saver.strict import decodable
from saver.tensors import ITEM_SIZE

AXES_LIMIT = 64
"""As many axes as NumPy arrays can have."""


@decodable
class Slot(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a header says of one tensor. The offsets count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def check_slots(slots: Iterable[tuple[str, Slot]], path: str, unknown: str) -> int:
    """Check that tensors, in this order, follow each other without gap or overlap. Returns where they end.

    Raises ValueError for a shape or a place that cannot be, and IncompatibleError for a dtype that Saver does
    not know; `unknown` says what to do then.
    """
    end = 0
    for name, slot in slots:
        begin, stop = slot.data_offsets
        if slot.dtype not in ITEM_SIZE:
            raise IncompatibleError(
                f"{path}: the tensor {name[:80]!r} has the dtype {slot.dtype[:20]!r}, which Saver does not "
                f"know; {unknown}",
                rule="1.17",
            )
        if len(slot.shape) > AXES_LIMIT or any(axis < 0 for axis in slot.shape):
            raise Broken("1.18", f"the tensor {name[:80]!r} has the shape {str(slot.shape)[:80]}")
        length = math.prod(slot.shape) * ITEM_SIZE[slot.dtype]
        if begin != end or stop - begin != length:
            raise Broken(
                "1.19", f"the tensor {name[:80]!r} is at {begin}:{stop}, expected {end}:{end + length}"
            )
        end = stop
    return end


def check_end(end: int, size: int, path: str) -> None:
    """Raise DamagedError unless tensors that end there fill the `size` bytes behind a header."""
    if end != size:
        raise DamagedError(
            f"{path}: the tensors take {end:,} bytes, the file has {size:,} for them: it was cut off, or "
            "something was appended; copy it from its source again",
            rule="1.20",
        )
