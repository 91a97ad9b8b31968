"""Times are taken exactly, or refused: none is rounded, cut off or wrapped around."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.errors import BadInputError
from saver.schema import Field, Schema, Seen

SECONDS = {
    "W": Fraction(604_800), "D": Fraction(86_400), "h": Fraction(3_600), "m": Fraction(60), "s": Fraction(1),
    "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9), "ps": Fraction(1, 10**12),
    "fs": Fraction(1, 10**15), "as": Fraction(1, 10**18),
}  # fmt: skip
TIMES = [f"datetime64[{unit}]" for unit in ("D", "s", "ms", "us", "ns")]
SPANS = [f"timedelta64[{unit}]" for unit in ("s", "ms", "us", "ns")]
COUNTS = st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-(10**6), 10**6)


def taken(dtype: str, values: Any) -> np.ndarray[Any, Any] | None:
    field = Field(name="when", dtype=dtype, seen=Seen(count=2, missing=1))
    try:
        found = Schema(inputs=(field,)).check({"when": values})["when"]
    except BadInputError:
        return None
    assert found.dtype == dtype
    return found


def count_of(dtype: str, seconds: Fraction) -> int | None:
    """How a dtype counts a time; None if it cannot."""
    count = seconds / SECONDS[np.datetime_data(np.dtype(dtype))[0]]
    return int(count) if count.denominator == 1 and abs(count) < 2**63 else None


@pytest.mark.parametrize("dtype", TIMES + SPANS)
@given(st.sampled_from(sorted(SECONDS)), st.integers(1, 100), COUNTS, st.sampled_from("<>"))
def test_arrays_of_any_unit_are_exact_or_refused(
    dtype: str, unit: str, many: int, count: int, order: str
) -> None:
    kind = np.dtype(dtype).kind
    array = np.array([count, -(2**63)], f"{order}i8").view(f"{order}{kind}8[{many}{unit}]")
    wanted = count_of(dtype, SECONDS[unit] * many * count)
    for values in (array, list(array)):
        found = taken(dtype, values)
        if wanted is None:
            assert found is None
        else:
            assert found is not None
            assert found.view("i8").tolist() == [wanted, -(2**63)]


@pytest.mark.parametrize("dtype", TIMES)
@given(st.datetimes(), st.integers(0, 10**9 - 1), st.integers(0, 9), st.none() | st.integers(-1439, 1439))
def test_texts_are_exact_or_refused(
    dtype: str, when: datetime, nanos: int, digits: int, minutes: int | None
) -> None:
    when = when.replace(microsecond=0)
    nanos -= nanos % 10 ** (9 - digits)
    text = when.isoformat() + (f".{nanos:09}"[: digits + 1] if digits else "")
    if minutes is not None:
        text += f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    seconds = Fraction((when - datetime(1970, 1, 1)) // timedelta(seconds=1)) + Fraction(nanos, 10**9)
    wanted = count_of(dtype, seconds - 60 * (minutes or 0))
    found = taken(dtype, [text])
    assert (None if found is None else found.view("i8").item()) == wanted
    if nanos % 1000 == 0:
        zone = None if minutes is None else timezone(timedelta(minutes=minutes))
        same = taken(dtype, [when.replace(microsecond=nanos // 1000, tzinfo=zone)])
        assert (None if same is None else same.view("i8").item()) == wanted


@pytest.mark.parametrize("dtype", TIMES)
@pytest.mark.parametrize(
    "text",
    ["20260101", "20260101T1200", "2026-W01-1", "2026-01", "2026", "now", "today", "NaT", "", " 2026-01-01",
     "2026-01-01\n", "2026-01-01T12", "2026-01-01T24:00", "2026-02-29", "0000-01-01", "10000-01-01",
     "2026-01-01T12:00+24:00", "2026-01-01T12:00+01", "2026-01-01T12:00 UTC", "2026-01-01T12:60",
     "2026-01-01T23:59:60", "\uff12\uff10\uff12\uff16-01-01", "2026-01-01T12:00:00.",
     "+2026-01-01", "2026-01-01Z"],
)  # fmt: skip
def test_other_texts_are_not_times(dtype: str, text: str) -> None:
    assert taken(dtype, [text]) is None


def test_dates_and_separators_of_iso() -> None:
    day = np.datetime64("2026-11-20", "s")
    for value in (
        "2026-11-20",
        "2026-11-20T00:00",
        "2026-11-20 00:00:00,000",
        "2026-11-20T00:00Z",
        "2026-11-20T01:00+0100",
        date(2026, 11, 20),
        datetime(2026, 11, 20, tzinfo=UTC),
    ):
        for dtype in TIMES:
            found = taken(dtype, [value, None])
            assert found is not None, value
            assert found[0] == day
            assert np.isnat(found[1])


@pytest.mark.parametrize("dtype", TIMES)
@given(st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-9000, 9000), st.sampled_from("YM"))
def test_years_and_months_are_exact_or_refused(dtype: str, count: int, unit: str) -> None:
    found = taken(dtype, np.array([count]).view(f"M8[{unit}]"))
    year, month = divmod(count, 12) if unit == "M" else (count, 0)
    if not -1969 < year < 8029:
        assert found is None or abs(count) < 4_000_000
        return
    days = date(1970 + year, 1 + month, 1).toordinal() - date(1970, 1, 1).toordinal()
    assert (None if found is None else found.view("i8").item()) == count_of(dtype, 86_400 * Fraction(days))


@pytest.mark.parametrize("dtype", SPANS)
@given(COUNTS, st.sampled_from(["seconds", "milliseconds", "microseconds", "nanoseconds"]))
def test_spans_are_whole_numbers_of_their_unit_or_texts(dtype: str, count: int, unit: str) -> None:
    found = taken(dtype, [count])
    assert found is not None
    assert found.view("i8").item() == count
    units = {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
    same = taken(dtype, np.array([count]))
    assert same is not None
    assert same[0] == found[0]
    found = taken(dtype, [f"{count} {unit}"])
    wanted = count_of(dtype, SECONDS[units[unit]] * count)
    assert (None if found is None else found.view("i8").item()) == wanted
    if abs(count) < 10**12:
        found = taken(dtype, [timedelta(seconds=count // 1000)])
        assert found is not None
        assert found[0] == np.timedelta64(count // 1000, "s")


def test_spans_and_times_do_not_mix() -> None:
    span, time = np.array([1], "m8[s]"), np.array([1], "M8[s]")
    for values in (span, list(span), [timedelta(1)], np.array([1]), [1], [1.5], [True]):
        assert taken("datetime64[ns]", values) is None
    for values in (time, list(time), [date(2026, 1, 1)], np.array([1.5]), [1.5], [True], ["1"], [2**63]):
        assert taken("timedelta64[ns]", values) is None
    assert taken("timedelta64[ns]", np.array([1], "m8[Y]")) is None
    assert taken("timedelta64[ns]", np.array([1], "m8")) is None
