"""Arrays whose elements are on several devices, also those of other processes: the boxes that are here."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from saver.tensors import Box

Numbers = np.ndarray[Any, Any]


def box_of(index: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    """The box that an index of JAX means, in an array of this shape."""
    ranges = [each.indices(axis) for each, axis in zip(index, shape, strict=True)]
    return Box(tuple(start for start, _, _ in ranges), tuple(stop - start for start, stop, _ in ranges))


def boxes_here(array: Any) -> dict[Box, Numbers]:
    """The boxes of an array that are in this process, each once."""
    found: dict[Box, Numbers] = {}
    for shard in array.addressable_shards:
        box = box_of(shard.index, array.shape)
        if box not in found:
            found[box] = np.asarray(shard.data)
    return found


def numbers_of_keys(keys: Any) -> Any:
    """The numbers that random keys consist of: without a computation, which in an array of several processes
    would need all of them."""
    return jax.random.key_data(keys) if keys.is_fully_addressable else keys._base_array
