"""The bytes that describe an object, by which objects without an order are sorted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from blake3 import blake3
from msgspec import Raw

from saver.canonical import canonical
from saver.tensors import TensorData
from saver.tree import Value, to_json


def written(tree: Value, batches: Mapping[str, Value], tensors: Mapping[str, TensorData]) -> bytes:
    """A tree, its batches, and a hash of its tensors, as bytes; equal ones for equal trees."""
    states = {name: Raw(to_json(state)) for name, state in batches.items()}
    hasher = blake3()
    for name, tensor in tensors.items():
        hasher.update(canonical([name, tensor.dtype, tensor.shape], floats=False))
        for piece in (tensor.data,) if isinstance(tensor.data, np.ndarray) else tensor.data():
            hasher.update(piece.tobytes())
    end = hasher.digest() if tensors else b""
    return to_json(tree) + (canonical(states, floats=False) if states else b"") + end
