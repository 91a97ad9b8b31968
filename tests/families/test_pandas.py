"""pandas: frames, series and every index come back with dtypes, names, order and bits."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("pandas")

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import (
    assert_extension_array_equal,
    assert_frame_equal,
    assert_index_equal,
    assert_series_equal,
)

import saver

Roundtrip = Callable[..., Any]


ROWS = 7
DATES = pd.date_range("2024-03-30", periods=ROWS, freq="6h")


def columns() -> dict[str, Any]:
    numbers = np.arange(ROWS)
    found = {
        "float": pd.Series([0.1, -0.0, np.nan, np.inf, 1e-300, 2.0, 3.0]),
        "float32": pd.Series(numbers, dtype="float32"),
        "int8": pd.Series(numbers, dtype="int8"),
        "uint64": pd.Series([2**64 - 1] * ROWS, dtype="uint64"),
        "bool": pd.Series(numbers % 2 == 0),
        "complex": pd.Series(numbers * (1 + 2j)),
        "object": pd.Series([1, "a", None, 2.5, (1, 2), Decimal("1.10"), b"x"], dtype=object),
        "str": pd.Series(["a", None, "", "é", "x" * 600, "b", "c"], dtype="str"),
        "string": pd.Series(["a", pd.NA, "", "é", "d", "b", "c"], dtype="string[python]"),
        "datetime": pd.Series(DATES),
        "datetime s": pd.Series(DATES).astype("datetime64[s]"),
        "zoned": pd.Series(DATES.tz_localize(ZoneInfo("Europe/Oslo"))),
        "utc": pd.Series(DATES.tz_localize("UTC")),
        "fixed": pd.Series(DATES.tz_localize(datetime.timezone(datetime.timedelta(hours=3)))),
        "duration": pd.Series(pd.to_timedelta(numbers, unit="h")),
        "category": pd.Series(pd.Categorical(list("abcabc") + [None], ordered=True)),
        "category of dates": pd.Series(pd.Categorical(DATES)),
        "period": pd.Series(pd.period_range("2024-01", periods=ROWS, freq="M")),
        "interval": pd.Series(pd.interval_range(0, ROWS, closed="left")),
        "sparse": pd.Series(pd.arrays.SparseArray([0, 0, 1, 2, 0, 0, 3], fill_value=0)),
        "Int32": pd.Series([1, None, 3, 4, 5, None, 7], dtype="Int32"),
        "UInt8": pd.Series([1, None, 3, 4, 5, None, 7], dtype="UInt8"),
        "Float64": pd.Series([1.5, None, -0.0, 4, 5, None, 7], dtype="Float64"),
        "boolean": pd.Series([True, None, False, True, True, None, False], dtype="boolean"),
    }
    pa = pytest.importorskip("pyarrow")
    arrow = {
        "int64": (pa.int64(), [1, None, 3, 4, 5, 6, 7]),
        "string": (pa.string(), ["a", None, "é", "", "b", "c", "d"]),
        "decimal": (pa.decimal128(7, 2), [Decimal("1.10"), None, *[Decimal("-3.25")] * 5]),
        "list": (pa.list_(pa.int32()), [[1, 2], None, [], [3], [4], [5], [6]]),
        "struct": (
            pa.struct([("a", pa.int8()), ("b", pa.string())]),
            [{"a": 1, "b": "x"}, None] + [{"a": 2, "b": "y"}] * 5,
        ),
        "timestamp": (
            pa.timestamp("us", "Europe/Oslo"),
            [datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)] * ROWS,
        ),
        "dictionary": (pa.dictionary(pa.int8(), pa.string()), list("abcabca")),
        "binary": (pa.binary(), [b"\x00", None, b"", b"a", b"b", b"c", b"d"]),
        "bool": (pa.bool_(), [True, None, False, True, True, False, True]),
        "date": (pa.date32(), [datetime.date(2024, 1, 1)] * ROWS),
    }
    for name, (kind, values) in arrow.items():
        found[f"arrow {name}"] = pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))
    return found


COLUMNS = columns()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_series_of_every_dtype_comes_back(roundtrip: Roundtrip, name: str) -> None:
    series = COLUMNS[name].rename(("deep", name))
    loaded = roundtrip(series)
    assert_series_equal(series, loaded, check_exact=True, check_freq=True)
    assert loaded.dtype == series.dtype
    assert_series_equal(series[2:5], roundtrip(series[2:5]), check_exact=True)
    assert_series_equal(series[:0], roundtrip(series[:0]), check_exact=True)
    if series.dtype.kind == "f" and isinstance(series.dtype, np.dtype):
        assert series.to_numpy().tobytes() == loaded.to_numpy().tobytes()


@pytest.mark.parametrize("name", COLUMNS)
def test_the_arrays_and_dtypes_themselves_are_values(roundtrip: Roundtrip, name: str) -> None:
    array = COLUMNS[name].array
    loaded = roundtrip(array)
    assert type(loaded) is type(array)
    if isinstance(array, pd.api.extensions.ExtensionArray):
        assert_extension_array_equal(array, loaded, check_exact=True)
    assert roundtrip(COLUMNS[name].dtype) == COLUMNS[name].dtype


def test_a_frame_of_every_dtype_comes_back(roundtrip: Roundtrip) -> None:
    frame = pd.DataFrame(COLUMNS)
    frame.index = DATES.rename("when")
    frame.attrs = {"source": "made"}
    loaded = roundtrip(frame)
    assert_frame_equal(frame, loaded, check_exact=True, check_freq=True)
    assert loaded.attrs == frame.attrs
    assert loaded.index.freq == frame.index.freq
    assert list(loaded.dtypes) == list(frame.dtypes)


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(sorted(COLUMNS)), max_size=6),
    st.lists(
        st.one_of(st.text(max_size=3), st.integers(), st.none(), st.tuples(st.integers())),
        min_size=6,
        max_size=6,
    ),
)
def test_labels_may_be_anything_and_twice(roundtrip: Roundtrip, chosen: list[str], labels: list[Any]) -> None:
    frame = pd.concat([COLUMNS[name] for name in chosen], axis=1) if chosen else pd.DataFrame(index=range(3))
    frame.columns = pd.Index(labels[: len(chosen)], dtype=object, tupleize_cols=False)
    assert_frame_equal(frame, roundtrip(frame), check_exact=True)


INDEXES = {
    "range": pd.RangeIndex(3, 30, 4, name="r"),
    "int": pd.Index([3, 1, 2], name="i"),
    "float": pd.Index([0.5, np.nan]),
    "str": pd.Index(["a", "b"], dtype="str", name=None),
    "object": pd.Index([1, "a", None, (1, 2)], dtype=object, tupleize_cols=False),
    "bool": pd.Index([True, False]),
    "dates": pd.date_range("2024-01-31", periods=5, freq="ME", name="d"),
    "zoned": pd.date_range("2024-10-26", periods=40, freq="h", tz="Europe/Rome"),
    "business": pd.bdate_range("2024-01-01", periods=9),
    "durations": pd.timedelta_range("1s", periods=4, freq="90s"),
    "periods": pd.period_range("2024Q1", periods=4, freq="Q-NOV"),
    "intervals": pd.interval_range(pd.Timestamp("2024-01-01"), periods=3),
    "categories": pd.CategoricalIndex(list("abca"), categories=list("cba"), ordered=True),
    "levels": pd.MultiIndex.from_product([["a", "b"], DATES[:2], [1.5, 2.5]], names=["x", None, "z"]),
    "levels with gaps": pd.MultiIndex.from_tuples([("a", 1), (np.nan, 2), ("b", np.nan)]),
    "Int64": pd.Index([1, None], dtype="Int64"),
}


@pytest.mark.parametrize("name", INDEXES)
def test_every_index_comes_back(roundtrip: Roundtrip, name: str) -> None:
    index = INDEXES[name]
    loaded = roundtrip(index)
    assert_index_equal(index, loaded, exact=True, check_exact=True)
    assert getattr(loaded, "freq", None) == getattr(index, "freq", None)
    wide = pd.DataFrame(np.ones((2, len(index))), columns=index)
    assert_frame_equal(wide, roundtrip(wide), check_exact=True)


@pytest.mark.parametrize(
    "scalar",
    [
        pd.Timestamp("2024-10-27 02:30").tz_localize("Europe/Oslo", ambiguous=False),
        pd.Timestamp(1, unit="ns"),
        pd.Timestamp("2024-01-01").as_unit("s"),
        pd.Timedelta(1, "ns"),
        pd.Period("2024-05", "M"),
        pd.NaT,
        pd.NA,
        pd.Interval(0, 1.5, "both"),
        pd.offsets.BMonthEnd(2),
        pd.offsets.Week(weekday=3),
        pd.CategoricalDtype(["a"], True),
    ],
    ids=repr,
)
def test_scalars_come_back(roundtrip: Roundtrip, scalar: Any) -> None:
    loaded = roundtrip(scalar)
    assert type(loaded) is type(scalar)
    assert loaded is scalar or loaded == scalar
    assert getattr(loaded, "unit", None) == getattr(scalar, "unit", None)
    assert getattr(loaded, "fold", 0) == getattr(scalar, "fold", 0)


def test_a_wide_frame_is_a_few_tensors(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).random((50, 1000)))
    saver.dump(frame, tmp_path / "wide")
    assert len(saver.describe(tmp_path / "wide").parts[0].tensors) < 5
    assert_frame_equal(frame, saver.load(tmp_path / "wide"), check_exact=True)


def test_flags_are_kept(roundtrip: Roundtrip) -> None:
    frame = pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
    assert not roundtrip(frame).flags.allows_duplicate_labels


def test_codes_beyond_the_categories_are_refused(tmp_path: Path) -> None:
    for bad in (5, -2):
        values = pd.Categorical(list("abc"))
        values._ndarray[1] = bad
        saver.dump(values, tmp_path / "c")
        with pytest.raises(saver.IncompatibleError):
            saver.load(tmp_path / "c")


ZONES = ["UTC", "Europe/Rome", "Etc/GMT+5", "US/Eastern"]


@pytest.mark.parametrize("name", ZONES)
def test_zones_of_pytz_come_back(name: str, roundtrip: Roundtrip) -> None:
    """pandas before 3 makes them of names."""
    pytz = pytest.importorskip("pytz")
    zone, dates = pytz.timezone(name), DATES.tz_localize(pytz.timezone(name))
    assert roundtrip(zone) is zone
    assert_index_equal(dates, roundtrip(dates), exact=True, check_exact=True)
    summer, winter = (zone.localize(datetime.datetime(2024, month, 1)) for month in (1, 7))
    for time in (summer, winter):
        loaded = roundtrip(time)
        assert loaded == time
        assert loaded.tzinfo is time.tzinfo
    for offset in (pytz.FixedOffset(90), pytz.FixedOffset(0)):
        assert roundtrip(offset) is offset


@pytest.mark.parametrize("name", ZONES)
def test_without_pytz_its_zones_are_those_of_python(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytz = pytest.importorskip("pytz")
    dates = DATES.tz_localize(pytz.timezone(name))
    time = pytz.timezone(name).localize(datetime.datetime(2024, 7, 1))
    saver.dump([dates, time, pytz.FixedOffset(90)], tmp_path / "z")
    monkeypatch.setitem(sys.modules, "pytz", None)
    loaded, moment, offset = saver.load(tmp_path / "z")
    assert str(loaded.tz) == name
    assert (loaded == dates).all()
    assert moment == time
    assert offset == datetime.timezone(datetime.timedelta(minutes=90))
