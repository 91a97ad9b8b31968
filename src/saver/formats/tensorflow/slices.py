"""Version 1 of TensorFlow's checkpoints: a table in one file, or in `PREFIX-00000-of-00002` …

Messages: tensorflow/core/util/saved_tensor_slice.proto and tensorflow/core/framework/tensor.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from saver.formats.tensorflow.variables import DTYPES, STRING, Variable, box_of, shape_of, slice_of
from saver.protobuf import Malformed, Value, fields, integer, message, text, varints
from saver.streams import Memory
from saver.tensors import NUMPY_DTYPE, Box

_FIELDS = {1: 5, 2: 6, 9: 10, 10: 11, 8: 9, 18: 12, 14: 13, 19: 13, 22: 16, 23: 17}
"""Type → the field of a TensorProto that holds its numbers; `_INTS` holds those of all other integers."""

_INTS, _CONTENT, _STRINGS = 7, 4, 8
_PACKED = {5: "<f4", 6: "<f8", 9: "<f4", 12: "<f8"}
"""Fields whose numbers are stored with a fixed size; the others are varints."""


def variables(tables: Iterable[Iterable[tuple[bytes, memoryview]]], where: str) -> list[Variable]:
    """All of these tables, in the order of their names. Their bytes are copied into memory."""
    found: dict[str, Variable] = {}
    data: list[tuple[str, list[tuple[int, int]], memoryview]] = []
    for key, value in (pair for table in tables for pair in table):
        for number, field in fields(value):
            if number == 1 and not key:
                _describe(field, found, where)
            elif number == 2:
                data.append(_data(field))
    memory = bytearray()
    places = []
    for name, extents, proto in data:
        if name not in found:
            raise Malformed(f"there is no description of {name[:80]!r}")
        places.append(_place(found[name], extents, proto, memory))
    blob = Memory(memory, where)
    for place in places:
        if place is not None:
            variable, box, start, length = place
            variable.add(box, blob, start, length)
    return [found[name] for name in sorted(found)]


def _describe(data: Value, found: dict[str, Variable], where: str) -> None:
    """The SavedSliceMeta of each tensor."""
    for _, meta in (pair for pair in fields(message(data)) if pair[0] == 1):
        name, kind, shape = "", 0, tuple[int, ...]()
        for number, value in fields(message(meta)):
            if number == 1:
                name = text(value)
            elif number == 2:
                shape = shape_of(value)
            elif number == 3:
                kind = integer(value)
        variable = Variable(name, kind, shape)
        variable.check_kind(where)
        before = found.setdefault(name, variable)
        if (before.kind, before.shape) != (kind, shape):
            raise Malformed(f"{name[:80]!r} has two descriptions")


def _data(field: Value) -> tuple[str, list[tuple[int, int]], memoryview]:
    """A SavedSlice: the tensor's name, the slice, and a TensorProto."""
    name, extents, proto = "", [], memoryview(b"")
    for number, value in fields(message(field)):
        if number == 1:
            name = text(value)
        elif number == 2:
            extents = slice_of(value)
        elif number == 3:
            proto = message(value)
    return name, extents, proto


def _place(
    variable: Variable, extents: list[tuple[int, int]], proto: memoryview, memory: bytearray
) -> tuple[Variable, Box, int, int] | None:
    """Where in `memory` the numbers of a slice are now; None for strings, which the variable takes."""
    box = box_of(extents, variable.shape)
    if variable.kind == STRING:
        if box.sizes != variable.shape or variable.strings is not None:
            raise Malformed(f"the strings of {variable.name[:80]!r} are in several pieces")
        variable.strings = [bytes(message(v)) for n, v in fields(proto) if n == _STRINGS]
        if len(variable.strings) != math.prod(variable.shape):
            raise Malformed(f"{variable.name[:80]!r} does not have as many strings as its shape")
        return None
    start = len(memory)
    memory += _numbers(variable.kind, proto).tobytes()
    return variable, box, start, len(memory) - start


def _numbers(kind: int, proto: memoryview) -> NDArray[np.generic]:
    """The numbers of a TensorProto, as they are stored in Saver's tensors."""
    wanted = _FIELDS.get(kind, _INTS)
    chunks: list[NDArray[np.generic]] = []
    single: list[int] = []
    for number, value in fields(proto):
        if number == _CONTENT and len(message(value)):
            chunks.append(np.frombuffer(message(value), np.uint8))
        elif number == wanted and isinstance(value, int):
            single.append(value)
        elif number == wanted:
            chunks.append(_unpacked(kind, wanted, message(value)))
    if single:
        width = np.dtype(_PACKED[wanted]).itemsize if wanted in _PACKED else 8
        packed = b"".join((value & (1 << 8 * width) - 1).to_bytes(width, "little") for value in single)
        plain = np.frombuffer(packed, _PACKED.get(wanted, "<u8"))
        chunks.append(plain if wanted in _PACKED else _narrowed(kind, plain))
    return np.concatenate([chunk.view(np.uint8) for chunk in chunks]) if chunks else np.empty(0, np.uint8)


def _unpacked(kind: int, wanted: int, data: memoryview) -> NDArray[np.generic]:
    if wanted in _PACKED:
        if len(data) % np.dtype(_PACKED[wanted]).itemsize:
            raise Malformed("numbers are cut off")
        return np.frombuffer(data, _PACKED[wanted])
    return _narrowed(kind, varints(data))


def _narrowed(kind: int, numbers: NDArray[np.uint64]) -> NDArray[np.generic]:
    """Varints in the dtype of the tensor; half numbers are stored as their bits."""
    dtype = "<u2" if kind in (14, 19) else NUMPY_DTYPE.get(DTYPES.get(kind, ""), np.dtype("<u1"))
    return numbers.astype(dtype)
