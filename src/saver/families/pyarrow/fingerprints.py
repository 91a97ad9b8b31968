"""Hashes of tables and arrays, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from saver.fingerprint.frames import Columns, Run, column_fingerprint, hashes, joined, name_of


def fingerprint(value: Any, where: str) -> dict[str, Any] | None:
    """The fingerprint of a table, a record batch or an array; None for anything else."""
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        named = zip(value.column_names, value.columns, strict=True)
        found = hashes([arrow_columns(name, column) for name, column in named], value.num_rows, where)
        return joined("frame", [value.num_rows, value.num_columns], found, [])
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return column_fingerprint(arrow_columns("", value), [], len(value), where)
    return None


_ARROW_NUMBERS = frozenset(
    (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "halffloat", "float", "double",
    )
)  # fmt: skip


def arrow_columns(label: Any, array: Any) -> Columns:
    """A column of PyArrow: numbers and times as they are in memory, anything else as Python values."""
    names, dtype = [name_of(label)], str(array.type)
    zero: Any = False if dtype == "bool" else 0

    def numbers(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
        run = array.slice(start, stop - start)
        there = run.is_valid()
        filled = run.fill_null(zero) if run.null_count else run
        return [(_numpy(filled), _numpy(there))]

    def times(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
        return [(_numpy(array.slice(start, stop - start)),)]

    def values(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
        return [(array.slice(start, stop - start).to_pylist(),)]

    if dtype in _ARROW_NUMBERS:
        return Columns(names, dtype, numbers)
    return Columns(names, dtype, times if dtype.startswith(("timestamp[", "duration[")) else values)


def _numpy(array: Any) -> NDArray[Any]:
    found: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return found
