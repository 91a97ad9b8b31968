"""Inputs held against a schema, before any model sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saver.errors import quoted
from saver.schema.converting import all_exact, converted
from saver.schema.problems import LIMIT, Problem, Wrong, came_as, each_bad, refuse, wrong_field

if TYPE_CHECKING:
    from saver.schema.fields import Field, Schema


MISSING = ("seen", "accept", "refuse")
"""What may be said of missing values."""


def checked(schema: Schema, inputs: Mapping[str, Any], missing: str) -> dict[str, NDArray[Any]]:
    """See `Schema.check`."""
    if missing not in MISSING:
        raise ValueError(f"missing={missing!r}: it is one of {', '.join(map(repr, MISSING))}")
    problems = _names(schema, inputs)
    found: dict[str, NDArray[Any]] = {}
    for field in schema.inputs:
        if field.name in inputs:
            try:
                found[field.name] = _checked(field, inputs[field.name], missing)
            except Wrong as wrong:
                problems += islice(wrong.problems, LIMIT + 1 - min(LIMIT, len(problems)))
    problems += _lengths(found)
    if problems:
        raise refuse(problems)
    return found


def _names(schema: Schema, inputs: Mapping[str, Any]) -> list[Problem]:
    known = {*schema.names}
    absent = islice((field for field in schema.inputs if field.name not in inputs), LIMIT)
    unknown = islice((name for name in inputs if name not in known), LIMIT)
    return [Problem(None, field.name, field.text(), "nothing") for field in absent] + [
        Problem(None, str(name)[:80], "no such column", "a column of that name") for name in unknown
    ]


def _lengths(found: Mapping[str, NDArray[Any]]) -> list[Problem]:
    """All fields have the same number of rows, and at least one."""
    lengths = {name: len(values) for name, values in found.items()}
    if not lengths:
        return []
    first = next(iter(lengths.values()))
    if first == 0:
        return [Problem(None, next(iter(lengths)), "at least one row", "none")]
    return [
        Problem(None, name, f"{first:,} rows, as in {next(iter(lengths))!r}", f"{length:,}")
        for name, length in lengths.items()
        if length != first
    ][:LIMIT]


def _checked(field: Field, values: Any, missing: str) -> NDArray[Any]:
    found = _finite(field, values)
    return found if found is not None else _looked_at(field, values, missing)


def _finite(field: Field, values: Any) -> NDArray[Any] | None:
    """A list of finite floats, or of rows of them, as an array: what most clients send, and what fits a field
    of floats whatever is missing elsewhere. None if it is anything else, and has to be looked at."""
    if type(values) is not list or len(field.shape) > 2 or field.categories or field.kind != "float":
        return None
    flat, shape = values, (len(values), *field.shape[1:])
    if len(shape) == 2:
        if set(map(type, values)) != {list} or set(map(len, values)) != {shape[1]}:
            return None
        flat = values[0] if len(values) == 1 else list(chain.from_iterable(values))
    if set(map(type, flat)) != {float}:
        return None
    found = np.array(flat, np.float64)
    if field.plain != found.dtype:
        with np.errstate(over="ignore"):
            found = found.astype(field.plain)
    return found.reshape(shape) if np.isfinite(found).all() else None  # type: ignore[arg-type]


def _looked_at(field: Field, values: Any, missing: str) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):  # under whose mask any values lie
        raise wrong_field(field, None, "an array with NaN or None where values are missing", "a masked array")
    array = np.asarray(values) if isinstance(values, np.ndarray) else _of_lists(field, values)
    _demand_shape(field, array.shape)
    found, absent = converted(field, array)
    _demand_present(field, absent, missing)
    if field.kind == "float":
        _demand_finite(field, array, found, absent)
    if field.categories:
        _demand_category(field, found, absent)
    return found


def _of_lists(field: Field, values: Any) -> NDArray[Any]:
    """Nested lists as an array of objects with as many axes as the field has."""
    level, shape = values, list[int]()
    for axis in range(len(field.shape)):
        if axis == 0:
            if not isinstance(values, (list, tuple)):
                raise wrong_field(field, None, "a list with a value for each row", came_as(values))
            shape.append(len(values))
            continue
        sizes = {len(item) if isinstance(item, (list, tuple)) else -1 for item in level}
        wanted = field.shape[axis]
        if len(sizes) > 1 or -1 in sizes or (wanted is not None and sizes - {wanted}):
            raise Wrong(_ragged(field, values, axis))
        shape.append(sizes.pop() if sizes else field.shape[axis] or 0)
        level = list(chain.from_iterable(level))
    return _plain(field, level).reshape(shape)


def _plain(field: Field, values: Sequence[Any]) -> NDArray[Any]:
    """Values as an array: of numbers if all of them are such, which is 5 times as fast as looking at each, or
    else of objects."""
    kinds = set(map(type, values))
    with suppress(OverflowError):  # an integer beyond the dtype, which is found when each is looked at
        if field.kind == "float" and kinds == {float}:
            return np.array(values, np.float64)
        if field.kind == "float" and kinds == {float, int}:
            whole = np.array([each for each in values if type(each) is int], np.int64)
            if all_exact(field, whole):
                return np.array(values, np.float64)
        if field.kind in ("float", "int") and kinds == {int}:
            return np.array(values, np.int64)
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _ragged(field: Field, values: Any, axis: int) -> Iterator[Problem]:
    """The rows whose lists are not as long as they should be, or as those of the first row where the axis is
    free."""
    wanted = field.shape[axis]
    like = None if wanted is None else {wanted}
    for row, item in enumerate(values):
        sizes, level = set[int](), [item]
        for _ in range(axis - 1):
            level = [each for one in level if isinstance(one, (list, tuple)) for each in one]
        sizes = {len(one) if isinstance(one, (list, tuple)) else -1 for one in level}
        if like is None and len(sizes) == 1 and -1 not in sizes:
            like = sizes
        if sizes != like or -1 in sizes:
            what = f"a list of {wanted} values" if wanted is not None else "lists of the same length"
            came = came_as(level[0]) if -1 in sizes else f"a list of {min(sizes)} values"
            yield Problem(row, field.name, what, came)


def _demand_shape(field: Field, shape: tuple[int, ...]) -> None:
    fits = len(shape) == len(field.shape) and all(
        wanted is None or wanted == size for wanted, size in zip(field.shape, shape, strict=True)
    )
    if not fits:
        raise wrong_field(field, None, f"the shape {_axes(field.shape)}", f"the shape {_axes(shape)}")


def _axes(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _demand_present(field: Field, absent: NDArray[np.bool_], missing: str) -> None:
    if missing == "accept" or not absent.any():
        return
    allowed = np.zeros(absent.shape[1:], bool)
    if missing == "seen" and field.each and absent.ndim == 2 and len(field.each) == absent.shape[1]:
        allowed = np.array([each.missing > 0 for each in field.each])
    elif missing == "seen":
        allowed = np.full(absent.shape[1:], field.seen.missing > 0)
    bad = absent & ~allowed
    if bad.any():
        raise Wrong(each_bad(field, None, bad, "a value, since the example had none missing here"))


def _demand_finite(field: Field, array: NDArray[Any], found: NDArray[Any], absent: NDArray[np.bool_]) -> None:
    """Infinite numbers are refused unless the example had some; those that only became infinite, since they
    are too large for the dtype, are always."""
    bad = ~np.isfinite(found) & ~absent
    if field.seen.infinite and bad.any():
        bad[bad] = [not np.isinf(float(each)) for each in array[bad]]
    if bad.any():
        raise Wrong(each_bad(field, found, bad, f"a finite number of {field.dtype}"))


def _demand_category(field: Field, found: NDArray[Any], absent: NDArray[np.bool_]) -> None:
    known = {*field.categories}
    bad = np.array([each not in known for each in found.reshape(-1).tolist()], bool).reshape(found.shape)
    bad &= ~absent
    if bad.any():
        listed = ", ".join(quoted(each, 40) for each in field.categories[:10])
        more = f" or one of {len(field.categories) - 10:,} others" if len(field.categories) > 10 else ""
        raise Wrong(each_bad(field, found, bad, f"one of {listed}{more}"))
