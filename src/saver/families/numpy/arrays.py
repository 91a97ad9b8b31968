"""NumPy arrays of every dtype and layout, masked arrays and subclasses."""

from __future__ import annotations

import math
from binascii import b2a_base64
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import (
    INLINE_BYTES,
    Codec,
    Decoder,
    Encoder,
    added,
    is_array,
    keyed,
    listed,
    octets,
)
from saver.errors import kind_of, with_article
from saver.families.numpy import checks, forms
from saver.families.numpy.axes import axes_of, order_of, places
from saver.families.numpy.dtypes import decode_dtype, dense, encode_dtype, refused_field, storage
from saver.families.python.columns import decode_run, encode_run
from saver.rules import Broken
from saver.tensors import TENSOR_DTYPE
from saver.tree import Node, Tensor, Value


class ArrayCodec(Codec):
    """Arrays. If safetensors has a dtype for the elements, they are stored as a tensor of that dtype.

    Other elements are stored as the items they consist of: complex numbers as pairs of floats, dates as
    int64, Unicode as code points, the rest as bytes; the state records their dtype, and the order in which
    the axes lie in memory. Whether an array may be written to is not saved: loaded ones may.
    """

    name = "numpy.array"
    types = (np.ndarray, np.memmap)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        array = np.asarray(obj)
        order = order_of(array)
        plain = (array.dtype.kind, array.dtype.itemsize) in TENSOR_DTYPE and array.dtype.isnative
        if array.dtype.metadata is not None:
            encode_dtype(array.dtype, encoder)  # refuses it
        if plain and order == "C":
            if array.nbytes > INLINE_BYTES:
                return encoder.tensor(array)
            return {"data": _text(array), "dtype": array.dtype.str, "shape": list(array.shape)}
        if array.dtype.hasobject or array.dtype.kind == "T":
            return self._encode_objects(array, order, encoder)
        encoder.check(checks.text, array)
        if array.dtype.itemsize == 0:
            encoder.check(checks.empty_elements, array.shape)
            return {"data": "", "dtype": encode_dtype(array.dtype, encoder), "shape": list(array.shape)}
        state: dict[str, Value] = {"dtype": encode_dtype(array.dtype, encoder), "shape": list(array.shape)}
        array = _laid_out(array, order, state)
        if array.nbytes <= INLINE_BYTES:
            return _in_order(state, "data", _text(dense(array)))
        return _in_order(state, "data", encoder.tensor(storage(array)))

    def _encode_objects(self, array: NDArray[Any], order: Value, encoder: Encoder) -> Value:
        state: dict[str, Value] = {"dtype": encode_dtype(array.dtype, encoder), "shape": list(array.shape)}
        if array.dtype.names is not None:
            found = [np.asarray(array[name], order="C") for name in array.dtype.names]
            encoder.check(checks.padding, array.shape, array.dtype, sum(field.nbytes for field in found))
            fields = [encoder(field, name) for field, name in zip(found, array.dtype.names, strict=True)]
            return _in_order(state, "fields", fields)
        if array.dtype.kind == "V":
            encoder.refuse("arrays of sub-arrays of objects have no data form; use a structured dtype")
        array = _laid_out(array, order, state)
        items: list[Any] = array.ravel().tolist()
        if array.dtype.kind == "T":
            items = [item if isinstance(item, str) else None for item in items]
        return _in_order(state, "items", encode_run(items, encoder))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        if type(state) is Tensor:
            return _aligned(decoder.array(state))
        kind = forms.array(state)
        dtype, shape = decode_dtype(state["dtype"], decoder), forms.shape(state["shape"])
        if kind == "fields":
            return self._decode_fields(node, dtype, shape, decoder)
        if kind == "items":
            return self._decode_objects(node, dtype, shape, decoder)
        if dtype.hasobject:
            raise Broken("3.17", "an array of objects cannot be stored as bytes")
        data, count = state["data"], math.prod(shape)
        seen = places(axes_of(state["order"], len(shape))) if "order" in state else None
        inline = isinstance(data, str)
        if not inline and not decoder.foreign:
            forms.stored_as(decoder.info(data), dtype, shape)
        stored: Any = octets(data) if inline else decoder.tensor(data)
        if inline and dtype.kind == "V":  # copying an array may leave out the bytes between the fields
            stored, inline = bytearray(stored), False
        if len(stored) != count * dtype.itemsize:
            raise Broken("3.12", f"there are {len(stored)} bytes for the shape {shape} of {dtype}")
        if dtype.itemsize == 0:
            decoder.budget.charge(count)  # NumPy allocates a byte for each element of size 0
            return np.empty(checks.empty_elements(shape), dtype)
        array: NDArray[Any] = np.frombuffer(stored, dtype, count) if count else np.empty(0, dtype)
        array = array.copy() if inline else _aligned(array)
        checks.text(array, decoder.budget.charge)
        return array.reshape(shape) if seen is None else array.reshape(shape).transpose(seen)

    def _decode_fields(
        self, node: Node, dtype: np.dtype[Any], shape: tuple[int, ...], decoder: Decoder
    ) -> NDArray[Any]:
        count, names = math.prod(shape), dtype.names or ()
        checks.padding(shape, dtype, count * sum(dtype[name].itemsize for name in names))
        decoder.budget.charge(count * dtype.itemsize)
        array = np.zeros(shape, dtype)
        decoder.keep(node, array)
        held = 0
        for name, state in zip(names, node.state["fields"], strict=True):
            since = decoder.delayed.count
            field = decoder(state)
            if not is_array(field) or (field.shape, field.dtype) != (array[name].shape, array[name].dtype):
                raise ValueError(f"the field {name!r} does not have the shape and dtype of the structure")
            held += field.nbytes
            decoder.copied(partial(_put, array, name, field), since)
        checks.padding(shape, dtype, held)
        return array

    def _decode_objects(
        self, node: Node, dtype: np.dtype[Any], shape: tuple[int, ...], decoder: Decoder
    ) -> NDArray[Any]:
        state = node.state
        items = state["items"]
        count = math.prod(shape)
        if type(items) is list and len(items) != count:
            raise Broken("3.12", f"there are {len(items)} items for the shape {shape}")
        if dtype.kind != "T" and dtype != np.dtype(object):
            raise Broken("3.17", f"elements of the dtype {dtype} cannot be stored as items")
        found: list[Any] = []
        if dtype.kind == "T" or type(items) is not list:
            found += decode_run(items, decoder)
            count = len(found)
        flat = np.empty(count, dtype)
        array = flat.reshape(shape)
        if "order" in state:
            array = array.transpose(places(axes_of(state["order"], len(shape))))
        if dtype.kind == "T":
            missing = getattr(dtype, "na_object", None)
            found = [missing if item is None else item for item in found]
        if found:
            flat[:] = found
        else:
            decoder.keep(node, array)
            target = _Items(flat)
            for index, item in enumerate(items):
                target[index] = decoder.slot(item, target, index)
        return array


def _put(array: NDArray[Any], name: str, field: NDArray[Any]) -> None:
    array[name] = field


class _Items:
    """Sets the items of a one-dimensional object array. Items of any kind stay whole, arrays too."""

    def __init__(self, flat: NDArray[Any]) -> None:
        self._flat = flat
        self._box = np.empty((), object)

    def __setitem__(self, index: int, item: Any) -> None:
        if isinstance(item, np.ndarray) and item.ndim == 0:
            self._box[()] = None
            self._box.fill(item)
            self._flat[index : index + 1] = self._box
        else:
            self._flat[index] = item


def _text(array: NDArray[Any]) -> str:
    return b2a_base64(array.tobytes(), newline=False).decode()


def _laid_out(array: NDArray[Any], order: Value, state: dict[str, Value]) -> NDArray[Any]:
    """The array with its axes from the slowest to the fastest. Their order and its shape go into `state`."""
    if order == "C":
        return array
    array = array.transpose(axes_of(order, array.ndim))
    state.update(shape=list(array.shape), order=order)
    return array


def _in_order(state: dict[str, Value], key: str, value: Value) -> dict[str, Value]:
    """The state with one more item, its keys in the order of canonical JSON, so no order is recorded."""
    return dict(sorted({**state, key: value}.items()))


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """The array at an address with NumPy's own alignment, since the rounding of vector code may depend on it.

    Tensors whose size is a multiple of 16 bytes are aligned in the pack already; only others are copied.
    """
    return array.copy() if array.__array_interface__["data"][0] % _NUMPY_ALIGNMENT else array


_NUMPY_ALIGNMENT = 16


class SubclassCodec(Codec):
    """`np.matrix`, `np.recarray` and `np.char.chararray`: arrays that behave differently."""

    name = "numpy.subclass"
    types = (np.matrix, np.recarray)
    names = frozenset(("numpy.char:chararray", "numpy:chararray"))  # looking it up warns where it is to go

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "_getitem")  # a flag of matrices

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        why = refused_field(obj.dtype) if type(obj) is np.recarray else None
        if why is not None:
            encoder.refuse(why)
        plain = obj.view(np.ndarray)
        if type(obj) is np.recarray and obj.dtype.type is np.record:
            plain = plain.view(np.dtype((np.void, obj.dtype)))
        return [type(obj).__name__, encoder(np.asarray(plain))]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, state = listed(node.state, 2)
        array = decoder(state)
        if not is_array(array):
            raise ValueError("the content is not an array")
        if kind == "recarray":
            why = refused_field(array.dtype)
            if why is not None:
                raise ValueError(why)
            plain = array.dtype.names is None
            return array.view(array.dtype if plain else np.dtype((np.record, array.dtype)), np.recarray)
        if kind == "matrix" and array.ndim == 2:
            return array.view(np.matrix)
        if kind == "chararray" and array.dtype.kind in "SU":
            return array.view(np.char.chararray)
        raise ValueError(f"this array cannot be {with_article(kind)}")


_MASKED = (
    "_baseclass", "_basedict", "_fill_value", "_getitem", "_hardmask", "_isfield", "_mask", "_optinfo",
    "_sharedmask",
)  # fmt: skip
"""What NumPy keeps in the dict of a masked array."""


class MaskedCodec(Codec):
    """Masked arrays: data, mask or `nomask`, fill value, and whether the mask is hard."""

    name = "numpy.masked"
    types = (np.ma.MaskedArray,)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *_MASKED)

    def check(self, obj: Any) -> None:
        data = np.ma.getdata(obj)
        if not is_array(data):
            raise ValueError(f"the data of a masked array are {kind_of(data)}, not a plain array")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        mask = np.ma.getmask(obj)
        filled = obj._fill_value
        return {
            "data": encoder(np.ma.getdata(obj), "data"),
            "mask": None if mask is np.ma.nomask else encoder(mask, "mask"),
            "fill_value": None if filled is None else encoder(np.asarray(filled), "fill_value"),
            "hard": bool(obj.hardmask),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = keyed(node.state, "data", "fill_value", "hard", "mask")
        if type(state["hard"]) is not bool:
            raise ValueError("a mask is hard or not")
        data, mask, filled = (decoder(state[key]) for key in ("data", "mask", "fill_value"))
        if not is_array(data) or not (mask is None or (
            is_array(mask) and (mask.shape, mask.dtype) == (data.shape, np.ma.make_mask_descr(data.dtype))
        )):  # fmt: skip
            raise ValueError("the mask does not fit the data")
        if not (filled is None or (is_array(filled) and (filled.shape, filled.dtype) == ((), data.dtype))):
            raise ValueError("the fill value is not an array of no axes and of the dtype of the data")
        decoder.budget.charge(0 if mask is None else mask.nbytes)
        found: Any = np.ma.MaskedArray(
            data, np.ma.nomask if mask is None else mask, hard_mask=bool(state["hard"])
        )
        if filled is not None and data.dtype == np.dtype(object):
            found._fill_value = filled  # any object; a cycle may still put it into this array
        elif filled is not None:
            found.fill_value = filled[()]
        return found
