"""Many numbers as LightGBM's text, and the other way round."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

_MINUS, _BLANK, _LINE, _ZERO, _COMMA = b"- \n0,"


_MOST = 1 << 30
"""Numbers below it are written as integers if they are some."""


def read(lines: Sequence[bytes], dtype: Any) -> NDArray[Any]:
    """Numbers between blanks. With one blank between them, floating point numbers are mostly those of JSON,
    which is parsed several times as fast. Raises ValueError for integers that the type does not hold."""
    text = b" ".join(lines)
    if dtype is not np.float64:
        whole = _parsed(text, np.int64)
        limits = np.iinfo(dtype)
        if len(whole) and not (limits.min <= whole.min() and whole.max() <= limits.max):
            raise ValueError("a number of a tree is out of range")
        return whole.astype(dtype)
    try:
        found = msgspec.json.decode(b"[%b]" % text.replace(b" ", b","), type=list[float])
    except msgspec.DecodeError:
        return _parsed(text, dtype)
    return np.frombuffer(struct.pack(f"{len(found)}d", *found), dtype)  # twice as fast as from the list


def _parsed(text: bytes, dtype: Any) -> NDArray[Any]:
    return np.fromstring(text, dtype, sep=" ") if text.strip() else np.empty(0, dtype)


def write(array: NDArray[Any], bounds: NDArray[np.int64]) -> list[bytes]:
    """The values of each tree, between blanks. `bounds` are where those of each begin and end."""
    filled = np.diff(bounds) > 0
    if not filled.any():
        return [b""] * len(filled)
    whole = _as_whole(array)
    last = bounds[1:][filled] - 1
    text = _real(array, last) if whole is None else _whole(whole, last)
    found = iter(text.split(b"\n"))
    return list(found) if filled.all() else [next(found) if any_here else b"" for any_here in filled]


def _as_whole(array: NDArray[Any]) -> NDArray[Any] | None:
    """The same numbers as integers, which weights often are; None if they are not the same."""
    if array.dtype.kind != "f":
        return array
    if not (np.abs(array) < _MOST).all() or (array != np.trunc(array)).any():
        return None
    return None if (np.signbit(array) & (array == 0)).any() else array.astype(np.int64)


def _real(array: NDArray[Any], last: NDArray[np.int64]) -> bytes:
    """Numbers with as many digits as they need, with a line's end after each of the last ones but one."""
    values = array.tolist()
    if np.isfinite(array).all():
        text = msgspec.json.encode(values)[1:-1]
    else:
        text = ",".join(map(repr, values)).encode()  # JSON has no NaN and no infinity
    data = np.frombuffer(text, np.uint8).copy()
    commas = np.flatnonzero(data == _COMMA)
    data[commas] = _BLANK
    data[commas[last[:-1]]] = _LINE
    return data.tobytes()


def _whole(array: NDArray[Any], last: NDArray[np.int64]) -> bytes:
    """The same of integers: a row for each digit, of which those are kept that a number has."""
    rest = np.abs(array.astype(np.int64))
    digits = len(str(rest.max()))
    if digits < 10:
        rest = rest.astype(np.uint32)
    rows = np.full((digits + 2, len(array)), _BLANK, np.uint8)
    kept = np.ones(rows.shape, np.bool_)
    rows[0], kept[0] = _MINUS, array < 0
    rows[-1, last] = _LINE
    for row in range(digits, 0, -1):
        if row < digits:
            kept[row] = rest > 0
        tens = rest // 10
        rows[row] = rest - 10 * tens + _ZERO
        rest = tens
    return rows.T[kept.T].tobytes()[:-1]
