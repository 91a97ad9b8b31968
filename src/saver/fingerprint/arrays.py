"""Hashes of arrays: of the elements in C order, little-endian, whatever their order in memory.

No array is copied whole: one that is not in C order is hashed in pieces.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.errors import CannotSaveError
from saver.fingerprint.elements import NoValue, encode

PIECE = 4 << 20
"""Bytes copied at a time, where copying is necessary."""

PARALLEL = 16 << 20
"""From this many bytes on, several threads are worth starting: 17 instead of 5 GB/s on 4 processors."""

OBJECTS = 1 << 16
"""Objects turned into bytes at a time."""


def processors() -> int:
    """The number of threads to hash with. With more than eight, memory bandwidth is the limit."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(8, usable or 1)


def new_hasher(size: int) -> blake3:
    """A hasher for about `size` bytes.

    It has threads of its own: those that `blake3.AUTO` shares do not exist after a fork, and the child
    process would wait for them forever.
    """
    return blake3(max_threads=processors() if size >= PARALLEL else 1)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The common name of a dtype, without byte order and padding, since hashes do not depend on them."""
    if dtype.names is not None:
        fields = (f"{name}: {dtype_name(dtype[name])}" for name in dtype.names)
        return f"[{', '.join(fields)}]"
    if dtype.subdtype is not None:
        return f"{dtype_name(dtype.subdtype[0])}{list(dtype.shape)}"
    if dtype.kind in "US":
        return dtype.str.lstrip("<>|=")
    return str(dtype) if dtype.kind == "T" else dtype.name


def array_fingerprint(array: NDArray[Any], where: str) -> dict[str, Any]:
    """Dtype, shape, bytes and hash of an array of any dtype. Raises CannotSaveError for an element that is
    not a plain value."""
    hasher = new_hasher(array.nbytes)
    try:
        _absorb_any(array, hasher)
    except (NoValue, RecursionError) as error:
        raise no_value(error, where) from None
    found: dict[str, Any] = {"dtype": dtype_name(array.dtype), "shape": list(array.shape)}
    if not array.dtype.hasobject:  # an array of pointers has no size that says anything
        found["bytes"] = array.nbytes
    return {**found, "hash": hasher.hexdigest()}


def no_value(error: Exception, where: str) -> CannotSaveError:
    """The error for an element that is not a plain value."""
    if isinstance(error, RecursionError):
        return CannotSaveError(f"{where}: its elements are nested too deep; flatten them")
    return CannotSaveError(
        f"{where}: it holds objects of the type {error}, which have no value to compare; turn them into "
        "numbers, strings or dates, or leave them out"
    )


def _absorb_any(array: NDArray[Any], hasher: blake3) -> None:
    """Hash the elements; a masked array's first, with zeros where they are masked, and then its mask."""
    mask: NDArray[Any] = np.asarray(np.ma.getmask(array))
    if not np.ascontiguousarray(mask).reshape(-1).view(np.bool_).any():  # of records, for each field
        absorb(np.asarray(array), hasher)
        return
    zero: Any = np.zeros((), array.dtype)[()]
    for block in blocks(array, array.dtype.itemsize):
        absorb(np.ma.filled(block, zero), hasher)
    absorb(mask, hasher)


def absorb(array: NDArray[Any], hasher: blake3) -> None:
    """Hash the elements of an array; those of a structured array field by field, without the padding."""
    dtype = array.dtype
    if dtype.names is not None:
        for name in dtype.names:
            absorb(array[name], hasher)
    elif dtype.hasobject or dtype.kind == "T":
        for block in blocks(array, PIECE // OBJECTS):
            hasher.update(encode(block.reshape(-1).tolist()))
    elif dtype.itemsize and array.size:
        little = dtype.newbyteorder("<")
        whole = array.flags.c_contiguous and dtype == little and not _padded(dtype)
        for block in (array,) if whole else blocks(array, dtype.itemsize):
            raw = np.ascontiguousarray(block, little).reshape(-1).view(np.uint8)
            hasher.update((_without_padding(raw) if _padded(dtype) else raw).data)


_EXTENDED = np.finfo(np.longdouble).nmant == 63
"""Whether long doubles are x87's: 10 bytes, followed by padding with arbitrary content."""


def _padded(dtype: np.dtype[Any]) -> bool:
    return _EXTENDED and dtype.char in "gG"


def _without_padding(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(raw.reshape(-1, np.dtype(np.longdouble).itemsize)[:, :10]).reshape(-1)


def blocks(array: Any, item: int) -> Iterator[Any]:
    """An array or tensor in C order, in pieces of `PIECE` bytes or less; an element takes `item` bytes."""
    row = math.prod(array.shape[1:]) * item
    if array.ndim == 0 or row * len(array) <= PIECE:
        yield array
    elif row > PIECE:
        for part in array:
            yield from blocks(part, item)
    else:
        step = PIECE // row
        for start in range(0, len(array), step):
            yield array[start : start + step]
