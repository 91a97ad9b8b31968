"""Arrays as trees describe them; no array is built."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.errors import printable
from saver.reading.forms import FORMS, Form
from saver.tensors import TensorInfo
from saver.tree import Tensor

AXES_LIMIT = 64
_NAME_LIMIT = 40


class Array(msgspec.Struct, frozen=True):
    """Entries of one form: `length` bytes from `offset` of the tensor `name`, or `data` from the manifest.

    They are in C order unless `strides` (in entries) say otherwise; strides are dense: no holes, no overlaps.
    `hash` is that of the whole tensor. For strings, `name` is the tensor of their bytes, and `ends` the
    tensor of their ends. An array may also consist of `pieces`, of the same form, one after another.
    """

    form: Form
    shape: tuple[int, ...]
    hash: str = ""
    name: str = ""
    offset: int = 0
    data: bytes = b""
    strides: tuple[int, ...] | None = None
    ends: str = ""
    pieces: tuple[Array, ...] = ()

    @property
    def count(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def length(self) -> int:
        """The size in bytes; 0 for strings."""
        return self.count * self.form.size

    def equals(self, other: Array) -> bool:
        """Whether both are known to be equal without reading any bytes."""
        if self.pieces and other.pieces:
            same_cuts = [piece.shape for piece in self.pieces] == [piece.shape for piece in other.pieces]
            return same_cuts and all(map(Array.equals, self.pieces, other.pieces))
        if self.name and other.name:
            other = msgspec.structs.replace(other, name=self.name, ends=self.ends)
        return self == other


Entries: TypeAlias = Callable[[str], TensorInfo]
"""Returns what is known about the tensor with this name. Raises KeyError if there is no such tensor."""


def tensor_array(tensor: Tensor, entries: Entries) -> Array | None:
    """A tensor as it is stored in the pack; None if it is missing."""
    entry = entry_of(tensor, entries)
    if entry is None:
        return None
    form = FORMS.get(entry.dtype)
    if form is None or math.prod(entry.shape) * form.size != entry.length:
        return opaque(entry.dtype, entry, tensor.name)
    return Array(form, entry.shape, entry.hash, tensor.name)


def opaque(dtype: str, entry: TensorInfo, name: str) -> Array:
    """A tensor as an array of bytes without a meaning."""
    return Array(Form(printable(dtype[:_NAME_LIMIT]), 1), (entry.length,), entry.hash, name)


def entry_of(value: Any, entries: Entries) -> TensorInfo | None:
    """What is known about a tensor of the tree; None if `value` is not a tensor, or the tensor is missing."""
    try:
        return entries(value.name) if type(value) is Tensor else None
    except KeyError:
        return None


def held(array: Array, data: Any, decode: Callable[[Any], bytes | None], entries: Entries) -> Array | None:
    """The array with its bytes, those of a tensor or of a text; None if it needs another number of them."""
    entry = entry_of(data, entries)
    if entry is not None:
        fits = entry.length == array.length
        return msgspec.structs.replace(array, name=data.name, hash=entry.hash) if fits else None
    found = decode(data)
    if found is None or len(found) != array.length:
        return None
    return msgspec.structs.replace(array, data=found)


def shape_of(value: Any) -> tuple[int, ...] | None:
    """A shape as it is stored in a tree; None for anything else."""
    if type(value) is not list or len(value) > AXES_LIMIT:
        return None
    return tuple(value) if all(type(axis) is int and 0 <= axis < 1 << 62 for axis in value) else None


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of C order, in entries."""
    steps = [1]
    for axis in reversed(shape[1:]):
        steps.append(steps[-1] * max(axis, 1))
    return tuple(steps[: len(shape)][::-1])


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the entries fill one run of memory without holes or overlaps, in any order."""
    if len(shape) != len(strides):
        return False
    expected = 1
    for step, axis in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n != 1):
        if step != expected:
            return False
        expected *= axis
    return True


def in_c_order(raw: NDArray[np.uint8], array: Array) -> NDArray[np.uint8]:
    """The entries with the last axis varying fastest; a copy if they are stored in another order."""
    if array.strides is None:
        return raw
    strides, shape = array.strides, array.shape
    order = sorted(range(len(shape)), key=lambda axis: -strides[axis] if shape[axis] != 1 else 0)
    items = raw.view(np.dtype((np.void, array.form.size))).reshape([shape[axis] for axis in order])
    back = [order.index(axis) for axis in range(len(shape))]
    return np.ascontiguousarray(items.transpose(back)).reshape(-1).view(np.uint8)
