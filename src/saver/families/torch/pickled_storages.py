"""Where the numbers of tensors lie in files of `torch.save`: their storages, and how tensors look at them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saver.pickled import Call, Global, NotReadError, Pairs, Storage, sequence
from saver.tensors import ITEM_SIZE
from saver.tree import EXACT_INTEGER

_TYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "Untyped": "uint8",
    "ComplexFloat": "complex64", "ComplexDouble": "complex128",
}  # fmt: skip
"""What storages are called, before `Storage`."""

CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64",
    "int64": "I64", "float64": "F64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
PAIRS = {"complex32": "F16", "complex64": "F32", "complex128": "F64"}
_BYTES = ("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
"""Dtypes of one byte that safetensors lacks."""


def code_of(dtype: str) -> str:
    """The dtype of safetensors in which the numbers are stored."""
    code = CODES.get(dtype) or PAIRS.get(dtype) or ("U8" if dtype in _BYTES else None)
    if code is None:
        raise NotReadError(f"a tensor of {dtype[:40]} has no data form")
    return code


def item_size(dtype: str) -> int:
    """In bytes."""
    return ITEM_SIZE[code_of(dtype)] * (2 if dtype in PAIRS else 1)


def dtype_of(kind: Global) -> str:
    """The dtype of a storage, by the name of its class."""
    name = kind.name.removesuffix("Storage")
    if kind.module.partition(".")[0] != "torch" or name not in _TYPES or name == kind.name:
        raise NotReadError(f"{kind} is not a storage that has a data form")
    return _TYPES[name]


def integers(value: Any) -> list[int]:
    """A shape or strides: a tuple, or a call of `torch.Size`."""
    if type(value) is Call and value.function == Global("torch", "Size") and len(value.args) == 1:
        value = value.args[0]
    found = sequence(value, "a shape")
    if len(found) > 64 or not all(type(axis) is int and 0 <= axis <= EXACT_INTEGER for axis in found):
        raise NotReadError("a shape does not consist of sizes")
    return found


class Seen(NamedTuple):
    """How a tensor looks at its storage; `flags` are those that say that it is conjugated or negated."""

    storage: Storage
    dtype: str
    offset: int
    shape: list[int]
    steps: list[int]
    flags: tuple[str, ...]

    @property
    def view(self) -> NDArray[Any]:
        """The elements, where they are, as bytes without a meaning."""
        size, data = item_size(self.dtype), octets(self.storage)
        start = self.offset * size if math.prod(self.shape) else 0
        strides = [step * size for step in self.steps]
        return np.ndarray(self.shape, f"V{size}", data[start:].data, strides=strides)


def seen(call: Call) -> Seen:
    """What a call makes a tensor of. Raises NotReadError unless it lies in its storage."""
    if len(call.args) < 4 or type(call.args[0]) is not Storage:
        raise NotReadError("a tensor has no storage, or does not say where in it it lies")
    storage, offset, shape, steps = call.args[0], call.args[1], *map(integers, call.args[2:4])
    if type(offset) is not int or not 0 <= offset <= EXACT_INTEGER or len(shape) != len(steps):
        raise NotReadError("a tensor does not say where in its storage it lies")
    third = call.function.name == "_rebuild_tensor_v3"
    named = call.args[6] if third and len(call.args) > 6 else None
    more = call.args[7 if third else 6 :]
    flags = dict(more[0].items) if more and type(more[0]) is Pairs else {}
    dtype = named.name if type(named) is Global else dtype_of(storage.kind)
    count, data = math.prod(shape), octets(storage)
    reach = 1 + sum((axis - 1) * step for axis, step in zip(shape, steps, strict=True)) if count else 0
    if (offset + reach) * item_size(dtype) > data.size and count:
        raise NotReadError(f"a tensor reaches beyond the {data.size:,} bytes of its storage")
    return Seen(storage, dtype, offset, shape, steps, tuple(_set(flags)))


def _set(flags: dict[Any, Any]) -> Iterator[str]:
    return (flag for flag in ("conj", "neg") if flags.get(flag) is True)


def octets(storage: Storage) -> Any:
    """The bytes of a storage, which is what all of its tensors look at."""
    if storage.data is None:
        raise NotReadError(f"the storage {storage.key[:40]!r} is not in the file")
    return storage.data


def row_major(shape: list[int]) -> list[int]:
    """The strides of a tensor that lies in order."""
    steps = [1]
    for axis in reversed(shape[1:]):
        steps.append(steps[-1] * max(axis, 1))
    return steps[: len(shape)][::-1]
