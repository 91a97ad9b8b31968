"""An example of what a model is called with, for formats that need one: zeros of a shape and dtype."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMIT = 1 << 30
"""Bytes that an example takes at most: its shape may come from a file."""

_SHAPE = re.compile(r"(\d{1,10}(?:x\d{1,10}){0,31})(?::(\w+))?")
_INPUT = ("X", "x", "data")
_TEXT = ("object", "str", "string", "large_string")
_NUMBERS = frozenset(
    ["bool", "float16", "float32", "float64", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


def parse(text: str) -> NDArray[Any] | None:
    """Zeros of a shape that is written as `1x3x224x224`, or `1x16:int64` if they are not float32; None for
    what is not such a text. Raises ValueError for another dtype, and for too large a shape."""
    match = _SHAPE.fullmatch(text)
    return _zeros(tuple(map(int, match[1].split("x"))), match[2] or "float32") if match else None


def of_data(data: Mapping[str, Any]) -> Any:
    """An example of one row, made of what a version records of its training data: an array, or for a frame a
    dict of arrays by column. It is the data called X, x or data, or the only one. None if the record does
    not say enough, which need not be true: it comes from a file.
    """
    chosen = [data[name] for name in _INPUT if name in data] or list(data.values())
    found = chosen[0] if len(chosen) == 1 else None
    try:
        columns, shape = found.get("columns"), found["shape"]  # type: ignore[union-attr, index]
        if columns:
            return {str(each["name"]): _zeros((1,), each["dtype"]) for each in columns}
        return _zeros((1, *(int(size) for size in shape[1:])), found["dtype"]) if shape else None  # type: ignore[index]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _zeros(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Zeros, or empty texts."""
    name = dtype.removeprefix("category[").removesuffix("]")
    if name.lower() not in _NUMBERS and name not in _TEXT:
        raise ValueError(f"example: {dtype[:80]!r} is not a dtype, such as float32, int64 or str")
    found = np.dtype("U1" if name in _TEXT else name.lower())
    size = math.prod(shape) * found.itemsize
    if size > LIMIT:
        raise ValueError(f"example: an array of the shape {str(shape)[:80]} would take {size:,} bytes")
    return np.zeros(shape, found)
