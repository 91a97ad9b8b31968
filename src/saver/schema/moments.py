"""Times and spans of time in the dtype of a field: exactly, or not at all.

NumPy wraps a time around that its unit cannot hold, and cuts off what is finer than the unit. Here both are
found, with whole numbers only.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LIMIT = (1 << 63) - 1
"""Times are counted from -LIMIT to LIMIT; the number below stands for a missing one."""

_MISSING = -_LIMIT - 1

_ATTOS = {
    "W": 604_800 * 10**18, "D": 86_400 * 10**18, "h": 3_600 * 10**18, "m": 60 * 10**18, "s": 10**18,
    "ms": 10**15, "us": 10**12, "ns": 10**9, "ps": 10**6, "fs": 10**3, "as": 1,
}  # fmt: skip
"""How long a unit is, in attoseconds. Years and months differ in length."""

_YEARS = 1_000_000
"""Arrays of years and months are taken up to so many, in which NumPy counts the days exactly."""

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?(?:(Z)|([+-])(\d\d):?([0-5]\d))?)?",
    re.ASCII,
)

_SPAN = re.compile(r"(-?\d{1,20}) (second|millisecond|microsecond|nanosecond)s?", re.ASCII)

_SPANS = {"second": "s", "millisecond": "ms", "microsecond": "us", "nanosecond": "ns"}

_EPOCH = date(1970, 1, 1).toordinal()


def exactly(array: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """An array of times or spans in another unit, and which of them this unit does not hold exactly."""
    absent = np.isnat(array)
    unit, many = np.datetime_data(array.dtype)
    own = array.astype(array.dtype.newbyteorder("="))
    counts = np.where(absent, 0, own.view(np.int64))
    bad = np.zeros(array.shape, bool)
    if unit in ("Y", "M") and array.dtype.kind == "M":
        bad = np.abs(counts // 2) > _YEARS // many  # half of it, since the smallest number has no opposite
        known = np.where(bad, 0, counts).view(f"datetime64[{many}{unit}]")
        counts, unit, many = known.astype("datetime64[D]").view(np.int64), "D", 1
    if unit not in _ATTOS:  # a span of years or months, or a number without a unit
        return np.full(array.shape, "NaT", dtype), ~absent
    ours, times = np.datetime_data(dtype)
    up, down = _ratio(_ATTOS[unit] * many, _ATTOS[ours] * times)
    if down > _LIMIT:
        bad |= counts != 0
        counts = np.zeros_like(counts)
    else:
        bad |= counts % down != 0
        counts = counts // down
    top = _LIMIT // up
    bad |= (counts > top) | (counts < -top)
    counts = np.where(bad, 0, counts) * np.int64(min(up, _LIMIT))
    counts[bad | absent] = _MISSING
    return counts.view(dtype), bad


def _ratio(own: int, wanted: int) -> tuple[int, int]:
    up, down = own, wanted
    while down:
        up, down = down, up % down
    return own // up, wanted // up


def moment(value: Any, dtype: np.dtype[Any]) -> Any:
    """A single time in a dtype, in UTC if it has an offset; None if it is not a time, or none that the dtype
    holds exactly. Texts are of ISO 8601, as in 2026-11-20T12:00:00.25+01:00."""
    if isinstance(value, np.datetime64):
        found, bad = exactly(np.array([value]), dtype)
        return None if bad[0] else found[0]
    if isinstance(value, datetime):
        nanoseconds = getattr(value, "nanosecond", 0)  # which some subclasses have beside microseconds
        attos = _of(value, value.microsecond * 10**12 + nanoseconds * 10**9, value.utcoffset())
        return _counted(attos, dtype)
    if isinstance(value, date):
        return _counted((value.toordinal() - _EPOCH) * _ATTOS["D"], dtype)
    return _counted(_read(value), dtype) if isinstance(value, str) else None


def _read(text: str) -> int | None:
    """The attoseconds since 1970 that a text says."""
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[at] or 0) for at in range(1, 7))
    offset = timedelta(hours=int(found[10] or 0), minutes=int(found[11] or 0))
    if offset >= timedelta(days=1):
        return None
    try:
        local = datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    return _of(local, int((found[7] or "").ljust(18, "0")), -offset if found[9] == "-" else offset)


def _of(local: datetime, attos: int, offset: timedelta | None) -> int:
    seconds = (local.toordinal() - _EPOCH) * 86_400 + local.hour * 3_600 + local.minute * 60 + local.second
    return seconds * 10**18 + attos - _attos(offset or timedelta())


def _attos(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * 10**18 + span.microseconds * 10**12


def span(value: Any, dtype: np.dtype[Any]) -> Any:
    """A single span of time in a dtype, from one of NumPy's or Python's, a whole number of the unit, or a
    text as in `90 seconds`; None if it is anything else, or if the dtype does not hold it exactly."""
    if isinstance(value, np.timedelta64):
        found, bad = exactly(np.array([value]), dtype)
        return None if bad[0] else found[0]
    unit, many = np.datetime_data(dtype)
    if isinstance(value, timedelta):
        return _counted(_attos(value) + getattr(value, "nanoseconds", 0) * 10**9, dtype)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return _counted(int(value) * _ATTOS[unit] * many, dtype)
    said = _SPAN.fullmatch(value) if isinstance(value, str) else None
    return _counted(int(said[1]) * _ATTOS[_SPANS[said[2]]], dtype) if said else None


def _counted(attos: int | None, dtype: np.dtype[Any]) -> Any:
    if attos is None:
        return None
    unit, many = np.datetime_data(dtype)
    count, rest = divmod(attos, _ATTOS[unit] * many)
    return None if rest or abs(count) > _LIMIT else np.array(count, np.int64).view(dtype)[()]
