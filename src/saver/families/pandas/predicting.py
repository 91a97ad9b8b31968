"""Frames and series as what goes into a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from saver.errors import CannotSaveError, quoted
from saver.predicting.contract import Column, Predicting, Taken
from saver.schema import Field, Schema

_NULLABLE = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64")


class _Pandas(Predicting):
    def taken(self, example: Any) -> Taken | None:
        if isinstance(example, pd.DataFrame):
            names = list(example.columns)
            if not all(isinstance(name, str) for name in names) or len({*names}) != len(names):
                raise CannotSaveError(
                    "example: the columns of the frame need different texts as names; rename them, or pass "
                    "its values, frame.to_numpy()"
                )
            columns = {name: _column(example[name], name) for name in names}
            return Taken("frame", columns, len(example), lambda rows: example.iloc[rows].copy())
        if isinstance(example, pd.Series):
            name = example.name if isinstance(example.name, str) else "value"
            column = _column(example, name)
            return Taken("column", {name: column}, len(example), lambda rows: example.iloc[rows].copy())
        return None

    def made(self, schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> Any:
        columns = {field.name: _series(field, arrays[field.name]) for field in schema.inputs}
        if schema.container == "column":
            return next(iter(columns.values()))
        return pd.DataFrame(columns, copy=False)

    def array(self, value: Any) -> NDArray[Any] | None:
        if not isinstance(value, (pd.DataFrame, pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
            return None
        found = value.to_numpy()
        return np.asarray(found)


def _column(series: Any, name: str) -> Column:
    dtype, values = series.dtype, series
    if isinstance(dtype, pd.CategoricalDtype):
        known = dtype.categories
        found = _column(pd.Series(known), name)
        inner = f"category[{known.dtype}]"
        listed = tuple(found.values.tolist())
        return Column(_objects(values), found.dtype, inner, listed, bool(dtype.ordered))
    if isinstance(dtype, pd.DatetimeTZDtype):
        plain = values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        return Column(plain, plain.dtype.name, str(dtype))
    if isinstance(dtype, np.dtype) and dtype.kind in "biufMmc":
        return Column(values.to_numpy(), dtype.name)
    told = str(dtype)
    if told in _NULLABLE or told == "boolean":
        return Column(_objects(values), "bool" if told == "boolean" else told.lower(), told)
    present = [each for each in _objects(values).tolist() if each is not None]
    if all(isinstance(each, str) for each in present):
        return Column(_objects(values), "str", told)
    if not isinstance(dtype, np.dtype):
        inner = values.dropna().to_numpy().dtype
        if inner.kind in "biuf":
            return Column(_objects(values), inner.name, told)
    kinds = sorted({type(each).__name__ for each in present})[:3]
    raise CannotSaveError(
        f"example[{quoted(name)}]: a column of {told} that holds {', '.join(kinds)}; give it a dtype "
        "of numbers, texts, categories or times"
    )


def _objects(series: Any) -> NDArray[Any]:
    """The values, with None for those that are missing."""
    found = np.asarray(series.astype(object))
    absent = np.asarray(series.isna())
    if absent.any():
        found = found.copy()
        found[absent] = None
    return found


def _series(field: Field, values: NDArray[Any]) -> Any:
    """A column in the dtype that the example had."""
    native = field.native
    if native.startswith("category["):
        known = pd.Index(list(field.categories), dtype=native[len("category[") : -1])
        dtype = pd.CategoricalDtype(known, field.ordered)
        return pd.Series(pd.Categorical(values.tolist(), dtype=dtype), name=field.name)
    if native.startswith("datetime64[") and "," in native:
        zone = pd.Series(values).dt.tz_localize("UTC")
        return zone.dt.tz_convert(native.partition(",")[2].strip(" ]")).rename(field.name)
    if native:
        return pd.Series(values.tolist(), dtype=native, name=field.name)
    return pd.Series(values, name=field.name, copy=False)


PREDICTING = _Pandas()
