"""What the pickled forms of pandas have in common: the names of its classes, their attributes, time zones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from saver import registry
from saver.families.pytz.pickles import WHOLE
from saver.pickled import Call, Global, NotReadError, Pairs, attributes_of

_ARRAYS = "categorical datetimes timedeltas period interval integer floating boolean masked string_"
_CORE = (
    "frame series internals internals.managers internals.blocks index categorical dtypes.dtypes "
    "indexes.base indexes.range indexes.numeric indexes.datetimes indexes.timedeltas indexes.period "
    "indexes.interval indexes.category indexes.multi indexes.frozen arrays.string_arrow arrays.numpy_ "
    "arrays.sparse arrays.sparse.array arrays.sparse.dtype arrays.arrow.array arrays.arrow.dtype "
)
_LIBS = "arrays internals interval missing sparse tslib period tslibs.timestamps tslibs.timedeltas"
MODULES = frozenset((
    "pandas", "pandas.arrays", "pandas.tslib", "pandas._period", "pandas.tseries.offsets",
    *(f"pandas.core.{name}" for name in _CORE.split()),
    *(f"pandas.core.arrays.{name}" for name in _ARRAYS.split()),
    *(f"pandas._libs.{name}" for name in _LIBS.split()),
    *(f"pandas._libs.tslibs.{name}" for name in ("nattype", "period", "offsets")),
    *(f"pandas.indexes.{name}" for name in ("base", "range", "numeric", "category", "multi", "frozen")),
))  # fmt: skip
"""Where the classes and functions that its pickles name are, and were."""

UNPICKLE = "__pyx_unpickle_"
"""The beginning of the functions that make instances of compiled classes: class, checksum, state."""


def bare(value: Any) -> str:
    """The name of a class or function of pandas, without its module; "" for anything else."""
    return value.name if type(value) is Global and value.module in MODULES else ""


def class_of(value: Any) -> str:
    """The bare name of the class of which a call makes an instance, "" if it is not one of pandas."""
    if type(value) is not Call:
        return ""
    name = bare(value.function)
    if name.startswith((UNPICKLE, "_new_")):
        return bare(value.args[0]) if value.args else ""
    return name


def held(call: Call) -> dict[str, Any]:
    """The attributes of an instance. Compiled classes have a row of dtype, array and a dict, in any order:
    their attributes are called `_dtype` and `_ndarray`."""
    if not bare(call.function).startswith(UNPICKLE):
        if call.args:
            raise NotReadError(f"{call.function} is called with arguments, which it is not by its library")
        return attributes_of(call)
    state = call.state if call.has_state else (*call.args, None, None, None)[2]
    found: dict[str, Any] = {}
    for part in state if type(state) is tuple else (state,):
        if type(part) is Pairs:
            found |= attributes_of(Call(call.function, state=part, has_state=True))
        else:
            found["_dtype" if is_dtype(part) else "_ndarray"] = part
    return found


def is_dtype(value: Any) -> bool:
    """Whether a value is a dtype of pandas or NumPy."""
    return isinstance(value, np.dtype) or (
        type(value) is Call and value.function.name.lower().endswith("dtype")
    )


def instance(name: str, **attributes: Any) -> Call:
    """An instance of one of pandas' classes, as a pickle of today would hold it."""
    return Call(Global("pandas", name), (), None, True, Pairs([*attributes.items()]), has_state=True)


def whole_zone(value: Any) -> Any:
    """A time zone, marked as that of an array and not of one date."""
    if type(value) is Call:
        value.marks.add(WHOLE)
    return value


def fold_at(seconds: int, zone: Any) -> int:
    """1 if a clock in the zone shows the same for the second time, 0 otherwise; in seconds since 1970."""
    name = _zone_name(zone)
    if name is None or not -62_000_000_000 < seconds < 253_000_000_000:
        return 0
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(name)).fold
    except (ValueError, OSError):  # this machine has no such zone
        return 0


def _zone_name(zone: Any) -> str | None:
    if type(zone) is not Call:
        return None
    root = zone.function.module.partition(".")[0]
    if root == "zoneinfo":
        return zone.args[0] if zone.args and type(zone.args[0]) is str else None
    module = registry.family(root).module("pickles") if registry.is_own(root) else None
    found: str | None = getattr(module, "zone_name", lambda call: None)(zone)
    return found
