"""Tensors that consist of others: ragged and sparse ones, slices by their indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from saver.codec import Codec, Decoder, Encoder
from saver.errors import kind_of
from saver.families.tensorflow.tensors import EagerTensor
from saver.tree import Node, Value


def _tensor(value: Any, *dtypes: str) -> Any:
    """Raise ValueError unless it is a tensor with elements of one of these dtypes, if any are given."""
    if type(value) is not EagerTensor or (dtypes and value.dtype.name not in dtypes):
        raise ValueError(f"{kind_of(value)} stands where a tensor of {' or '.join(dtypes)} belongs")
    return value


class RaggedCodec(Codec):
    """Ragged tensors, by their values and the places where rows end, level by level."""

    name = "tensorflow.RaggedTensor"
    types = (tf.RaggedTensor,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return {
            "values": encoder(obj.values, "values"),
            "splits": encoder(obj.row_splits, "row_splits"),
            "length": None if obj.uniform_row_length is None else int(obj.uniform_row_length),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        values, splits = decoder(state["values"]), _tensor(decoder(state["splits"]), "int32", "int64")
        if type(values) is not tf.RaggedTensor:
            _tensor(values)
        count = int(values.nrows()) if type(values) is tf.RaggedTensor else _rows(values)
        ends, length = np.asarray(splits), state["length"]
        if ends.ndim != 1 or not len(ends) or ends[0] != 0 or ends[-1] != count or (np.diff(ends) < 0).any():
            raise ValueError("the rows of a ragged tensor do not end where its values do")
        if length is None:
            return tf.RaggedTensor.from_row_splits(values, splits)
        if type(length) is not int or length < 0 or (np.diff(ends) != length).any():
            raise ValueError("the rows of a ragged tensor do not have the length that it has for all")
        rows = tf.constant(len(ends) - 1, splits.dtype)
        return tf.RaggedTensor.from_uniform_row_length(values, tf.constant(length, splits.dtype), rows)


def _rows(values: Any) -> int:
    if not values.shape.rank:
        raise ValueError("the values of a ragged tensor are a single number")
    return int(values.shape[0])


class SparseCodec(Codec):
    """Sparse tensors, by the indices and values of their elements and their dense shape."""

    name = "tensorflow.SparseTensor"
    types = (tf.SparseTensor,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        parts = (obj.indices, obj.values, obj.dense_shape)
        encoder.check(_check_sparse, *parts)
        return [encoder(part, name) for part, name in zip(parts, _SPARSE, strict=True)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        indices, values, shape = map(decoder, node.state)
        _check_sparse(indices, values, shape)
        return tf.SparseTensor(indices, values, shape)


_SPARSE = ("indices", "values", "dense_shape")


def _check_sparse(indices: Any, values: Any, shape: Any) -> None:
    """Raise ValueError unless there is an index within the shape for each value."""
    places, sizes = np.asarray(_tensor(indices, "int64")), np.asarray(_tensor(shape, "int64"))
    _tensor(values)
    if sizes.ndim != 1 or (sizes < 0).any() or sum(np.log2(np.maximum(sizes, 1))) >= _MOST:
        raise ValueError("the shape of a sparse tensor is not a list of sizes")
    if places.shape != (*values.shape, len(sizes)) or values.shape.rank != 1:
        raise ValueError("a sparse tensor does not have an index for each value")
    if (places < 0).any() or (places >= sizes).any():
        raise ValueError("an index of a sparse tensor is outside of its shape")


_MOST = 62
"""The logarithm of how many elements a dense shape may have: native code counts them in 63 bits."""


class SlicesCodec(Codec):
    """`tf.IndexedSlices`, as the gradient of an embedding is."""

    name = "tensorflow.IndexedSlices"
    types = (tf.IndexedSlices,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        parts = (obj.values, obj.indices, obj.dense_shape)
        encoder.check(_check_slices, *parts)
        return [encoder(part, name) for part, name in zip(parts, ("values", "indices", "shape"), strict=True)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        values, indices, shape = map(decoder, node.state)
        _check_slices(values, indices, shape)
        return tf.IndexedSlices(values, indices, shape)


def _check_slices(values: Any, indices: Any, shape: Any) -> None:
    """Raise ValueError unless there is an index within the shape for each slice."""
    _tensor(values)
    places = np.asarray(_tensor(indices, "int32", "int64"))
    if places.ndim != 1 or _rows(values) != len(places) or (places < 0).any():
        raise ValueError("indexed slices do not have an index for each slice")
    if shape is None:
        return
    sizes = np.asarray(_tensor(shape, "int32", "int64"))
    if sizes.ndim != 1 or len(sizes) != values.shape.rank or (places >= sizes[0]).any():
        raise ValueError("indexed slices are outside of their shape")
