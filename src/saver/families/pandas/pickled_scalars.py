"""How pandas' timestamps, durations, periods, intervals, offsets and missing values lie in pickles."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from saver.codec import Encoder
from saver.families.pandas.pickled_parts import bare, fold_at
from saver.pickled import Call, Global, NotReadError, Pickled, fields_of
from saver.tree import Value

_UNITS = {7: "s", 8: "ms", 9: "us", 10: "ns"}
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MONTHS = ("", *["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"])
_DAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
_PERIODS = {
    "BusinessDay": "B", "Day": "D", "Hour": "h", "Minute": "min", "Second": "s", "Milli": "ms", "Micro": "us",
    "Nano": "ns", "MonthEnd": "M", "Week": "W", "QuarterEnd": "Q", "YearEnd": "Y",
}  # fmt: skip

_NAMED = re.compile(r"period\[(-?[0-9]{0,10})([A-Za-z]{1,5})(-[A-Z]{3})?\]")
_RENAMED = {"H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "N": "ns", "A": "Y"}
"""What frequencies were called before 2.2."""

_PLAIN = "Day Hour Minute Second Milli Micro Nano MonthBegin MonthEnd BusinessMonthBegin BusinessMonthEnd"
_QUARTERS = (
    "QuarterBegin QuarterEnd BQuarterBegin BQuarterEnd HalfYearBegin HalfYearEnd BHalfYearBegin BHalfYearEnd"
)
_CUSTOM = ("weekmask", "holidays", "calendar")
_SETTINGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_PLAIN.split(), ()),
    **dict.fromkeys(_QUARTERS.split(), ("startingMonth",)),
    **dict.fromkeys(("YearBegin", "YearEnd", "BYearBegin", "BYearEnd"), ("month",)),
    **dict.fromkeys(("SemiMonthBegin", "SemiMonthEnd"), ("day_of_month",)),
    **dict.fromkeys(
        ("CustomBusinessDay", "CustomBusinessMonthBegin", "CustomBusinessMonthEnd"), (*_CUSTOM, "offset")
    ),
    "BusinessDay": ("offset",),
    "BusinessHour": ("start", "end", "offset"),
    "CustomBusinessHour": (*_CUSTOM, "start", "end", "offset"),
    "Easter": ("method",),
    "FY5253": ("weekday", "startingMonth", "variation"),
    "FY5253Quarter": ("weekday", "startingMonth", "qtr_with_extra_week", "variation"),
    "LastWeekOfMonth": ("weekday",),
    "Week": ("weekday",),
    "WeekOfMonth": ("week", "weekday"),
}
"""The settings of each offset, in the order in which they follow the number and `normalize` in a call."""

_STEPS = (
    "years", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds",
    "nanoseconds", "year", "month", "day", "weekday", "hour", "minute", "second", "millisecond",
    "microsecond", "nanosecond",
)  # fmt: skip
"""Those of `DateOffset`, which has no order of them."""

OFFSETS = frozenset((*_SETTINGS, "DateOffset"))


def _offset(call: Call) -> tuple[Any, Any, dict[str, Any]]:
    """The number, `normalize` and the settings of an offset that are set."""
    kind = bare(call.function)
    names = _STEPS if kind == "DateOffset" else _SETTINGS[kind]
    if call.args:
        count, normalize, *rest = (*call.args, False)[:2] + call.args[2:]
        if len(rest) > len(names) or call.kwargs is not None:
            raise NotReadError(f"an offset {kind} has more settings than it knows")
        settings = dict(zip(names, rest, strict=False))
    else:
        own = fields_of(call.state, "an offset") if call.has_state else {}
        own = fields_of(own["kwds"], "the settings of an offset") | own if "kwds" in own else own
        count, normalize = own.get("n", 1), own.get("normalize", False)
        settings = {name: own[name] for name in names if name in own}
        if "offset" in names:
            settings.setdefault("offset", own.get("_offset"))
    return count, normalize, {name: item for name, item in sorted(settings.items()) if item is not None}


def frequency_of(value: Any) -> str:
    """The name of the frequency of periods, as pandas has called it since 2.2: `3D`, `Q-NOV`."""
    named = _NAMED.fullmatch(value) if type(value) is str else None
    if named is not None:
        count, name, anchor = named.groups(default="")
        return f"{count}{_RENAMED.get(name, name)}{anchor}"
    kind = bare(value.function) if type(value) is Call else ""
    if kind not in _PERIODS:
        raise NotReadError("the frequency of periods is not one of pandas")
    count, _, settings = _offset(value)
    if type(count) is not int:
        raise NotReadError("the frequency of periods has no number")
    month = settings.get("startingMonth", settings.get("month", 12 if kind == "YearEnd" else 3))
    anchor, names = (settings.get("weekday", 6), _DAYS) if kind == "Week" else (month, _MONTHS)
    if type(anchor) is not int or not 0 <= anchor < len(names):
        raise NotReadError("the frequency of periods ends on no day or month")
    text = _PERIODS[kind] + (f"-{names[anchor]}" if kind in ("Week", "QuarterEnd", "YearEnd") else "")
    return text if count == 1 else f"{count}{text}"


class OffsetPickled(Pickled):
    """Date offsets, by their settings."""

    name = "pandas.offset"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        count, normalize, settings = _offset(obj)
        if "calendar" in settings:
            raise NotReadError("an offset has a calendar of its own")
        return [bare(obj.function), encoder(count), bool(normalize), encoder.fields(settings)]


def _count(value: Any) -> int:
    if type(value) is not int:
        raise NotReadError("a time is not a number")
    return value


def _unit(args: tuple[Any, ...], place: int) -> str:
    return _UNITS.get(args[place] if len(args) > place else 10, "")


class TimestampPickled(Pickled):
    """Timestamps: a number, what was the frequency, the zone, and since 2.0 the unit."""

    name = "pandas.Timestamp"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        count, _, zone = (*obj.args, None, None, None)[:3]
        unit = _unit(obj.args, 3)
        if not unit:
            raise NotReadError("a timestamp has a unit that pandas lacks")
        fold = fold_at(_count(count) // _PER_SECOND[unit], zone)
        return [unit, encoder(count), encoder(zone, "tz"), fold]


class TimedeltaPickled(Pickled):
    """Durations: a number, and since 2.0 the unit."""

    name = "pandas.Timedelta"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        unit = _unit(obj.args, 1)
        if not unit or not obj.args:
            raise NotReadError("a duration has a unit that pandas lacks")
        return [unit, encoder(_count(obj.args[0]))]


class PeriodPickled(Pickled):
    """Periods: nothing, the frequency, the ordinal."""

    name = "pandas.Period"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if len(obj.args) != 3 or obj.args[0] is not None:
            raise NotReadError("a period does not consist of a frequency and a number")
        return [encoder(_count(obj.args[2])), frequency_of(obj.args[1])]


class IntervalPickled(Pickled):
    """Intervals: both ends, and which of them are included."""

    name = "pandas.Interval"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if len(obj.args) != 3 or type(obj.args[2]) is not str:
            raise NotReadError("an interval does not consist of two ends")
        left, right, closed = obj.args
        return [encoder(left, "left"), encoder(right, "right"), closed]


class MissingPickled(Pickled):
    """`pd.NA`, which is a name, and `pd.NaT`, which is a call."""

    name = "pandas.missing"
    shared: ClassVar[bool] = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return "NA" if type(obj) is Global else "NaT"


MISSING = MissingPickled()
_OFFSET = OffsetPickled()
_TIMESTAMP, _TIMEDELTA = TimestampPickled(), TimedeltaPickled()
SCALARS: dict[str, Pickled] = {
    **dict.fromkeys(OFFSETS, _OFFSET),
    "_unpickle_timestamp": _TIMESTAMP,
    "Timestamp": _TIMESTAMP,
    "_timedelta_unpickle": _TIMEDELTA,
    "Timedelta": _TIMEDELTA,
    "_nat_unpickle": MISSING,
    "__nat_unpickle": MISSING,
    "Period": PeriodPickled(),
    "Interval": IntervalPickled(),
}
"""By the bare name of the class or function."""
