"""Tensors that are cut into shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np

from saver.encoding import encode
from saver.repo.draft import Draft
from saver.tensors import NUMPY_DTYPE, TENSOR_DTYPE, Box, ShardedData, TensorData


def sharded(array: Any, boxes: Iterable[Box]) -> ShardedData:
    """An array, to be saved as a shard for each box."""
    dtype = TENSOR_DTYPE[array.dtype.kind, array.dtype.itemsize]
    shards = {
        box.offsets: TensorData(dtype, box.sizes, np.ascontiguousarray(array[box.slices])) for box in boxes
    }
    return ShardedData(dtype, array.shape, shards)


def rows(shape: tuple[int, ...], *ends: int) -> list[Box]:
    """Boxes that cut the first axis where each but the last ends."""
    starts = (0, *ends)
    stops = (*ends, shape[0])
    return [
        Box((start,) + (0,) * (len(shape) - 1), (stop - start, *shape[1:]))
        for start, stop in zip(starts, stops, strict=True)
    ]


def cut_draft(model: str, obj: Any, cut: Callable[[str, Any], list[Box]], **more: Any) -> Draft:
    """A version of `obj` whose tensors are saved in the boxes that `cut` gives, by name and array."""
    encoded = encode(obj)
    tensors = {}
    for name, data in encoded.tensors.items():
        array = np.asarray(data.data).view(NUMPY_DTYPE[data.dtype]).reshape(data.shape)
        tensors[name] = sharded(array, cut(name, array))
    encoded = msgspec.structs.replace(encoded, tensors={}, sharded=tensors)
    return Draft(model=model, encoded=encoded, time=0.0, environment={}, **more)
