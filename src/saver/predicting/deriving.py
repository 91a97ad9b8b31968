"""Schemas from examples: what their columns hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.errors import CannotSaveError, quoted
from saver.predicting.contract import Column, Taken
from saver.predicting.plain import column_of
from saver.schema import Field, Schema, Seen
from saver.schema.fields import DTYPES
from saver.schema.natives import fault_of

COLUMNS = 1000
"""Up to this many columns of an array are described one by one."""

FIELDS = 100_000
"""Inputs or outputs that a schema may have."""

QUANTILES = np.linspace(0, 1, 11)
"""Deciles: enough to say whether what comes later is distributed alike."""


def schema_from(
    library: str, taken: Taken, outputs: Mapping[str, NDArray[Any]], given: Mapping[str, Mapping[str, Any]]
) -> Schema:
    """The schema of an example and of what the model answered. `given` are further fields of its fields, by
    name: units, descriptions, shapes. Raises CannotSaveError."""
    inputs = [_field(name, column, "example") for name, column in taken.columns.items()]
    answers = [_field(name, column_of(values), "the output") for name, values in outputs.items()]
    if len(inputs) > FIELDS or len(answers) > FIELDS:
        raise CannotSaveError(f"example: it has {len(inputs):,} columns, and at most {FIELDS:,} are allowed")
    known = {field.name for field in (*inputs, *answers)}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(
            f"example: nothing is called {quoted(unknown[0])}; there are {', '.join(sorted(known)[:20])}"
        )
    return Schema(
        inputs=tuple(_with(field, given.get(field.name, {})) for field in inputs),
        outputs=tuple(_with(field, given.get(field.name, {})) for field in answers),
        container=taken.container, library=library,
    )  # fmt: skip


def _with(field: Field, given: Mapping[str, Any]) -> Field:
    shape = given.get("shape", field.shape)
    fits = len(shape) == len(field.shape) and all(
        wanted is None or wanted == own for wanted, own in zip(shape, field.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"example: the shape {shape} of {field.name!r} does not fit its example, {field.shape}"
        )
    return msgspec.structs.replace(field, **given)


def _field(name: str, column: Column, where: str) -> Field:
    values = column.values
    if column.dtype not in DTYPES:
        raise CannotSaveError(
            f"{where}[{quoted(name)}]: a schema has no dtype {column.dtype}; give it numbers, texts, "
            "categories or times"
        )
    each: tuple[Seen, ...] = ()
    if values.ndim == 2 and values.dtype.kind in "iuf" and 1 < values.shape[1] <= COLUMNS:
        each = tuple(_seen(values[:, at]) for at in range(values.shape[1]))
    found = Field(
        name=name, dtype=column.dtype, shape=(None, *values.shape[1:]), native=column.native,
        categories=column.categories, ordered=column.ordered, seen=_seen(values), each=each,
    )  # fmt: skip
    if fault := fault_of(found):  # with which no reader would take it
        raise CannotSaveError(
            f"{where}[{quoted(name)}]: it {fault}; give it numbers, texts, categories or times, in UTC or in "
            "a time zone of zoneinfo"
        )
    return found


def _seen(values: NDArray[Any]) -> Seen:
    """What an array holds."""
    if values.dtype == object:
        present = [value for value in values.reshape(-1).tolist() if not _is_missing(value)]
        numbers = [value for value in present if isinstance(value, (int, float))]
        found = np.array(numbers, float) if len(numbers) == len(present) else np.array([])
        missing = values.size - len(present)
    elif values.dtype.kind in "iuf":
        absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        found, missing = np.asarray(values[~absent]), int(absent.sum())
    else:
        missing = int(np.isnat(values).sum()) if values.dtype.kind in "Mm" else 0
        return Seen(count=values.size, missing=missing)
    finite = found[np.isfinite(found)] if found.dtype.kind == "f" else found
    infinite = found.size - finite.size
    if not finite.size:
        return Seen(count=values.size, missing=missing, infinite=infinite)
    deciles = np.quantile(finite.astype(np.float64), QUANTILES)
    return Seen(
        count=values.size, missing=missing, infinite=infinite, low=float(finite.min()),
        high=float(finite.max()), quantiles=tuple(map(float, deciles)),
    )  # fmt: skip


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
