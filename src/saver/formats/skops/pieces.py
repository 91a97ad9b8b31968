"""What the nodes of a schema consist of: arrays, keys, and values of one kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.errors import IncompatibleError, with_article
from saver.formats._npy import HEADER, parsed
from saver.formats.pickle.calls import Malformed
from saver.pickled import Global, Inert


def kind_of(value: Any, kind: type) -> Any:
    """A value, which must be of this kind."""
    if type(value) is not kind:
        raise Malformed(
            f"{with_article(type(value).__name__)} stands where {with_article(kind.__name__)} belongs"
        )
    return value


def npy(raw: Any, name: str) -> NDArray[Any]:
    """The array in the bytes of an `.npy` file. Raises Malformed."""
    try:
        dtype, shape, order, start = parsed(raw[:HEADER].tobytes(), "it", name)
    except IncompatibleError as error:
        raise Malformed(str(error)) from None
    need = math.prod(shape) * dtype.itemsize
    if len(raw) - start != need:
        raise Malformed(f"{name[:80]!r} has {len(raw) - start:,} bytes, and its shape needs {need:,}")
    if not need:
        return np.empty(shape, dtype) if math.prod(shape) == 0 else np.zeros(shape, dtype)
    return np.frombuffer(raw[start:], dtype).reshape(shape, order="F" if order == "F" else "C")


def bytes_of(array: NDArray[Any]) -> Any:
    """The bytes of an array in C order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def order_of(dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """The state of a dtype in a pickle: its byte order."""
    return 3, dtype.str[0], None, None, None, -1, -1, 0


def key_of(key: str, kind: Inert) -> Any:
    """A key of JSON as the type that it had."""
    if type(kind) is not Global or kind.module not in ("builtins", "numpy"):
        raise Malformed(f"a key of a dict is of the type {str(kind)[:80]}")
    name = kind.name.rstrip("_")
    if name.startswith("str"):
        return key
    if name == "NoneType":
        return None
    if name.startswith("bool"):
        return key.lower() == "true"
    if name.startswith(("int", "uint")):
        return int(key)
    if name.startswith("float"):
        return float(key)
    raise Malformed(f"a key of a dict is of the type {kind}")
