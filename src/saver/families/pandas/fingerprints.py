"""Hashes of frames, series and indexes, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from saver.fingerprint.arrays import PARALLEL, dtype_name, processors
from saver.fingerprint.frames import Columns, Run, column_fingerprint, hash_group, hashes, joined, name_of

VALUES = frozenset(("Interval", "NAType", "NaTType", "Period", "Timedelta", "Timestamp"))
"""Classes of scalars that are fully described by their text."""


def fingerprint(value: Any, where: str) -> dict[str, Any] | None:
    """The fingerprint of a frame, a series, an index or an extension array; None for anything else."""
    if isinstance(value, pd.DataFrame):
        return _frame(value, where)
    if isinstance(value, pd.Series):
        return column_fingerprint(_pandas(value.name, value.array), _index(value.index), len(value), where)
    if isinstance(value, pd.Index):
        return joined("column", [len(value)], hashes(_index(value), len(value), where), [])
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return column_fingerprint(_pandas("", value), [], len(value), where)
    return None


def _frame(frame: Any, where: str) -> dict[str, Any]:
    rows, labels = len(frame), [name_of(label) for label in frame.columns]
    columns: list[Columns] = []
    order: list[int] = []
    for dtype, places in _by_dtype(frame.dtypes).items():
        if isinstance(dtype, np.dtype) and dtype.kind in "biufcmM" and dtype.char not in "gG":
            share = -(-len(places) // processors()) if rows * len(places) * 8 >= PARALLEL else len(places)
            for first in range(0, len(places), share):
                some = places[first : first + share]
                columns.append(_together(frame, some, [labels[at] for at in some], dtype))
        else:
            columns += [_pandas(labels[at], frame.iloc[:, at].array) for at in places]
        order += places
    told = hashes([*columns, *_index(frame.index)], rows, where)
    placed = sorted(zip(order, told, strict=False), key=lambda pair: pair[0])
    return joined("frame", [rows, len(order)], [each for _, each in placed], told[len(order) :])


def _by_dtype(dtypes: Any) -> dict[Any, list[int]]:
    """The positions of the columns of each dtype."""
    found: dict[Any, list[int]] = {}
    for at, dtype in enumerate(dtypes):
        found.setdefault(dtype, []).append(at)
    return found


def _together(frame: Any, places: list[int], names: list[str], dtype: np.dtype[Any]) -> Columns:
    """Columns of one NumPy dtype."""
    neighbours = places[-1] - places[0] == len(places) - 1
    part = frame.iloc[:, places[0] : places[-1] + 1] if neighbours else frame
    chosen: Any = slice(None) if neighbours else places

    def read(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
        rows = part.iloc[start:stop, chosen].to_numpy()
        return [(column,) for column in np.ascontiguousarray(rows.T)]

    return Columns(names, dtype_name(dtype), read)


def _index(index: Any) -> list[Columns]:
    if isinstance(index, pd.RangeIndex):  # making an array of it would take memory

        def read(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
            return [(np.asarray(index[start:stop], np.int64),)]

        return [Columns([name_of(index.name)], "int64", read)]
    if isinstance(index, pd.MultiIndex):
        levels = zip(index.names, map(index.get_level_values, range(index.nlevels)), strict=True)
        return [_pandas(label, level.array) for label, level in levels]
    return [_pandas(index.name, index.array)]


def _pandas(label: Any, array: Any) -> Columns:
    """A column of pandas, read according to the kind of its array."""
    names, dtype = [name_of(label)], array.dtype
    kind, plain = type(dtype).__name__, getattr(dtype, "numpy_dtype", None)
    if isinstance(dtype, np.dtype) or kind == "NumpyEADtype":
        values = np.asarray(array)
        return Columns(names, dtype_name(values.dtype), lambda i, j: [(values[i:j],)])
    if kind == "ArrowDtype":
        from saver.families.pyarrow.fingerprints import arrow_columns

        return arrow_columns(label, array.__arrow_array__())
    if kind == "CategoricalDtype":
        return _categorical(names, array)
    if kind == "StringDtype":  # equal strings have equal hashes, wherever pandas keeps them
        return Columns(names, str(dtype), lambda i, j: [(array[i:j].to_numpy(object, na_value=None),)])
    if kind == "DatetimeTZDtype":
        utc = f"datetime64[{dtype.unit}]"
        return Columns(names, str(dtype), lambda i, j: [(np.asarray(array[i:j], utc),)])
    if kind == "SparseDtype" and isinstance(dtype.subtype, np.dtype):
        return Columns(names, str(dtype), lambda i, j: [(np.asarray(array[i:j], dtype.subtype),)])
    if isinstance(plain, np.dtype) and plain.kind in "biuf":
        zero = plain.type(0)

        def read(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
            run = array[start:stop]
            return [(run.to_numpy(plain, na_value=zero), np.logical_not(run.isna()))]

        return Columns(names, str(dtype), read)
    return Columns(names, str(dtype), lambda i, j: [(np.asarray(array[i:j].astype(object), object),)])


def _categorical(names: list[str], array: Any) -> Columns:
    """Categories by their values, then the code of each row."""
    dtype = array.dtype
    codes, categories = np.asarray(array.codes), _pandas("", dtype.categories.array)
    (told,) = hash_group(categories, len(dtype.categories), f"categories of {names[0]!r}", alone=True)
    text = f"category[{categories.dtype}{', ordered' if dtype.ordered else ''}]"
    return Columns(names, text, lambda i, j: [(codes[i:j],)], bytes.fromhex(told["hash"]))
