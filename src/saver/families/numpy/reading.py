"""How trees of arrays and scalars are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver.families.numpy.axes import axes_of, places
from saver.families.python.reading import run
from saver.reading.arrays import Array, Entries, held, row_major, shape_of, tensor_array
from saver.reading.forms import form_of_numpy, values
from saver.reading.steps import Found, Look, any_node, step
from saver.reading.texts import base64_bytes, other
from saver.tree import Node, Tensor


def numpy_array(node: Node, entries: Entries) -> Array | None:
    """The entries of a NumPy array; None if it holds objects, or its tree is malformed."""
    state = node.state
    if type(state) is Tensor:
        return tensor_array(state, entries)
    if type(state) is not dict:
        return None
    form, shape = form_of_numpy(state.get("dtype")), shape_of(state.get("shape"))
    if form is None or shape is None:
        return None
    strides = None
    if state.get("order", "C") != "C":
        try:
            seen = places(axes_of(state["order"], len(shape)))
        except ValueError:
            return None
        strides = tuple(row_major(shape)[axis] for axis in seen)
        shape = tuple(shape[axis] for axis in seen)
    return held(Array(form, shape, strides=strides), state.get("data"), base64_bytes, entries)


def _numpy(node: Node, look: Look) -> Found:
    array = numpy_array(node, look.entries)
    if array is not None:
        return [("", array)], False
    state = node.state
    if type(state) is not dict or "items" not in state:
        return any_node(node, look)
    rest = [(step(key), value) for key, value in state.items() if key != "items"]
    return [*run(state["items"], look), *rest], False


def _scalar(node: Node, levels: int) -> str | None:
    """NumPy scalars; complex numbers and those that are not finite are stored as bytes."""
    state = node.state
    if type(state) is list and len(state) == 2:
        form, item = form_of_numpy(state[0]), state[1]
        data = base64_bytes(item)
        if form is not None and form.number and type(item) in (bool, int, float):
            return f"np.{_numpy_name(state[0])}({item!r})"
        if form is not None and form.number and data is not None and len(data) == form.size:
            (item,) = values(np.frombuffer(data, np.uint8), form) or (None,)
            exact = "" if _is_exact(item, data, state[0]) else f", bits {data.hex()}"
            return f"np.{_numpy_name(state[0])}({item!r}{exact})"
    return other(node, levels)


def _numpy_name(dtype: str) -> str:
    return np.dtype(dtype).newbyteorder("<").name if dtype[0] != ">" else f"dtype({dtype!r}).type"


def _is_exact(item: Any, data: bytes, dtype: str) -> bool:
    """Whether the value that Python prints has exactly these bits: there are many nans."""
    with np.errstate(all="ignore"):
        return np.array(type(item)(repr(item))).astype(dtype).tobytes() == data


READERS = {"numpy.array": _numpy}

TEXTS = {"numpy.scalar": _scalar}


def _holds(state: Any) -> tuple[Any, Any]:
    """Arrays store their objects as they are decoded."""
    if type(state) is dict and "items" in state:
        return state["items"], state.get("dtype")
    return None, state


HOLDS = {"numpy.array": _holds}
