"""Arrays between Keras' variables and packs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
from keras.src import backend
from numpy.typing import NDArray

from saver.codec import Decoder, Encoder
from saver.tensors import TensorData
from saver.tree import Tensor, Value

_CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64",
    "int64": "I64", "float64": "F64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_DTYPES = {code: np.dtype(getattr(ml_dtypes, name, name)) for name, code in _CODES.items()}


def numpy_of(value: Any) -> NDArray[Any]:
    """The elements of a variable or tensor of the backend."""
    found: NDArray[Any] = np.asarray(backend.convert_to_numpy(value))
    return found


def encoded(array: NDArray[Any], encoder: Encoder, *steps: str | int) -> Tensor:
    """An array as a tensor of the pack. Refuses dtypes that packs do not have."""
    code = _CODES.get(str(array.dtype))
    if code is None:
        encoder.refuse(f"a variable of {array.dtype} at {'/'.join(map(str, steps))} has no data form")
    array = np.ascontiguousarray(array).reshape(array.shape)
    stored = (
        array if array.dtype.kind in "biuf" and array.dtype.isbuiltin else array.view(f"u{array.itemsize}")
    )
    return encoder.raw_tensor(TensorData(code, array.shape, stored), *steps)


def decoded(ref: Any, decoder: Decoder) -> NDArray[Any]:
    """The array of a tensor, in memory of its own."""
    info = decoder.info(ref)
    if info.dtype not in _DTYPES:
        raise ValueError(f"a variable is a {info.dtype}")
    array: NDArray[Any] = np.array(decoder.look(ref)).view(_DTYPES[info.dtype]).reshape(info.shape)
    if info.dtype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("a boolean is neither 0 nor 1")
    return array


def tensors_of(state: Value) -> Iterator[Any]:
    """The tensors in a part of the state."""
    stack: list[Any] = [state]
    while stack:
        value = stack.pop()
        if type(value) is Tensor:
            yield value
        elif type(value) in (list, dict):
            stack.extend(value.values() if isinstance(value, dict) else value)
