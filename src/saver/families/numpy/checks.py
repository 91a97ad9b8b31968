"""What NumPy does not check of arrays that are made from bytes. Each check raises ValueError."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.rules import Broken

_MAX_CODE_POINT = 0x10FFFF

_PADDING_LIMIT = 1 << 12
"""A structured element may be this many times larger than its fields, as in a view of some of the fields."""

_EMPTY_LIMIT = 1 << 24


def padding(shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
    """Check that elements of that dtype are not much larger than the `held` bytes of all their fields."""
    if math.prod(shape) * dtype.itemsize > max(held * _PADDING_LIMIT, _PADDING_LIMIT):
        raise ValueError(f"the shape {shape} of {dtype.itemsize} bytes each has {held} bytes of fields")


def empty_elements(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, checked: elements of size 0 need no memory, but NumPy allocates a byte for each."""
    if math.prod(shape) > _EMPTY_LIMIT:
        raise ValueError(f"the shape {shape} has too many empty elements")
    return shape


def _free(bytes: int = 0, steps: int = 0) -> None:
    """What is being saved is there already."""


def _has_text(dtype: np.dtype[Any]) -> bool:
    base = dtype.base
    return base.kind in "Ub" or (base.names is not None and any(_has_text(base[name]) for name in base.names))


def text(array: NDArray[Any], charge: Callable[..., None] = _free) -> None:
    """Check code points, and booleans. Charges for them, since fields may overlap: there can be more than
    bytes stored."""
    if array.dtype.kind not in "UVb" or not array.dtype.itemsize or not _has_text(array.dtype):
        return
    if array.dtype.kind == "U" and array.size:
        charge(array.nbytes)
        points = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if int(points.max()) > _MAX_CODE_POINT:
            raise Broken("3.14", "a string has a code point beyond Unicode")
    if array.dtype.kind == "b" and array.size and int(np.ascontiguousarray(array).view(np.uint8).max()) > 1:
        raise Broken("3.16", "a boolean is neither 0 nor 1")
    for name in array.dtype.names or ():
        charge(array.size * array.dtype[name].itemsize, 1)
        text(np.ascontiguousarray(array[name]), charge)
