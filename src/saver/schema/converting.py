"""Values of inputs, in the dtypes of their fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saver.schema.moments import exactly, moment, span
from saver.schema.problems import Wrong, each_bad, wrong_field

if TYPE_CHECKING:
    from saver.schema.fields import Field


def converted(field: Field, array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The values in the dtype of the field, and which of them are missing."""
    if array.dtype == object or (_form(field) == "span" and array.dtype.kind in "iu"):
        return _of_objects(field, array.astype(object))
    kinds = {"float": "fiu", "int": "iuf", "bool": "b", "str": "UT", "time": "M", "span": "m"}
    if array.dtype.kind not in kinds.get(_form(field), "fiuc"):
        raise wrong_field(field, None, f"values of {field.dtype}", f"an array of {array.dtype}")
    absent = np.zeros(array.shape, bool)
    if array.dtype.kind in "fcMm":
        absent = np.isnan(array) if array.dtype.kind in "fc" else np.isnat(array)
    if field.kind == "str":
        return array.astype(object), absent
    if field.kind == "int":
        return _whole_numbers(field, array, absent), absent
    if array.dtype.kind in "Mm":
        return _times(field, array), absent
    if array.dtype.kind in "iu" and field.dtype in SIGNIFICANT and not all_exact(field, array):
        bad = np.array([not _is_exact(field, int(each)) for each in array.flat], bool).reshape(array.shape)
        if bad.any():
            raise Wrong(each_bad(field, array, bad, _wanted(field)))
    with np.errstate(over="ignore"):
        found = array.astype(field.plain, copy=False)
    if array.dtype.kind == "c" and (bad := np.isinf(found) & ~np.isinf(array)).any():
        raise Wrong(each_bad(field, array, bad, f"a finite number of {field.dtype}"))
    return found, absent


SIGNIFICANT = {
    "float16": 11, "bfloat16": 8, "float32": 24, "float64": 53, "complex64": 24, "complex128": 53,
}  # fmt: skip
"""Binary digits of a whole number that a dtype holds."""

SAFE = 1 << 53
"""From here on, a float may stand for another whole number than the one that was written."""


def all_exact(field: Field, whole: NDArray[Any]) -> bool:
    """Whether whole numbers are so small that the dtype of the field holds all of them."""
    top = 1 << SIGNIFICANT[field.dtype]
    return not whole.size or (int(whole.max()) <= top and int(whole.min()) >= -top)


def _is_exact(field: Field, value: int) -> bool:
    """Whether the dtype holds a whole number: zeros at the end of its binary digits take no room."""
    return (value // (value & -value or 1)).bit_length() <= SIGNIFICANT[field.dtype]


def _form(field: Field) -> str:
    """The kind of its values, in which spans of time are one."""
    return "span" if field.plain.kind == "m" else field.kind


def _times(field: Field, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype == field.plain:
        return array
    found, bad = exactly(array, field.plain)
    if bad.any():
        raise Wrong(each_bad(field, array, bad, _wanted(field)))
    return found


def _whole_numbers(field: Field, array: NDArray[Any], absent: NDArray[np.bool_]) -> NDArray[Any]:
    limits = np.iinfo(field.plain)
    present = array[~absent] if absent.any() else array
    if array.dtype.kind == "f":
        top, low = min(limits.max, SAFE - 1), max(limits.min, 1 - SAFE)
        wide = array.astype(np.float64, copy=False)  # float16 holds no limits of most dtypes
        bad = ~absent & ~((wide == np.floor(wide)) & (wide >= float(low)) & (wide <= float(top)))
    elif present.size and (int(present.min()) < limits.min or int(present.max()) > limits.max):
        bad = np.array([not limits.min <= int(each) <= limits.max for each in array.flat]).reshape(
            array.shape
        )
    else:
        return array.astype(field.plain, copy=False)
    if bad.any():
        raise Wrong(each_bad(field, array, bad, f"a whole number from {limits.min} to {limits.max}"))
    if not absent.any():
        return array.astype(field.plain)
    found = np.where(absent, 0, array).astype(field.plain).astype(object)
    found[absent] = None
    return found


def _of_objects(field: Field, array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values of mixed types, as decoded JSON has them: each is looked at."""
    flat = array.reshape(-1).tolist()
    types = set(map(type, flat))
    if field.kind == "float" and types == {float}:
        found = np.array(flat, np.float64).reshape(array.shape)
        return _narrowed(field, found), np.isnan(found)
    absent = np.array([_is_missing(each) for each in flat], bool).reshape(array.shape)
    take = _TAKE.get(_form(field))
    if take is None:
        raise wrong_field(field, None, f"an array of {field.dtype}", "a list, which cannot hold such values")
    wanted = _wanted(field)
    values = [None if gone else take(field, each) for each, gone in zip(flat, absent.flat, strict=True)]
    bad = np.array([value is None for value in values], bool).reshape(array.shape) & ~absent
    if bad.any():
        raise Wrong(each_bad(field, array, bad, wanted))
    if field.kind == "float":
        taken = np.array([math.nan if each is None else each for each in values], np.float64)
        return _narrowed(field, taken.reshape(array.shape)), absent
    if field.plain.kind in "Mm":
        nothing = np.array("NaT", field.plain)[()]
        moments = [nothing if each is None else each for each in values]
        return np.array(moments, field.plain).reshape(array.shape), absent
    dtype = object if field.kind == "str" or absent.any() else field.plain
    kept = np.empty(len(values), dtype)
    kept[:] = values
    return kept.reshape(array.shape), absent


def _narrowed(field: Field, values: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return values.astype(field.plain, copy=False)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)) or (
        isinstance(value, (np.datetime64, np.timedelta64)) and bool(np.isnat(value))
    ) or type(value).__name__ in ("NAType", "NaTType")  # fmt: skip


def _wanted(field: Field) -> str:
    if field.kind == "int":
        limits = np.iinfo(field.plain)
        return f"a whole number from {limits.min} to {limits.max}"
    example = "2026-11-20" if field.dtype == "datetime64[D]" else "2026-11-20T12:00"
    return {
        "float": f"a number that {field.dtype} holds",
        "bool": "true or false",
        "str": "a text",
        "time": f"a time that {field.dtype} holds exactly, as in {example}",
        "span": f"a span of time that {field.dtype} holds exactly, as in 90 or '90 seconds'",
    }[_form(field)]


def _number(field: Field, value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    if isinstance(value, (int, np.integer)) and not _is_exact(field, int(value)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _integer(field: Field, value: Any) -> int | None:
    limits = np.iinfo(field.plain)
    if isinstance(value, (float, np.floating)) and -SAFE < value < SAFE and value == math.floor(value):
        value = int(value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        return None
    return int(value) if limits.min <= value <= limits.max else None


_TAKE: dict[str, Callable[[Any, Any], Any]] = {
    "float": _number,
    "int": _integer,
    "bool": lambda field, value: bool(value) if isinstance(value, (bool, np.bool_)) else None,
    "str": lambda field, value: str(value) if isinstance(value, str) else None,
    "time": lambda field, value: moment(value, field.plain),
    "span": lambda field, value: span(value, field.plain),
}
"""What a single value becomes, by the kind of its field; None if it does not fit."""
