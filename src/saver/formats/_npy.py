"""The header of NumPy's `.npy` files.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
import io
from typing import Any

import numpy as np
from numpy.lib import format as npy

from saver.errors import IncompatibleError

HEADER = 12 + 65_536
"""Bytes of the longest header that is read; NumPy itself refuses those with more than 10,000."""

MAGIC = b"\x93NUMPY"


def header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The bytes before the entries of an array in C order."""
    file = io.BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, described)
    return file.getvalue()


def parsed(
    start: bytes, where: str, name: str, objects: bool = False
) -> tuple[np.dtype[Any], tuple[int, ...], str, int]:
    """The dtype, the shape and the order (C or F) of an array whose file begins so, and the length of its
    header. Raises IncompatibleError, also for Python objects unless `objects` is true."""
    wide = start[6:7] in (b"\2", b"\3")
    first = 12 if wide else 10
    length = first + int.from_bytes(start[8:first], "little")
    if start[:6] != MAGIC or start[6:8] not in (b"\1\0", b"\2\0", b"\3\0") or length > len(start):
        raise IncompatibleError(f"{where}: {name[:80]!r} does not begin as an array does")
    text = start[first:length]
    try:
        found = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin-1").strip())
        if type(found) is not dict or found.keys() != {"descr", "fortran_order", "shape"}:
            raise ValueError("it has other fields")
        shape, fortran = found["shape"], found["fortran_order"]
        if type(shape) is not tuple or type(fortran) is not bool:
            raise ValueError("its shape is not one")
        if not all(type(axis) is int and 0 <= axis < 1 << 62 for axis in shape):
            raise ValueError("its shape is not one")
        dtype = npy.descr_to_dtype(_plain(found["descr"]))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, KeyError, IndexError) as error:
        raise IncompatibleError(f"{where}: the header of {name[:80]!r} is not one: {error!s:.200}") from None
    if dtype.hasobject and not objects:
        raise IncompatibleError(
            f"{where}: {name[:80]!r} is an array of Python objects, which is stored as a pickle; nothing in "
            "it was run; convert it, with NumPy, to an array of numbers or strings"
        )
    return dtype, shape, "F" if fortran else "C", length


def _plain(described: Any, depth: int = 0) -> Any:
    """What describes a dtype: a text, a pair of a dtype and a shape, or a list of fields. Raises ValueError
    for a text that NumPy would evaluate, as it does some with commas."""
    if depth > 8:
        raise ValueError("its dtype is nested too deeply")
    if type(described) is str:
        if "," in described or "(" in described:
            raise ValueError(f"{described[:40]!r} is not a dtype")
    elif type(described) is tuple and described:
        _plain(described[0], depth + 1)
    elif type(described) is list:
        for field in described:
            if type(field) is not tuple or len(field) < 2:
                raise ValueError("a field of its dtype is not one")
            _plain(field[1], depth + 1)
    else:
        raise ValueError("its dtype is not one")
    return described
