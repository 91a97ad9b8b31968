"""What modules hold beside tensors: dtypes, shapes, and what a function takes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from saver.codec import Codec, Decoder, Encoder
from saver.families.tensorflow.tensors import CODES
from saver.tree import EXACT_INTEGER, Node, Value

_NAMES = frozenset((*CODES, "string", "resource", "variant"))


def dtype_named(name: Any) -> Any:
    """The dtype of this name. Raises ValueError if there is none."""
    if type(name) is not str or name not in _NAMES:
        raise ValueError(f"{name!r:.40} is not the name of a dtype")
    return tf.as_dtype(name)


class DTypeCodec(Codec):
    """Dtypes, by name."""

    name = "tensorflow.DType"
    types = (tf.DType,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj.name not in _NAMES:
            encoder.refuse(f"the dtype {obj.name} has no data form; leave it out")
        return obj.name  # type: ignore[no-any-return]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return dtype_named(node.state)


def shape_state(shape: Any) -> Value:
    """The sizes of a shape, None for those that are unknown; None if even their number is."""
    return None if shape.rank is None else [None if size is None else int(size) for size in shape]


def shape_made(state: Any) -> Any:
    """The shape again."""
    if state is not None and (type(state) is not list or not all(map(_is_size, state))):
        raise ValueError("a shape is not a list of sizes")
    return tf.TensorShape(state)


def _is_size(size: Any) -> bool:
    return size is None or (type(size) is int and 0 <= size <= EXACT_INTEGER)


class ShapeCodec(Codec):
    """Shapes, whole or unknown in part."""

    name = "tensorflow.TensorShape"
    types = (tf.TensorShape,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return shape_state(obj)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return shape_made(node.state)


class SpecCodec(Codec):
    """`tf.TensorSpec`: a shape, a dtype and a name."""

    name = "tensorflow.TensorSpec"
    types = (tf.TensorSpec,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj.dtype.name not in _NAMES:
            encoder.refuse(f"the dtype {obj.dtype.name} has no data form; leave it out")
        return [shape_state(obj.shape), obj.dtype.name, obj.name]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        shape, dtype, name = node.state
        if name is not None and type(name) is not str:
            raise ValueError("the name of a tensor is not a text")
        return tf.TensorSpec(shape_made(shape), dtype_named(dtype), name)
