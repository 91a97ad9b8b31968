"""The extension arrays of pandas, whose native code trusts codes, masks and indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from saver.codec import Codec, Decoder, Encoder, is_array, listed
from saver.families.pandas.base import PandasCodec
from saver.families.pandas.dtypes import CLOSED, MASKED, DtypeCodec, unit_of
from saver.families.python.columns import decode_run, encode_run
from saver.rules import Broken
from saver.tree import Node, Value


def ndarray(value: Any, kinds: str, what: str, ndim: int = 1) -> NDArray[Any]:
    """`value`, if it is a NumPy array of one of the dtype `kinds`. Raises ValueError otherwise."""
    if not is_array(value) or value.dtype.kind not in kinds or value.ndim != ndim:
        raise ValueError(f"{what} must be an array of a dtype kind in {kinds!r} with {ndim} axes")
    return value


def check_codes(codes: NDArray[Any], count: int) -> None:
    """Raise ValueError unless each code is -1, for a missing value, or one of so many."""
    if codes.size and not -1 <= codes.min() <= codes.max() < count:
        raise Broken("4.11", f"the codes {codes.min()} to {codes.max()} are not those of {count} values")


class CategoricalCodec(PandasCodec):
    """Codes and categories; every code is -1 or the index of a category."""

    name = "pandas.Categorical"
    types = (pd.Categorical,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder.own(obj.codes, "codes"), encoder(obj.dtype)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        codes, dtype = decoder.own(node.state[0]), decoder(node.state[1])
        if not isinstance(dtype, pd.CategoricalDtype) or dtype.categories is None:
            raise ValueError("the categories of a categorical are missing")
        check_codes(ndarray(codes, "i", "codes"), len(dtype.categories))
        return pd.Categorical.from_codes(codes, dtype=dtype)


class DatetimeCodec(PandasCodec):
    """Arrays of dates and of durations: integers with a unit; dates may have a time zone."""

    name = "pandas.datetime"
    types = (pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        zone = getattr(obj, "tz", None)
        values = obj._ndarray.reshape(-1)
        return [encoder(values, "values"), None if zone is None else encoder(obj.dtype, "dtype")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        values, dtype = map(decoder, node.state)
        ndarray(values, "mM", "dates")
        unit, count = np.datetime_data(values.dtype)
        if count != 1 or not values.dtype.isnative:
            raise ValueError(f"pandas has no {values.dtype}")
        unit_of(unit)
        if dtype is None:
            return pd.array(values, copy=False)
        if not isinstance(dtype, pd.DatetimeTZDtype) or values.dtype != np.dtype(f"M8[{dtype.unit}]"):
            raise ValueError(f"{values.dtype} cannot be dates of this zone or unit")
        cls: Any = pd.arrays.DatetimeArray
        return cls._simple_new(values, dtype=dtype)


class PeriodCodec(PandasCodec):
    """Periods: ordinals and a frequency."""

    name = "pandas.period"
    types = (pd.arrays.PeriodArray,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj._ndarray, "values"), encoder(obj.dtype, "dtype")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        values, dtype = map(decoder, node.state)
        if not isinstance(dtype, pd.PeriodDtype) or ndarray(values, "i", "periods").dtype != np.int64:
            raise ValueError("periods must be int64, with a period dtype")
        return pd.arrays.PeriodArray(values, dtype=dtype)


class IntervalCodec(PandasCodec):
    """Intervals: both ends, and which of them are included."""

    name = "pandas.interval"
    types = (pd.arrays.IntervalArray,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj._left, "left"), encoder(obj._right, "right"), obj.closed]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        left, right = map(decoder, node.state[:2])
        closed = node.state[2]
        allowed = (np.ndarray, pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray)
        if type(left) not in allowed or type(right) not in allowed or left.dtype != right.dtype:
            raise ValueError("both ends of intervals must be arrays of the same dtype")
        if closed not in CLOSED:
            raise ValueError(f"an interval cannot be closed {closed!r}")
        decoder.budget.charge(2 * left.nbytes, 100)
        found = pd.arrays.IntervalArray.from_arrays(left, right, closed)
        if found.dtype.subtype != left.dtype:
            raise ValueError(f"intervals cannot be of {left.dtype}")
        return found


class MaskedCodec(PandasCodec):
    """`Int64` and similar arrays: values, and a mask of those that are missing."""

    name = "pandas.masked"
    types = tuple({dtype.construct_array_type() for dtype in MASKED.values()})

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.dtype.name, encoder(obj._data, "values"), encoder(obj._mask, "mask")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name, *rest = node.state
        values, mask = map(decoder, rest)
        dtype = MASKED[name]
        ndarray(mask, "b", "the mask")
        if ndarray(values, "biuf", "values").dtype != dtype.numpy_dtype or len(mask) != len(values):
            raise ValueError(f"values of {values.dtype} and a mask of {len(mask)} cannot be {name}")
        return dtype.construct_array_type()(values, mask)


class NumpyArrayCodec(PandasCodec):
    """A NumPy array as pandas wraps it."""

    name = "pandas.numpy"
    types = (pd.arrays.NumpyExtensionArray,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(obj._ndarray)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        values = decoder(node.state)
        if not is_array(values) or values.ndim != 1:
            raise ValueError("the content is not an array")
        return pd.arrays.NumpyExtensionArray(values)


class StringsCodec(PandasCodec):
    """Strings kept as Python objects: a run of strings, and a mask if some are missing."""

    name = "pandas.strings"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, pd.arrays.StringArray) and cls.__module__.startswith("pandas.")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        missing = np.asarray(obj.isna())
        texts = np.where(missing, "", obj._ndarray).tolist()
        mask = encoder(missing, "mask") if missing.any() else None
        return [encoder(obj.dtype), encode_run(texts, encoder, "values"), mask]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        saved, run, missing = listed(node.state, 3)
        dtype, mask, texts = decoder(saved), decoder(missing), list(decode_run(run, decoder))
        if not isinstance(dtype, pd.StringDtype) or dtype.storage != "python":
            raise ValueError("the dtype is not that of Python strings")
        if not all(type(text) is str for text in texts):
            raise ValueError("not all items are strings")
        values = np.empty(len(texts), object)
        values[:] = texts
        if mask is not None:
            values[ndarray(mask, "b", "the mask")] = dtype.na_value
        return pd.array(values, dtype=dtype, copy=False)


class ArrowCodec(PandasCodec):
    """Arrays that are kept in Arrow: of any of its types, or strings of pandas."""

    name = "pandas.arrow"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, pd.arrays.ArrowExtensionArray) and cls.__module__.startswith("pandas.")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        strings = isinstance(obj.dtype, pd.StringDtype)
        return [encoder(obj._pa_array, "values"), encoder(obj.dtype) if strings else None]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        import pyarrow

        values, dtype = map(decoder, node.state)
        if not isinstance(values, pyarrow.ChunkedArray):
            raise ValueError("the content is not an Arrow array")
        if dtype is None:
            return pd.arrays.ArrowExtensionArray(values)
        if not isinstance(dtype, pd.StringDtype) or not (
            pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type)
        ):
            raise ValueError(f"{values.type} cannot be strings of pandas")
        return dtype.__from_arrow__(values)


class SparseCodec(PandasCodec):
    """Sparse columns: the stored values and their positions."""

    name = "pandas.sparse"
    types = (pd.arrays.SparseArray,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        index = obj.sp_index
        places: list[Value] = [encoder.own(np.asarray(index.indices), "indices")]
        if obj.kind == "block":
            places = [encoder.own(np.asarray(getattr(index, name)), name) for name in ("blocs", "blengths")]
        values = encoder(obj.sp_values, "values")
        return {"dtype": encoder(obj.dtype), "length": index.length, "places": places, "values": values}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        dtype, values = decoder(state["dtype"]), decoder(state["values"])
        places = [ndarray(decoder.own(place), "i", "places") for place in state["places"]]
        length = state["length"]
        if type(length) is not int or not 0 <= length < 2**31 or any(p.dtype != np.int32 for p in places):
            raise ValueError("the positions in a sparse array must be int32")
        if not isinstance(dtype, pd.SparseDtype) or not is_array(values):
            raise ValueError("the content is not a sparse array")
        index = _sparse_index(length, places)
        if values.dtype != dtype.subtype or values.shape != (index.npoints,):
            raise ValueError(f"{index.npoints} positions have {values.shape} values of {values.dtype}")
        cls: Any = pd.arrays.SparseArray
        return cls._simple_new(values, index, dtype)


def _sparse_index(length: int, places: list[NDArray[Any]]) -> Any:
    from pandas._libs.sparse import BlockIndex, IntIndex

    if len(places) == 1:
        return IntIndex(length, places[0])
    starts, lengths = places
    ends = starts.astype(np.int64) + lengths
    if starts.shape != lengths.shape or np.any(lengths < 0):
        raise ValueError("blocks need a start and a length each")
    if np.any(starts < 0) or np.any(ends > length) or np.any(starts[1:] < ends[:-1]):
        raise ValueError("blocks must be in order and within the array")
    return BlockIndex(length, starts, lengths)


ARRAYS: tuple[Codec, ...] = (
    DtypeCodec(), CategoricalCodec(), DatetimeCodec(), PeriodCodec(), IntervalCodec(), MaskedCodec(),
    NumpyArrayCodec(), StringsCodec(), ArrowCodec(), SparseCodec(),
)  # fmt: skip
