"""ONNX models: the message without its large weights, and those as tensors.

Parsing such a message is safe whatever its bytes are; what is refused is a model that names files of its own,
and weights whose size is not that of their shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from saver.codec import Codec, Decoder, Encoder
from saver.families.python.whole import WholeRestorer
from saver.restoring import Restorer
from saver.tree import Node, Value

LARGE = 1024
"""Weights of at least this many bytes are tensors; smaller ones stay in the message."""

_DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "<f4", TensorProto.DOUBLE: "<f8", TensorProto.FLOAT16: "<f2", TensorProto.INT8: "|i1",
    TensorProto.INT16: "<i2", TensorProto.INT32: "<i4", TensorProto.INT64: "<i8", TensorProto.UINT8: "|u1",
    TensorProto.UINT16: "<u2", TensorProto.UINT32: "<u4", TensorProto.UINT64: "<u8", TensorProto.BOOL: "|b1",
}  # fmt: skip
"""Those that safetensors has. Weights of others, such as FLOAT8E4M3FN, stay in the message."""


class ModelCodec(Codec):
    """`onnx.ModelProto`. Fields that this version of ONNX does not know are kept."""

    name = "onnx.model"
    types = (ModelProto,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.check(check, obj)
        model = ModelProto()
        model.CopyFrom(obj)
        weights: dict[str, Value] = {}
        for number, tensor in enumerate(model.graph.initializer):
            if len(tensor.raw_data) >= LARGE and tensor.data_type in _DTYPES:
                array = np.frombuffer(tensor.raw_data, _DTYPES[tensor.data_type]).reshape(tensor.dims)
                weights[str(number)] = encoder.tensor(array, tensor.name or number)
                tensor.ClearField("raw_data")
        text = model.SerializeToString(deterministic=True)
        return {"model": encoder.tensor(np.frombuffer(text, np.uint8), "message"), "weights": weights}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        data = decoder.array(state["model"], "U8", 1)
        decoder.budget.charge(20 * data.size, data.size // 4)
        model = ModelProto()
        model.ParseFromString(data.tobytes())
        for number, ref in state["weights"].items():
            tensor = model.graph.initializer[_index(number)]
            array = decoder.array(ref)
            if tensor.HasField("raw_data") or str(array.dtype.str) != _DTYPES.get(tensor.data_type):
                raise ValueError(f"the weight {number} is of another kind")
            if array.shape != tuple(tensor.dims):
                raise ValueError(f"the weight {number} has the shape {array.shape}, not {tuple(tensor.dims)}")
            decoder.budget.charge(array.nbytes)
            tensor.raw_data = array.tobytes()
        check(model)
        return model


def _index(number: str) -> int:
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(f"{number!r:.40} is not the number of a weight")
    return int(number)


def check(model: Any) -> None:
    """Raise ValueError for a model with a tensor that names a file, or whose bytes do not fill its shape."""
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(
                f"the tensor {tensor.name!r:.60} lies in a file of its own; load it into the model "
                "(onnx.load does, unless load_external_data=False)"
            )
        if any(size < 0 for size in tensor.dims):
            raise ValueError(f"the tensor {tensor.name!r:.60} has a negative size")
        dtype = _DTYPES.get(tensor.data_type)
        if tensor.HasField("raw_data") and dtype is not None:
            expected = math.prod(tensor.dims) * np.dtype(dtype).itemsize
            if len(tensor.raw_data) != expected:
                raise ValueError(
                    f"the tensor {tensor.name!r:.60} has {len(tensor.raw_data)} bytes, not {expected}"
                )


def _tensors(message: Any) -> Iterator[Any]:
    """All tensors in a message, at every depth."""
    waiting = [message]
    while waiting:
        item = waiting.pop()
        if isinstance(item, TensorProto):
            yield item
            continue
        for field, value in item.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else list(value)


def become(target: Any, found: Any) -> None:
    """Let a model have the content of another one."""
    target.CopyFrom(found)


CODECS: tuple[Codec, ...] = (ModelCodec(),)

RESTORERS: tuple[Restorer, ...] = (WholeRestorer(ModelProto, ModelCodec.name, become),)
