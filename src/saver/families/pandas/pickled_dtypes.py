"""How the dtypes of pandas lie in pickles, in all versions since 0.20."""

from __future__ import annotations

import math
from typing import Any

from saver.codec import Encoder
from saver.families.pandas.pickled_parts import bare, held, whole_zone
from saver.families.pandas.pickled_scalars import frequency_of
from saver.pickled import Call, NotReadError, Pickled
from saver.tree import Value

MASKED = {
    "int8": "Int8", "int16": "Int16", "int32": "Int32", "int64": "Int64", "uint8": "UInt8",
    "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64", "float32": "Float32", "float64": "Float64",
    "bool": "boolean",
}  # fmt: skip
"""The dtypes of masked arrays, by that of their values."""


class DtypePickled(Pickled):
    """Dtypes of pandas."""

    name = "pandas.dtype"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind = bare(obj.function)
        if kind == "PeriodDtype":
            freq = obj.args[0] if obj.args else held(obj).get("freq")
            return ["period", frequency_of(freq)]
        if kind == "StringDtype":
            return _strings(obj)
        own = held(obj)
        if kind == "CategoricalDtype":
            ordered = own.get("ordered")
            return [
                "category", encoder(own.get("categories"), "categories"),
                ordered if ordered is None else bool(ordered),
            ]  # fmt: skip
        if kind == "DatetimeTZDtype":
            unit = own.get("unit")
            if type(unit) is not str:
                raise NotReadError("the dtype of dates has no unit")
            return ["datetime", unit, encoder(whole_zone(own.get("tz")), "tz")]
        if kind == "IntervalDtype":
            closed = own.get("closed", own.get("_closed"))
            if not (closed is None or type(closed) is str):
                raise NotReadError("intervals are closed by other than a text")
            return ["interval", encoder(own.get("subtype")), closed]
        if kind == "SparseDtype":
            return ["sparse", encoder(own.get("_dtype")), encoder(own.get("_fill_value"), "fill_value")]
        if kind == "ArrowDtype":
            return ["arrow", encoder(own.get("pyarrow_dtype"))]
        if kind in ("NumpyEADtype", "PandasDtype"):
            return ["numpy", encoder(own.get("_dtype"))]
        return MASKED_DTYPES[kind]


MASKED_DTYPES = {f"{name[:1].upper()}{name[1:]}Dtype": name for name in MASKED.values()}


def _strings(call: Call) -> Value:
    """Where strings are kept, and what a missing one is."""
    own = {} if call.args else held(call)
    storage, missing = (*call.args, None)[:2] if call.args else (
        own.get("storage", own.get("_storage")), own.get("_na_value")
    )  # fmt: skip
    if not (storage is None or type(storage) is str):
        raise NotReadError("the storage of strings is not a text")
    is_nan = (type(missing) is float and math.isnan(missing)) or storage == "pyarrow_numpy"
    return ["string", storage or "python", "nan" if is_nan else "NA"]


_DTYPES = (
    "CategoricalDtype", "DatetimeTZDtype", "PeriodDtype", "IntervalDtype", "SparseDtype", "StringDtype",
    "ArrowDtype", "NumpyEADtype", "PandasDtype", *MASKED_DTYPES,
)  # fmt: skip
DTYPES: dict[str, Pickled] = dict.fromkeys(_DTYPES, DtypePickled())
"""By the bare name of the class."""
