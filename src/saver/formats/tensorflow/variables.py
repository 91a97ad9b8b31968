"""What both versions of TensorFlow's checkpoints consist of: variables, types, shapes and slices.

The messages are those of tensorflow/core/framework: types.proto, tensor_shape.proto, tensor_slice.proto.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from saver.errors import IncompatibleError
from saver.protobuf import Malformed, Value, fields, integer, message
from saver.storage import Blob
from saver.tensors import ITEM_SIZE, Box, whole

STRING = 7
DTYPES = {
    1: "F32", 2: "F64", 3: "I32", 4: "U8", 5: "I16", 6: "I8", 9: "I64", 10: "BOOL",
    11: "I8", 12: "U8", 13: "I32", 14: "BF16", 15: "I16", 16: "U16", 17: "U16", 19: "F16",
    22: "U32", 23: "U64", 24: "F8_E5M2", 25: "F8_E4M3",
}  # fmt: skip
"""Types that are stored as tensors of one number for each element: quantized ones as their integers."""

COMPLEX = {8: ("F32", "<c8"), 18: ("F64", "<c16")}
"""Complex types: the dtype of their two numbers, and NumPy's name."""

_NAMES = {20: "a resource", 21: "a variant", 29: "of int4", 30: "of uint4", 31: "of int2", 32: "of uint2"}
_AXES = 64


class Piece(NamedTuple):
    """A box of a variable, and where its bytes are: a file, and a range of it."""

    box: Box
    blob: Blob
    start: int
    length: int


@dataclass
class Variable:
    """A named tensor. `kind` is the number of its type; strings have `strings` instead of pieces."""

    name: str
    kind: int
    shape: tuple[int, ...]
    pieces: list[Piece] = field(default_factory=list)
    strings: list[bytes] | None = None

    def check_kind(self, where: str) -> None:
        """Raise IncompatibleError if Saver has no form for the type."""
        if self.kind != STRING and self.kind not in DTYPES and self.kind not in COMPLEX:
            kind = _NAMES.get(self.kind, f"of the unknown type {self.kind}")
            raise IncompatibleError(
                f"{where}: {self.name[:80]!r} is {kind}, which Saver cannot read; read the others with "
                "tf.train.load_checkpoint, and save a dict of them"
            )

    @property
    def item(self) -> int:
        """The bytes of an element."""
        return ITEM_SIZE[DTYPES[self.kind]] if self.kind in DTYPES else 2 * ITEM_SIZE[COMPLEX[self.kind][0]]

    def add(self, box: Box, blob: Blob, start: int, length: int) -> None:
        """Add a piece. Raises Malformed unless it has as many bytes as its box."""
        if not box.fits(self.shape):
            raise Malformed(f"a slice of {self.name[:80]!r} is outside of it")
        if length != math.prod(box.sizes) * self.item:
            raise Malformed(f"{self.name[:80]!r} has {length:,} bytes, which its shape does not need")
        if start + length > blob.size:
            raise Malformed(f"{self.name[:80]!r} is beyond the end of {blob.name}")
        self.pieces.append(Piece(box, blob, start, length))


def shape_of(data: Value) -> tuple[int, ...]:
    """A TensorShapeProto. Raises Malformed if a size is unknown or negative."""
    sizes = []
    for number, value in fields(message(data)):
        if number == 2:
            sizes.append(next((integer(v) for n, v in fields(message(value)) if n == 1), 0))
        elif number == 3 and value:
            raise Malformed("a shape is unknown")
    if any(size < 0 for size in sizes) or len(sizes) > _AXES:
        raise Malformed(f"the shape {str(sizes)[:80]} cannot be")
    return tuple(sizes)


def slice_of(data: Value) -> list[tuple[int, int]]:
    """A TensorSliceProto: for each axis where the slice begins and how long it is, -1 for all of it."""
    found = []
    for number, value in fields(message(data)):
        if number == 1:
            extent = {n: integer(v) for n, v in fields(message(value))}
            found.append((extent.get(1, 0), extent.get(2, -1)))
    return found


def box_of(extents: Sequence[tuple[int, int]], shape: tuple[int, ...]) -> Box:
    """The box that a slice of a tensor of this shape is."""
    if not extents:
        return whole(shape)
    if len(extents) != len(shape) or any(start < 0 or length < -1 for start, length in extents):
        raise Malformed("a slice does not fit the shape of its tensor")
    sizes = tuple(size if length == -1 else length for (_, length), size in zip(extents, shape, strict=True))
    return Box(tuple(start for start, _ in extents), sizes)
