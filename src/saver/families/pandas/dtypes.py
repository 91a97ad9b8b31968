"""The dtypes of pandas."""

from __future__ import annotations

import datetime
import warnings
from typing import Any

import numpy as np
import pandas as pd

from saver.codec import Decoder, Encoder
from saver.errors import kind_of
from saver.families.pandas.base import PandasCodec
from saver.families.python.items import hashable
from saver.tree import Node, Value

_MASKED_NAMES = (
    "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "boolean",
)  # fmt: skip
MASKED: dict[str, Any] = {name: pd.api.types.pandas_dtype(name) for name in _MASKED_NAMES}
NumpyDtype = type(pd.arrays.NumpyExtensionArray(np.zeros(1)).dtype)
CLOSED = ("left", "right", "both", "neither")
UNITS = ("s", "ms", "us", "ns")


def unit_of(value: Any) -> str:
    """One of the resolutions that pandas knows."""
    if value not in UNITS:
        raise ValueError(f"{value!r} is not a resolution of pandas")
    return str(value)


def zone_of(value: Any) -> Any:
    """A time zone object. Strings are refused, since pandas would look them up in the machine's files."""
    if not isinstance(value, datetime.tzinfo):
        raise ValueError(f"{kind_of(value)} is not a time zone")
    return value


class DtypeCodec(PandasCodec):
    """Every dtype of pandas, as a value or as part of an array."""

    name = "pandas.dtype"

    def accepts(self, cls: type) -> bool:
        known = (
            pd.CategoricalDtype, pd.DatetimeTZDtype, pd.PeriodDtype, pd.IntervalDtype, pd.SparseDtype,
            pd.StringDtype, pd.ArrowDtype, NumpyDtype, *map(type, MASKED.values()),
        )  # fmt: skip
        return cls in known

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        dtype: Any = obj
        if isinstance(dtype, pd.CategoricalDtype):
            return ["category", encoder(dtype.categories, "categories"), dtype.ordered]
        if isinstance(dtype, pd.DatetimeTZDtype):
            return ["datetime", dtype.unit, encoder(dtype.tz, "tz")]
        if isinstance(dtype, pd.PeriodDtype):
            return ["period", dtype._freqstr]
        if isinstance(dtype, pd.IntervalDtype):
            return ["interval", encoder(dtype.subtype), dtype.closed]
        if isinstance(dtype, pd.SparseDtype):
            return ["sparse", encoder(dtype.subtype), encoder(dtype._fill_value, "fill_value")]
        if isinstance(dtype, pd.StringDtype):
            return ["string", dtype.storage, "NA" if dtype.na_value is pd.NA else "nan"]
        if isinstance(dtype, pd.ArrowDtype):
            return ["arrow", encoder(dtype.pyarrow_dtype)]
        if isinstance(dtype, NumpyDtype):
            return ["numpy", encoder(dtype.numpy_dtype)]
        return dtype.name  # type: ignore[no-any-return]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        if type(node.state) is str:
            return MASKED[node.state]
        kind, *rest = node.state
        return _DTYPES[kind](decoder, *rest)


def _dtype(decoder: Decoder, value: Value, *more: type) -> Any:
    """A dtype. pandas is given nothing else: it looks through whatever else it gets, and writes it out."""
    found = decoder(value)
    if not isinstance(found, (np.dtype, *more)):
        raise ValueError(f"{kind_of(found)} is not a dtype")
    return found


def _arrow(decoder: Decoder, kind: Value) -> Any:
    import pyarrow

    found = decoder(kind)
    if not isinstance(found, pyarrow.DataType):
        raise ValueError(f"{kind_of(found)} is not a type of Arrow")
    return pd.ArrowDtype(found)


def _category(decoder: Decoder, categories: Value, ordered: Any) -> Any:
    found = decoder(categories)
    if not (found is None or isinstance(found, pd.Index)) or ordered not in (None, False, True):
        raise ValueError("categories must be an index")
    return pd.CategoricalDtype(found, ordered)


def period_dtype(frequency: Any) -> Any:
    """The dtype of periods, by the frequency's name. Hides that pandas deprecates those of business days."""
    if type(frequency) is not str:
        raise ValueError(f"{frequency!r} is not a frequency")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return pd.PeriodDtype(frequency)


def _interval(decoder: Decoder, subtype: Value, closed: Any) -> Any:
    if closed not in (None, *CLOSED):
        raise ValueError(f"an interval cannot be closed {closed!r}")
    return pd.IntervalDtype(_dtype(decoder, subtype, pd.DatetimeTZDtype, type(None)), closed)


def _sparse(decoder: Decoder, subtype: Value, fill: Value) -> Any:
    found = decoder(fill)
    if not pd.api.types.is_scalar(found):
        raise ValueError(f"{kind_of(found)} cannot fill a sparse array")
    return pd.SparseDtype(_dtype(decoder, subtype), hashable([found], decoder)[0])


def _string(decoder: Decoder, storage: Any, missing: Any) -> Any:
    if storage not in ("python", "pyarrow", "pyarrow_numpy") or missing not in ("NA", "nan"):
        raise ValueError(f"{storage!r} is not a string storage of pandas")
    if missing == "NA" or storage == "pyarrow_numpy":
        return pd.StringDtype(storage)
    return pd.StringDtype(storage, na_value=np.nan)


_DTYPES: dict[str, Any] = {
    "category": _category,
    "datetime": lambda decoder, unit, zone: pd.DatetimeTZDtype(unit_of(unit), zone_of(decoder(zone))),
    "period": lambda decoder, frequency: period_dtype(frequency),
    "interval": _interval,
    "sparse": _sparse,
    "string": _string,
    "arrow": _arrow,
    "numpy": lambda decoder, dtype: NumpyDtype(_dtype(decoder, dtype)),
}
