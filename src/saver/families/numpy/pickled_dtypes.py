"""NumPy dtypes as pickles describe them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from saver.pickled import Call, Global, NotReadError, Pairs, sequence

_KIND = re.compile(r"[biufcmMSUVO][0-9]{0,9}")
_DEPTH = 16


def dtype_of(value: Any, depth: int = 0) -> np.dtype[Any]:
    """The dtype that a call of `numpy.dtype` and its state describe. Raises NotReadError."""
    if isinstance(value, np.dtype):
        return value
    if type(value) is not Call or value.function != Global("numpy", "dtype") or depth > _DEPTH:
        raise NotReadError("a dtype is missing")
    if value.result is None:  # the arrays of a model refer to a few
        value.result = _made(value, depth)
    found: np.dtype[Any] = value.result
    return found


def _made(value: Call, depth: int) -> np.dtype[Any]:
    text = value.args[0] if value.args else None
    if type(text) is Global and text.module == "numpy" and text.name == "record":
        text = "V"
    if type(text) is not str or not _KIND.fullmatch(text):
        raise NotReadError(f"{str(text)[:40]!r} is not a dtype that pickles hold")
    if not value.has_state:
        return np.dtype(text)
    state = sequence(value.state, "the state of a dtype")
    if len(state) < 6 or state[1] not in ("<", ">", "=", "|"):
        raise NotReadError("the state of a dtype does not have its parts")
    try:
        return _with_state(text, state, depth)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotReadError(f"a dtype cannot be made from this: {error}") from None


def _with_state(text: str, state: list[Any], depth: int) -> np.dtype[Any]:
    _, order, base, names, fields, size, *rest = state
    if base is not None:
        inner, shape = sequence(base, "a dtype of arrays")
        axes = shape if type(shape) is tuple else (shape,)
        if len(axes) > 32 or not all(type(axis) is int and 0 < axis < 1 << 31 for axis in axes):
            raise NotReadError("the shape of a dtype does not consist of sizes")
        return np.dtype((dtype_of(inner, depth + 1), axes))
    if fields is not None:
        return _structured(names, fields, size, depth)
    if text[0] in "mM" and len(rest) > 2:
        return np.dtype(f"{order}{text[0]}8[{_unit(rest[2])}]")
    if text[0] in "SUV" and type(size) is int and size >= 0 and not text[1:].strip("0"):
        return np.dtype(f"{order}{text[0]}{size // (4 if text[0] == 'U' else 1)}")
    return np.dtype(text) if order == "|" else np.dtype(f"{order}{text}")


def _structured(names: Any, fields: Any, size: Any, depth: int) -> np.dtype[Any]:
    found = dict(fields.items) if type(fields) is Pairs and _are_texts(fields) else {}
    listed = [name for name in sequence(names, "the names of fields") if type(name) is str]
    parts = [sequence(found[name], "a field") for name in listed if name in found]
    if not listed or len(parts) != len(listed) or type(size) is not int or not 0 <= size < 1 << 31:
        raise NotReadError("the fields of a dtype are not there")
    formats = [dtype_of(part[0], depth + 1) for part in parts]
    offsets = [part[1] for part in parts]
    for at, kind in zip(offsets, formats, strict=True):
        if type(at) is not int or not 0 <= at <= size - kind.itemsize:  # NumPy adds them in 32 bits
            raise NotReadError("a field lies outside of its structure")
    structured: Any = np.dtype
    made: np.dtype[Any] = structured(
        {"names": listed, "formats": formats, "offsets": offsets, "itemsize": size}
    )
    return made


def _are_texts(fields: Pairs) -> bool:
    return all(type(key) is str for key, _ in fields.items)


def _unit(metadata: Any) -> str:
    """The unit of dates: `ns`, `25s`; "" becomes the generic one."""
    _, parts = (None, metadata) if len(metadata) != 2 else metadata
    unit, count = parts[0], parts[1]
    text = unit.decode("ascii") if type(unit) is bytes else unit
    if type(text) is not str or type(count) is not int or not 0 < count < 1 << 30:
        raise NotReadError("the unit of dates is not one")
    if text not in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic"):
        raise NotReadError(f"{text[:20]!r} is not a unit of dates")
    return text if count == 1 else f"{count}{text}"
