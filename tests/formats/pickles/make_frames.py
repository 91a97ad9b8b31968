"""Makes golden pickles under an old version of pandas: `python make_frames.py FOLDER`, by its Python.

It writes to FOLDER/VERSION what `to_pickle` and `pickle` write, and what is in it, as text. `python pack.py
FOLDER frames` makes the archive of all versions. Runs under Python 2.7 and later.
"""

import json
import os
import pickle
import sys
import warnings

import numpy as np
import pandas as pd

OFFSETS = (
    "Day", "Hour", "Minute", "Second", "Milli", "Micro", "Nano", "MonthBegin", "MonthEnd",
    "BusinessMonthBegin", "BusinessMonthEnd", "QuarterBegin", "QuarterEnd", "BQuarterBegin", "BQuarterEnd",
    "YearBegin", "YearEnd", "BYearBegin", "BYearEnd", "SemiMonthBegin", "SemiMonthEnd", "BusinessDay",
    "BusinessHour", "Easter", "Week",
)  # fmt: skip
SETTINGS = (
    "weekday", "month", "startingMonth", "day_of_month", "weekmask", "start", "end", "variation", "months",
    "days",
)  # fmt: skip
DAYS = ["2014-01-01", "2014-03-30", None, "2014-10-26"]


def makers():
    """Values by name, each as a function that makes it; not every version can make each."""
    dates = pd.DatetimeIndex(["2014-03-29 23:00", "2014-03-30 00:30", "2014-10-26 00:30", "2014-10-26 01:30"])
    daily = pd.date_range("2014-01-01", periods=4, freq="D")
    numbers = np.array([[1.5, -0.0, np.nan, 4], [5, 6, 7, 8]]).T
    mixed = [
        ("whole", np.array([1, -2, 3, 4])),
        ("half", np.array([0.5, np.nan, np.inf, -0.0])),
        ("small", np.array([1, 2, 3, 4], "i1")),
        ("more", np.array([10, 20, 30, 40])),
        ("yes", np.array([True, False, True, True])),
        ("text", np.array(["a", None, "", "\u00e9"], object)),
        ("date", pd.Series(pd.to_datetime(DAYS))),
        ("last", np.array([1.25, 2, 3, 4])),
        ("list", pd.Series([[1], {"a": 2}, (3,), None])),
    ]

    def frame(columns=mixed, index=None):
        found = pd.DataFrame(dict(columns), columns=[name for name, _ in columns])
        if index is not None:
            found.index = index
        return found

    def zoned(zone, times=dates):
        return times.tz_localize("UTC").tz_convert(zone)

    def period(name):
        return pd.period_range("2014-01-01", periods=4, freq=name)

    def every(offset):
        return pd.date_range("2014-01-01", periods=3, freq=offset)

    def with_attributes():
        found = frame()
        found.attrs["source"] = "there"
        return found

    def unique():
        return pd.DataFrame({"a": [1, 2]}).set_flags(allows_duplicate_labels=False)

    def named(values, **options):
        return pd.Series(values, name="s", **options)

    def missing(dtype, *values):
        return pd.array([values[0], None] + list(values), dtype=dtype)

    between = pd.IntervalIndex.from_breaks(range(5))
    levels = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None])
    return {
        "frame": frame,
        "frame_of_numbers": lambda: pd.DataFrame(numbers, columns=["a", "b"]),
        "frame_in_other_order": lambda: pd.DataFrame(numbers).T,
        "frame_without_rows": lambda: frame().iloc[:0],
        "frame_without_columns": lambda: pd.DataFrame(index=["a", "b"]),
        "frame_of_nothing": pd.DataFrame,
        "frame_with_some_columns": lambda: frame()[["last", "text", "whole"]],
        "frame_without_a_column": lambda: frame().drop("half", axis=1),
        "frame_with_columns_of_one_name": lambda: frame()[["whole", "half", "whole", "text"]],
        "frame_with_levels": lambda: frame(index=levels),
        "frame_with_columns_of_levels": lambda: pd.DataFrame(np.arange(8).reshape(2, 4), columns=levels),
        "frame_by_dates": lambda: frame(index=daily),
        "frame_of_zones": lambda: pd.DataFrame({"a": zoned("Europe/Rome"), "b": zoned("UTC"), "c": dates,
                                                "d": zoned("Europe/Rome")}),
        "frame_of_categories": lambda: pd.DataFrame({"a": pd.Categorical(list("abca")), "b": [1, 2, 3, 4],
                                                     "c": pd.Categorical([1, 2, None, 1], ordered=True)}),
        "frame_of_durations": lambda: pd.DataFrame({"a": pd.to_timedelta([1, 2, None, 4], unit="s")}),
        "frame_of_extensions": lambda: pd.DataFrame({"a": missing("Int64", 1), "b": missing("boolean", True),
                                                     "c": missing("string", "x"), "d": [1, 2, 3]}),
        "frame_of_sparse": lambda: pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1.5, 0])}),
        "frame_of_periods": lambda: pd.DataFrame({"a": period("M"), "b": between}),
        "frame_with_attributes": with_attributes,
        "frame_with_unique_labels": unique,
        "frame_of_frames": lambda: {"one": frame(), "more": [named([1, 2]), {"x": frame()}]},
        "series": lambda: named([1, 2, 3]),
        "series_of_texts": lambda: named(["a", None, "c"], index=list("xyz")),
        "series_of_flags": lambda: named([True, False]),
        "series_of_dates": lambda: named(pd.to_datetime(DAYS)),
        "series_in_a_zone": lambda: named(zoned("US/Eastern")),
        "series_in_dateutil_zone": lambda: named(zoned("dateutil/Europe/Rome", dates[:1])),
        "series_of_durations": lambda: named(pd.timedelta_range("1s", periods=3, freq="90s")),
        "series_of_categories": lambda: named(pd.Categorical(list("cab"), ordered=True)),
        "series_of_dates_in_categories": lambda: named(pd.Categorical(daily)),
        "series_of_periods": lambda: named(period("D")),
        "series_of_intervals": lambda: named(pd.interval_range(0, 3)),
        "series_of_times": lambda: named([dates[0], pd.NaT, pd.Timedelta(5, unit="s")], dtype=object),
        "series_of_arrow": lambda: named([1, None, 3], dtype="int64[pyarrow]"),
        "series_of_arrow_texts": lambda: named(["a", None, "c"], dtype="string[pyarrow]"),
        "series_of_arrow_lists": lambda: named(_arrow([[1, 2], None, [3]])),
        "index": lambda: pd.Index(["a", "b"], name="n"),
        "index_of_mixed": lambda: pd.Index(["a", 1, (2, "b")]),
        "index_of_whole": lambda: pd.Index([3, 1], name=("a", 1)),
        "index_of_large": lambda: pd.Index(np.array([3, 2**63], "u8")),
        "index_of_floats": lambda: pd.Index([0.5, np.nan]),
        "index_of_flags": lambda: pd.Index([True, False]),
        "index_of_dates": lambda: daily,
        "index_of_some_dates": lambda: pd.DatetimeIndex(DAYS, name="d"),
        "index_in_a_zone": lambda: zoned("Europe/Rome"),
        "index_in_utc": lambda: daily.tz_localize("UTC"),
        "index_by_quarters": lambda: every(pd.offsets.QuarterEnd(startingMonth=11)),
        "index_by_business_days": lambda: every(pd.offsets.BusinessDay(2)),
        "index_by_weeks": lambda: every(pd.offsets.Week(weekday=2)),
        "index_of_durations": lambda: pd.timedelta_range("1s", periods=3, freq="90s"),
        "index_of_months": lambda: period("M"),
        "index_of_weeks": lambda: period("W-WED"),
        "index_of_quarters": lambda: period("Q-NOV"),
        "index_of_hours": lambda: period(pd.offsets.Hour(3)),
        "index_of_years": lambda: period(pd.offsets.YearEnd(month=3)),
        "index_of_intervals": lambda: pd.IntervalIndex.from_breaks([0.0, 1, 2], closed="left", name="i"),
        "index_of_dates_between": lambda: pd.IntervalIndex.from_breaks(daily),
        "index_of_categories": lambda: pd.CategoricalIndex(list("aba"), name="c"),
        "index_of_levels": lambda: levels,
        "index_of_dates_in_levels": lambda: pd.MultiIndex.from_product([daily, [1.5, 2]]),
        "range": lambda: pd.RangeIndex(3, 30, 4, name="r"),
        "categories": lambda: pd.Categorical(["b", None, "a"]),
        "integers": lambda: missing("Int8", 1, 2),
        "floats": lambda: missing("Float32", 1.5, 2),
        "flags": lambda: missing("boolean", True, False),
        "strings": lambda: missing(pd.StringDtype(), "a", "b"),
        "sparse": lambda: pd.arrays.SparseArray([0, 0, 1, 2, 0], fill_value=0),
        "sparse_blocks": lambda: pd.arrays.SparseArray([0, 0, 1, 2, 0], fill_value=0, kind="block"),
        "scalars": lambda: {
            "time": pd.Timestamp("2014-01-01 01:02:03.000000004"),
            "zoned": pd.Timestamp("2014-07-01", tz="Europe/Rome"),
            "second": pd.Timestamp("2014-10-26 01:30", tz="UTC").tz_convert("Europe/Rome"),
            "utc": pd.Timestamp("2014-07-01", tz="UTC"),
            "fixed": pd.Timestamp("2014-07-01 00:00+02:00"),
            "duration": pd.Timedelta("1 days 00:00:00.000000001"),
            "period": pd.Period("2014-03", "M"),
            "interval": pd.Interval(0, 1.5, closed="both"),
            "never": pd.NaT,
        },
        "offsets": lambda: {name: getattr(pd.offsets, name)(2) for name in OFFSETS},
        "offsets_with_settings": lambda: {
            "custom": pd.offsets.CustomBusinessDay(holidays=["2014-01-01"]),
            "weekday": pd.offsets.WeekOfMonth(week=1, weekday=2),
            "last": pd.offsets.LastWeekOfMonth(weekday=2),
            "fiscal": pd.offsets.FY5253(weekday=1, startingMonth=3, variation="nearest"),
            "steps": pd.offsets.DateOffset(months=1, days=2),
        },
        "missing": lambda: [pd.NA, None],
    }  # fmt: skip


def _arrow(values):
    import pyarrow

    return pd.arrays.ArrowExtensionArray(pyarrow.array(values))


def _text(value):
    """One value, as every version shows it."""
    kind = type(value).__name__
    if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
        return told(value)
    if isinstance(value, dict):
        return [
            [_text(key), _text(item)] for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))
        ]
    if isinstance(value, (list, tuple)):
        return [kind] + [_text(item) for item in value]
    if isinstance(value, np.ndarray):
        return _text(value.tolist())
    if isinstance(value, pd.Period):
        return str(value) + " " + str(value.ordinal)
    if isinstance(value, pd.Interval):
        return [_text(value.left), _text(value.right), value.closed]
    if isinstance(value, pd.offsets.DateOffset) or kind in pd.offsets.__all__:
        return _offset(value)
    if value is None or value is pd.NaT or kind == "NAType" or value != value:
        return "-"
    if isinstance(value, (pd.Timestamp, pd.Timedelta)):
        return "{} {}".format(value.isoformat(), getattr(value, "tz", None) is not None)
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, (int, np.integer)) or kind == "long":
        return str(int(value))
    return value if kind in ("str", "unicode") else str(value)


def _offset(value):
    known = getattr(value, "kwds", {})
    settings = [(name, getattr(value, name, known.get(name))) for name in SETTINGS]
    set_ = [(name, item) for name, item in settings if item is not None]
    shown = [[name, str(item[0] if type(item) is tuple else item)] for name, item in set_]
    return [type(value).__name__, int(value.n), shown]


def _dtype(dtype):
    """The kind of a dtype, by the part of its name that all versions agree on."""
    name = str(dtype).lower()
    for kind in ("interval", "sparse", "string", "category"):
        if name.startswith(kind) or (kind == "string" and name == "str"):
            return kind
    if name.startswith("period"):
        return "period"
    return str(dtype).replace("tzfile('/usr/share/zoneinfo/", "").replace("')", "")


def _values(values):
    if _dtype(values.dtype) == "category":
        array = getattr(values, "cat", values)
        codes = [int(code) for code in array.codes]
        return {"dtype": "category", "categories": told(array.categories), "ordered": bool(array.ordered),
                "codes": codes}  # fmt: skip
    items = values.tolist() if hasattr(values, "tolist") else list(values)
    return {"dtype": _dtype(values.dtype), "values": [_text(item) for item in items]}


def told(value):
    """What is in a value, as data that every version agrees on."""
    if isinstance(value, pd.DataFrame):
        columns = [_values(value.iloc[:, at]) for at in range(value.shape[1])]
        flags = getattr(value, "flags", None)
        return {"kind": "frame", "index": told(value.index), "columns": told(value.columns), "data": columns,
                "attrs": _text(getattr(value, "attrs", {})),
                "unique": getattr(flags, "allows_duplicate_labels", True) is False}  # fmt: skip
    if isinstance(value, pd.Series):
        return dict(_values(value), kind="series", index=told(value.index), name=_text(value.name))
    if isinstance(value, pd.MultiIndex):
        return {"kind": "levels", "values": [_text(row) for row in value.tolist()],
                "names": [_text(name) for name in value.names],
                "levels": [told(each) for each in value.levels]}  # fmt: skip
    if isinstance(value, pd.Index):
        freq = (
            getattr(value, "freq", None) if isinstance(value, (pd.DatetimeIndex, pd.TimedeltaIndex)) else None
        )
        return dict(_values(value), kind="range" if isinstance(value, pd.RangeIndex) else "index",
                    name=_text(value.name), freq=None if freq is None else _offset(freq))  # fmt: skip
    if isinstance(value, getattr(pd.api, "extensions", pd).__dict__.get("ExtensionArray", pd.Categorical)):
        return _values(value)
    return _text(value)


COMPRESSIONS = ("gzip", "bz2", "xz", "zip")


def write(folder):
    """All values that this version can make, with every protocol and compression for one of them."""
    for name, make in sorted(makers().items()):
        try:
            value = make()
            text = json.dumps(told(value), sort_keys=True)
            data = pickle.dumps(value, 2 if sys.version_info < (3,) else pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            print(name + ": " + repr(error))
            continue
        _write(folder, name + ".json", text.encode("ascii"))
        _write(folder, name + ".pkl", data)
        if name == "frame":
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                _write(folder, "frame." + str(protocol) + ".pkl", pickle.dumps(value, protocol))
            for method in COMPRESSIONS:
                path = os.path.join(folder, "frame." + method + ".pkl")
                try:
                    value.to_pickle(path, compression=method)
                except Exception as error:
                    print(method + ": " + repr(error))
                    if os.path.exists(path):
                        os.remove(path)


def _write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    target = os.path.join(sys.argv[1], pd.__version__)
    if not os.path.isdir(target):
        os.makedirs(target)
    write(target)
    print(pd.__version__ + ": " + str(len(os.listdir(target))) + " files")
