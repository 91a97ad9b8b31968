"""How trees of arrays are read. Needs no TensorFlow."""

from __future__ import annotations

from typing import Any

from saver.reading.arrays import tensor_array
from saver.reading.steps import Found, Look, any_node
from saver.tree import Node, Tensor


def _array(node: Node, look: Look) -> Found:
    """An array whose elements safetensors has as they are."""
    state: Any = node.state
    if type(state) is not dict or type(state.get("data")) is not Tensor or state.keys() != {"data", "dtype"}:
        return any_node(node, look)
    array, dtype = tensor_array(state["data"], look.entries), state["dtype"]
    if array is None or type(dtype) is not str or dtype not in _PLAIN:
        return any_node(node, look)
    return [("", array)], False


_PLAIN = frozenset((
    "bool", "uint8", "int8", "uint16", "int16", "float16", "bfloat16", "uint32", "int32", "float32", "uint64",
    "int64", "float64", "float8_e4m3fn", "float8_e5m2",
))  # fmt: skip

READERS = {"tensorflow.Tensor": _array}
