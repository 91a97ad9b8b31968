"""How the arrays of pandas lie in pickles, in all versions since 0.20."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import Encoder
from saver.families.numpy.pickled_dtypes import dtype_of
from saver.families.numpy.pickles import array_of
from saver.families.pandas.pickled_dtypes import DTYPES, MASKED
from saver.families.pandas.pickled_parts import bare, class_of, held, instance, whole_zone
from saver.families.python.columns import encode_run
from saver.pickled import Call, Global, NotReadError, Pickled, Repeats, fields_of
from saver.tree import Value

_DATES = ("DatetimeArray", "TimedeltaArray")
_BLOCKS = (*_DATES, "PeriodArray")
"""The arrays of which a block may hold several columns."""

_MISSING = ("NA", "NaT")


def integers(value: Any) -> NDArray[Any]:
    """Codes or positions: an array of integers along one axis."""
    array = array_of(value)
    if array.dtype.kind != "i" or array.ndim != 1:
        raise NotReadError(f"codes are an array of {array.dtype} with {array.ndim} axes")
    return array


def is_plain(value: Any) -> bool:
    """Whether a value is an array of NumPy."""
    return isinstance(value, np.ndarray) or (type(value) is Call and not class_of(value))


def values_of(value: Any, depth: int = 0) -> Any:
    """The values of a series or an index, which may be given as an index. Dates, durations and periods are
    arrays of pandas there, also where older versions kept those of NumPy."""
    if type(value) is Call and bare(value.function).startswith("_new_"):
        if depth > _DEPTH:
            raise NotReadError("an index is made from an index too often")
        return _of_index(class_of(value), arguments_of(value), depth)
    if is_plain(value) and dtype_in(value).kind in "mM":
        return instance("DatetimeArray", _ndarray=value, _dtype=dtype_in(value))
    return value


def dtype_in(value: Any) -> np.dtype[Any]:
    """The dtype of an array of NumPy, whose elements are not looked at."""
    if type(value) is Call and type(value.state) is tuple and len(value.state) == 5:
        return dtype_of(value.state[2])
    return array_of(value).dtype


def arguments_of(call: Call) -> dict[str, Any]:
    """What an index is made from, by name."""
    if len(call.args) != 2:
        raise NotReadError("an index is made from other than its class and a dict")
    return fields_of(call.args[1], "what an index is made from")


def _of_index(kind: str, own: dict[str, Any], depth: int) -> Any:
    if kind == "IntervalIndex":
        ends = {f"_{name}": own.get(name) for name in ("left", "right", "closed")}
        return instance("IntervalArray", **ends)
    values, zone = values_of(own.get("data"), depth + 1), own.get("tz")
    if kind == "DatetimeIndex" and zone is not None and type(held(values).get("_dtype")) is not Call:
        dtype = instance("DatetimeTZDtype", unit="ns", tz=whole_zone(zone))  # before 0.24
        return instance("DatetimeArray", _ndarray=held(values).get("_ndarray"), _dtype=dtype)
    if kind == "PeriodIndex" and class_of(values) != "PeriodArray":
        return instance("PeriodArray", _ndarray=values, _freq=own.get("freq"))
    return values


_DEPTH = 4


def rows_of(value: Any, encoder: Encoder) -> tuple[int, int | None, list[Any] | None]:
    """How many columns and rows the values of a block have, and its columns one by one if each is stored
    alone: objects, dates with a time zone, periods. Rows are None where the array itself has to say."""
    kind = class_of(value)
    if not is_plain(value) and kind not in _BLOCKS:
        return 1, None, None
    own = {"_ndarray": value} if is_plain(value) else held(value)
    source = own.get("_ndarray", own.get("_data"))
    array = array_of(source)
    if array.ndim == 1:
        return 1, len(array), None
    if array.ndim != 2:
        raise NotReadError(f"a block of a frame has {array.ndim} axes")
    width, height = array.shape
    zoned = kind and type(own.get("_dtype")) is Call and own["_dtype"].function.module != "numpy"
    if not zoned and array.dtype.kind != "O":
        return width, height, None
    encoder.shared(Repeats).charge(source, array.size)
    if zoned:
        return width, height, [instance(kind, _ndarray=row, _dtype=own["_dtype"]) for row in array]
    return width, height, [array[row] for row in range(width)]


def block_of(value: Any) -> Any:
    """The values of a block that is stored whole: dates of several columns are an array of NumPy."""
    if class_of(value) in _DATES:
        own = held(value)
        array = own.get("_ndarray", own.get("_data"))
        if array_of(array).ndim == 2:
            return array
    return value if is_plain(value) and array_of(value).ndim == 2 else values_of(value)


class CategoricalPickled(Pickled):
    """Codes and categories, which had no dtype before 0.21."""

    name = "pandas.Categorical"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = held(obj)
        codes = own.get("_ndarray", own.get("_codes"))
        dtype = own.get("_dtype") or instance(
            "CategoricalDtype", categories=own.get("_categories"), ordered=own.get("_ordered")
        )
        return [encoder.own(integers(codes), "codes"), encoder(dtype)]


class DatetimePickled(Pickled):
    """Dates and durations; dates may have a time zone."""

    name = "pandas.datetime"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = held(obj)
        values, dtype = own.get("_ndarray", own.get("_data")), own.get("_dtype")
        if array_of(values).ndim != 1:
            raise NotReadError("dates with several axes lie outside of a frame")
        zoned = type(dtype) is Call and dtype.function.name == "DatetimeTZDtype"
        return [encoder(values, "values"), encoder(dtype, "dtype") if zoned else None]


class PeriodPickled(Pickled):
    """Periods: ordinals and a frequency."""

    name = "pandas.period"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = held(obj)
        values = encoder(own.get("_ndarray", own.get("_data")), "values")
        dtype = own.get("_dtype") or instance("PeriodDtype", freq=own.get("_freq"))
        return [values, encoder(dtype, "dtype")]


class IntervalPickled(Pickled):
    """Intervals: both ends, which were indexes before 1.2, and which of them are included."""

    name = "pandas.interval"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = held(obj)
        dtype = own.get("_dtype")
        closed = held(dtype).get("closed") if type(dtype) is Call else None
        closed = closed or own.get("_closed")
        if type(closed) is not str:
            raise NotReadError("intervals are closed by other than a text")
        ends = [values_of(own.get(name)) for name in ("_left", "_right")]
        return [encoder(ends[0], "left"), encoder(ends[1], "right"), closed]


class MaskedPickled(Pickled):
    """`Int64` and similar arrays: values, and a mask of those that are missing."""

    name = "pandas.masked"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = held(obj)
        dtype = array_of(own.get("_data")).dtype
        if dtype.name not in MASKED or not dtype.isnative:
            raise NotReadError(f"pandas has no masked array of {dtype}")
        return [MASKED[dtype.name], encoder(own["_data"], "values"), encoder(own.get("_mask"), "mask")]


class NumpyPickled(Pickled):
    """A NumPy array as pandas wraps it."""

    name = "pandas.numpy"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(held(obj).get("_ndarray"))


class StringsPickled(Pickled):
    """Strings kept as Python objects."""

    name = "pandas.strings"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = held(obj)
        array = array_of(own.get("_ndarray"))
        if array.dtype != np.dtype(object) or array.ndim != 1:
            raise NotReadError("strings are not kept as objects")
        encoder.shared(Repeats).charge(own.get("_ndarray"), array.size)
        items = array.tolist()
        texts = ["" if _is_missing(item) else item for item in items]
        if not all(type(text) is str for text in texts):
            raise NotReadError("not all strings are strings")
        missing: NDArray[Any] = np.array([_is_missing(item) for item in items], bool)
        mask = encoder(missing, "mask") if missing.any() else None
        dtype = own.get("_dtype") or instance("StringDtype")
        return [encoder(dtype), encode_run(texts, encoder, "values"), mask]


def _is_missing(value: Any) -> bool:
    return value is None or (type(value) is float and math.isnan(value)) or (
        type(value) is Global and bare(value) in _MISSING
    )  # fmt: skip


class ArrowPickled(Pickled):
    """Arrays that are kept in Arrow; since 2.1, under another name."""

    name = "pandas.arrow"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = held(obj)
        values, dtype = own.get("_pa_array", own.get("_data")), own.get("_dtype")
        if type(values) is Call and values.function.name == "_restore_array":
            state = values.args[0] if values.args else ()
            kind = state[0] if type(state) is tuple and state else None
            values = Call(Global("pyarrow.lib", "chunked_array"), ([values], kind))
        strings = class_of(dtype) == "StringDtype"
        return [encoder(values, "values"), encoder(dtype) if strings else None]


class SparsePickled(Pickled):
    """Sparse columns: the stored values and their positions."""

    name = "pandas.sparse"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = held(obj)
        index: Any = own.get("_sparse_index")
        kind = class_of(index)
        if kind not in ("IntIndex", "BlockIndex") or len(index.args) != 3 - (kind == "IntIndex"):
            raise NotReadError("a sparse array has no positions")
        length, *arrays = index.args
        if type(length) is not int:
            raise NotReadError("a sparse array has no length")
        names = ("indices",) if kind == "IntIndex" else ("blocs", "blengths")
        places: list[Value] = [
            encoder.own(integers(array), name) for array, name in zip(arrays, names, strict=True)
        ]
        values = encoder(own.get("_sparse_values"), "values")
        return {"dtype": encoder(own.get("_dtype")), "length": length, "places": places, "values": values}


_MASKED, _STRINGS, _ARROW, _DATETIME = MaskedPickled(), StringsPickled(), ArrowPickled(), DatetimePickled()
ARRAYS: dict[str, Pickled] = {
    **DTYPES,
    **dict.fromkeys(("IntegerArray", "FloatingArray", "BooleanArray"), _MASKED),
    **dict.fromkeys(("StringArray", "StringArrayNumpySemantics"), _STRINGS),
    **dict.fromkeys(("ArrowExtensionArray", "ArrowStringArray", "ArrowStringArrayNumpySemantics"), _ARROW),
    **dict.fromkeys(_DATES, _DATETIME),
    **dict.fromkeys(("NumpyExtensionArray", "PandasArray"), NumpyPickled()),
    "Categorical": CategoricalPickled(),
    "PeriodArray": PeriodPickled(),
    "IntervalArray": IntervalPickled(),
    "SparseArray": SparsePickled(),
}
"""By the bare name of the class."""
