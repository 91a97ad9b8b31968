"""Arrays and tensors as trees describe them, of NumPy and PyTorch, without either building one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from saver.compare.forms import FORMS, STRINGS, Form, form_of_numpy, form_of_torch
from saver.compare.texts import base64_bytes, printable
from saver.tree import Node, Tensor
from saver.view import TensorEntry

AXES_LIMIT = 64
_NAME_LIMIT = 40


class Array(msgspec.Struct, frozen=True):
    """Entries of one form: `length` bytes from `offset` of the tensor `name`, or `data` from the manifest.

    They lie in C order unless `strides` (in entries) say otherwise; strides are dense: no holes, no overlaps.
    `hash` is that of the whole tensor. For strings, `name` is the tensor of their bytes, and `ends` that of
    their ends. An array may also consist of `pieces`, of the same form, one after another.
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
        """How many entries."""
        return math.prod(self.shape)

    @property
    def length(self) -> int:
        """In bytes; strings not counted."""
        return self.count * self.form.size

    def equals(self, other: Array) -> bool:
        """Whether it is known to be the same without reading a byte."""
        if self.pieces and other.pieces:
            same_cuts = [piece.shape for piece in self.pieces] == [piece.shape for piece in other.pieces]
            return same_cuts and all(map(Array.equals, self.pieces, other.pieces))
        if self.name and other.name:
            other = msgspec.structs.replace(other, name=self.name, ends=self.ends)
        return self == other


Entries: TypeAlias = Callable[[str], TensorEntry]
"""Tells what a tensor is; KeyError when there is none of this name."""

Resolve: TypeAlias = Callable[[Any], Any]
"""The node that a reference leads to; everything else as it is."""


def tensor_array(tensor: Tensor, entries: Entries) -> Array | None:
    """A tensor as it stands in the pack; None when it is not there."""
    entry = _entry(tensor, entries)
    if entry is None:
        return None
    form = FORMS.get(entry.dtype)
    if form is None or math.prod(entry.shape) * form.size != entry.length:
        return _opaque(entry.dtype, entry, tensor.name)
    return Array(form, entry.shape, entry.hash, tensor.name)


def _opaque(dtype: str, entry: TensorEntry, name: str) -> Array:
    """A tensor as mere bytes."""
    return Array(Form(printable(dtype[:_NAME_LIMIT]), 1), (entry.length,), entry.hash, name)


def _entry(value: Any, entries: Entries) -> TensorEntry | None:
    try:
        return entries(value.name) if type(value) is Tensor else None
    except KeyError:
        return None


def column_array(state: dict[str, Any], entries: Entries) -> Array | None:
    """A long run of floats, bools, ints or strings; None when this is none."""
    if len(state) == 1 and state.keys() & {"float", "bool", "int"}:
        (value,) = state.values()
        return tensor_array(value, entries) if type(value) is Tensor else None
    if state.keys() == {"str", "ends"}:
        letters, ends = (_entry(state[key], entries) for key in ("str", "ends"))
        if letters is not None and ends is not None and (letters.dtype, ends.dtype) == ("U8", "I64"):
            joined = letters.hash + ends.hash
            return Array(STRINGS, ends.shape, joined, state["str"].name, ends=state["ends"].name)
    return None


def numpy_array(node: Node, entries: Entries) -> Array | None:
    """The entries of a NumPy array; None when it holds objects, or is not as it should be."""
    state = node.state
    if type(state) is Tensor:
        return tensor_array(state, entries)
    if type(state) is not dict:
        return None
    form, shape = form_of_numpy(state.get("dtype")), _shape(state.get("shape"))
    order = state.get("order", "C")
    if form is None or shape is None or order not in ("C", "F"):
        return None
    strides = None
    if order == "F":
        strides = row_major(shape)[::-1]
        shape = shape[::-1]
    return _held(Array(form, shape, strides=strides), state.get("data"), base64_bytes, entries)


def torch_array(node: Node, entries: Entries, resolve: Resolve) -> Array | None:
    """The entries of a dense PyTorch tensor, also where it is a view; None for other layouts."""
    state = node.state
    if type(state) is not dict or "layout" in state:
        return None
    if "base" in state:
        return _torch_view(state, entries, resolve)
    data: Any = state.get("data")
    if type(data) is Tensor and "dtype" not in state:
        return tensor_array(data, entries)
    form, entry = form_of_torch(state.get("dtype")), _entry(data, entries)
    if entry is None:
        return None if form is None else _held(Array(form, ()), data, _hex_bytes, entries)
    shape = tuple(entry.shape)
    if form is None:
        return _opaque(str(state["dtype"]), entry, data.name)
    return _held(Array(form, shape[:-1] if form.count == 2 else shape), data, _hex_bytes, entries)


def _torch_view(state: dict[str, Any], entries: Entries, resolve: Resolve) -> Array | None:
    """A view as the run of its base's bytes that it is, if it is one."""
    base, form = resolve(state["base"]), form_of_torch(state.get("dtype"))
    shape, strides, offset = _shape(state.get("shape")), _shape(state.get("stride")), state.get("offset")
    if (
        type(base) is not Node
        or base.codec != "torch.Tensor"
        or type(base.state) is not dict
        or not base.state.keys().isdisjoint(("base", "layout", "stride"))
        or form is None
        or shape is None
        or strides is None
        or not is_dense(shape, strides)
        or type(offset) is not int
    ):
        return None
    data: Any = base.state.get("data")
    entry = _entry(data, entries)
    at = offset * form.size
    if entry is None or not 0 <= at <= at + math.prod(shape) * form.size <= entry.length:
        return None
    plain = strides == row_major(shape)
    return Array(form, shape, entry.hash, data.name, at, strides=None if plain else strides)


def _held(array: Array, data: Any, decode: Callable[[Any], bytes | None], entries: Entries) -> Array | None:
    """The array with its bytes, if they are as many as it needs: those of a tensor, or of a text."""
    entry = _entry(data, entries)
    if entry is not None:
        fits = entry.length == array.length
        return msgspec.structs.replace(array, name=data.name, hash=entry.hash) if fits else None
    held = decode(data)
    if held is None or len(held) != array.length:
        return None
    return msgspec.structs.replace(array, data=held)


def _hex_bytes(text: Any) -> bytes | None:
    try:
        return bytes.fromhex(text) if type(text) is str else None
    except ValueError:
        return None


def _shape(value: Any) -> tuple[int, ...] | None:
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
    """Whether the entries fill one run of memory without holes or overlaps, in whatever order."""
    if len(shape) != len(strides):
        return False
    expected = 1
    for step, axis in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n != 1):
        if step != expected:
            return False
        expected *= axis
    return True
