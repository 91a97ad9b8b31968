"""Tensors of TensorFlow, by the names of their dtypes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework import ops

from saver.codec import Codec, Decoder, Encoder
from saver.errors import IncompatibleError
from saver.tensors import TensorData
from saver.tree import Node, Value

EagerTensor: Any = ops.EagerTensor

_SAME = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64",
    "int64": "I64", "float64": "F64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_PAIRS = {"complex64": "F32", "complex128": "F64"}
_BYTES = ("float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz")
_BITS = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4, "bool": 1}
"""The bits in use of dtypes of which each element takes a byte."""

_QUANTIZED = {"qint8": "I8", "quint8": "U8", "qint16": "I16", "quint16": "U16", "qint32": "I32"}
"""Integers that stand for other numbers."""

CODES: dict[str, str] = {**dict.fromkeys((*_BYTES, *_BITS), "U8"), **_SAME, **_PAIRS, **_QUANTIZED}
"""dtype → the safetensors dtype that holds it. Complex numbers are pairs; texts have a form of their own."""

_TEXT = 64
"""The bytes of memory that a text takes beside its own."""


class TensorCodec(Codec):
    """Tensors with elements; they come back on the default device, or the one that the caller of `load`
    names."""

    name = "tensorflow.Tensor"
    types = (EagerTensor,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return described(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return made(node.state, decoder)


def described(tensor: Any, encoder: Encoder) -> dict[str, Value]:
    """The state of a tensor with elements. Refuses dtypes without a data form."""
    name = tensor.dtype.name
    if name == "string":
        return _described_texts(tensor, encoder)
    if name not in CODES:
        encoder.refuse(f"a tensor of the dtype {name} has no elements that could be saved; leave it out")
    numbers: Any = np.ascontiguousarray(numpy_of(tensor)).reshape(tensor.shape)
    shape = numbers.shape
    if name in _PAIRS:
        numbers, shape = numbers.reshape(*shape, 1).view(numbers.real.dtype), (*shape, 2)
    elif name in _QUANTIZED:
        numbers = numbers.view(_plain(_QUANTIZED[name]))
    elif name in _BITS and name != "bool":
        numbers = np.asarray(numbers.view(np.uint8) & np.uint8((1 << _BITS[name]) - 1))
    elif CODES[name] == "U8":
        numbers = numbers.view(np.uint8)
    return {"data": encoder.raw_tensor(TensorData(CODES[name], shape, numbers)), "dtype": name}


def numpy_of(tensor: Any) -> NDArray[Any]:
    """The elements, in the memory of the tensor: nothing changes it while it is used."""
    return np.asarray(tensor if tensor.shape.rank else tensor.numpy())  # it lacks arrays of one float8


def _described_texts(tensor: Any, encoder: Encoder) -> dict[str, Value]:
    texts = [bytes(text) for text in np.atleast_1d(np.asarray(tensor)).ravel()]
    joined = np.frombuffer(b"".join(texts), np.uint8)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts)).reshape(tensor.shape)
    return {
        "data": encoder.raw_tensor(TensorData("U8", joined.shape, joined), "texts"),
        "lengths": encoder.raw_tensor(TensorData("I64", lengths.shape, lengths), "lengths"),
        "dtype": "string",
    }


def _plain(code: str) -> Any:
    return np.dtype(f"{'u' if code[0] == 'U' else 'i'}{int(code[1:]) // 8}")


def _numpy(name: str) -> Any:
    """NumPy's dtype for the elements of a tensor."""
    if name in _QUANTIZED:
        return _plain(_QUANTIZED[name])
    return np.dtype(getattr(ml_dtypes, name, name))


def form_of(tensor: Any) -> tuple[str, tuple[int, ...]]:
    """The dtype and the shape of a tensor or variable that is here."""
    return tensor.dtype.name, tuple(tensor.shape)


def saved_form(state: Any, saved: Any) -> tuple[str, tuple[int, ...]]:
    """The same of a saved one, without reading its elements. `saved` is a `saver.restoring.Saved`."""
    name = state["dtype"]
    if name == "string":
        return name, tuple(saved.entry(state["lengths"]).shape)
    shape = tuple(saved.entry(state["data"]).shape)
    return name, shape[:-1] if name in _PAIRS else shape


def made(state: Any, decoder: Decoder) -> Any:
    """The tensor that a state describes, in memory of its own."""
    if type(state) is not dict or type(state.get("dtype")) is not str:
        raise ValueError("the state of a tensor is not an object with a dtype")
    name = state["dtype"]
    numbers: Any = _texts(state, decoder) if name == "string" else _numbers(name, state["data"], decoder)
    with tf.init_scope(), _place(decoder):
        if name in _QUANTIZED:
            return tf.bitcast(tf.constant(numbers), name)
        return tf.constant(numbers, name, numbers.shape)


def _numbers(name: str, ref: Any, decoder: Decoder) -> NDArray[Any]:
    info = decoder.info(ref)
    if CODES.get(name) != info.dtype:
        raise ValueError(f"{info.dtype} does not hold {name!r:.40}")
    raw, shape = decoder.look(ref), info.shape
    if name in _BITS and raw.size and int(raw.max()) >= 1 << _BITS[name]:
        raise ValueError(f"{int(raw.max())} is not a byte of {name}")
    if name in _PAIRS:
        if shape[-1:] != (2,):
            raise ValueError(f"complex numbers are pairs, and there are {list(shape)} numbers")
        shape = shape[:-1]
    decoder.budget.charge(raw.nbytes)
    found: NDArray[Any] = np.array(raw).view(_numpy(name)).reshape(shape)
    return found


def _texts(state: Any, decoder: Decoder) -> NDArray[Any]:
    info = decoder.info(state["lengths"])
    if (info.dtype, decoder.info(state["data"]).dtype) != ("I64", "U8"):
        raise ValueError("texts are bytes with their lengths")
    lengths = decoder.look(state["lengths"]).view(np.int64).ravel()
    data = decoder.look(state["data"]).ravel()
    if (lengths.size and (lengths.min() < 0 or lengths.max() > data.size)) or sum(
        lengths.tolist()
    ) != data.size:
        raise ValueError("the lengths of texts are not those of their bytes")
    decoder.budget.charge(_TEXT * len(lengths) + data.size, len(lengths))
    found = np.empty(len(lengths), object)
    ends = np.cumsum(lengths)
    found[:] = [data[end - length : end].tobytes() for end, length in zip(ends, lengths, strict=True)]
    return found.reshape(info.shape)


def _place(decoder: Decoder) -> AbstractContextManager[Any]:
    """Where tensors are made: on the device that the caller chose, or TensorFlow's default."""
    wanted = decoder.device
    if wanted.name is None:
        return nullcontext()
    kind, _, index = wanted.name.partition(":")
    kind, at = {"cuda": "GPU"}.get(kind, kind.upper()), int(index or 0)
    if at < len(tf.config.list_logical_devices(kind)):
        return tf.device(f"{kind}:{at}")  # type: ignore[no-any-return]
    if wanted.or_cpu:
        return nullcontext()
    raise IncompatibleError(
        f"device={wanted.name!r}: TensorFlow does not have that device here; pass device='cpu'"
    )
