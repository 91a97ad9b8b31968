"""Fingerprints of frames: equal content is equal, however it is laid out; what moved is named by column."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pd = pytest.importorskip("pandas")

from saver.errors import CannotSaveError  # noqa: E402
from saver.fingerprint import arrays, fingerprint, frames, same  # noqa: E402


def hashes(data: Any) -> dict[str, str]:
    return {column["name"]: column["hash"] for column in fingerprint(data)["columns"]}


def wide(rows: int = 50) -> Any:
    """A frame with a column of every kind, with missing values where there can be any."""
    rng = np.random.default_rng(7)
    number, there = rng.integers(0, 9, rows), rng.random(rows) < 0.8
    words = [f"w{n}" if t else None for n, t in zip(number, there, strict=True)]
    days = pd.date_range("2026-01-01", periods=rows, freq="h")
    return pd.DataFrame(
        {
            "f8": rng.random(rows), "f4": rng.random(rows).astype("f4"), "i8": number,
            "u1": number.astype("u1"), "more f8": rng.random(rows), "b": there, "c16": rng.random(rows) + 1j,
            "Int64": pd.array(number, "Int64").copy(), "boolean": pd.array(there, "boolean"),
            "object": pd.Series(words, dtype=object), "string": pd.Series(words, dtype="string"),
            "category": pd.Categorical(words), "day": days, "zone": days.tz_localize("Europe/Berlin"),
            "delta": days - pd.Timestamp("2026-01-01"), "period": days.to_period("D"),
            "interval": pd.arrays.IntervalArray.from_breaks(np.arange(rows + 1.0)),
            "sparse": pd.arrays.SparseArray(number * there),
        }
    )  # fmt: skip


def test_recorded_fingerprints_are_found_again_by_later_savers():
    """These were recorded; if they change, what people have recorded is worth nothing."""
    frame = pd.DataFrame({"x": [1.5, 2.5], "n": [1, 2], "t": pd.Series(["a", None], dtype=object)})
    assert [fingerprint(frame)["hash"][:16], *(each[:16] for each in hashes(frame).values())] == RECORDED


RECORDED = ["26fadf2e210bf358", "4e8d12728fac6eda", "65326dcffc99f67e", "042413ea60744a8c"]


def test_a_frame_tells_its_columns_and_its_index():
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]}, index=pd.Index([5, 7], name="id"))
    found = fingerprint(frame)
    assert (found["kind"], found["type"], found["shape"]) == ("frame", "pandas.DataFrame", [2, 2])
    assert [(each["name"], each["dtype"]) for each in found["columns"]] == [
        ("x", "float64"), ("y", str(frame.dtypes["y"])),
    ]  # fmt: skip
    assert [(each["name"], each["dtype"]) for each in found["index"]] == [("id", "int64")]


def test_the_hash_of_a_plain_column_is_that_of_its_array():
    frame = wide()
    for name in ("f8", "f4", "i8", "u1", "b", "c16", "day", "delta", "object"):
        assert hashes(frame)[name] == fingerprint(frame[name].to_numpy())["hash"], name


@pytest.mark.slow
@pytest.mark.parametrize("name", wide(3).columns)
def test_a_changed_value_changes_the_whole_and_its_own_column_alone(name):
    frame, other = wide(), wide()
    column = frame[name]
    at, to = next((i, j) for i in range(50) for j in range(50) if str(column[i]) != str(column[j]))
    other[name] = column.take([to if i == at else i for i in range(50)]).set_axis(column.index)
    assert {key for key in hashes(frame) if hashes(frame)[key] != hashes(other)[key]} == {name}
    assert not same(fingerprint(frame), fingerprint(other))


@pytest.mark.parametrize("rows", [0, 1, 50])
def test_how_a_frame_lies_in_memory_makes_no_difference(rows):
    frame = wide(rows)
    expected = fingerprint(frame)
    assert fingerprint(frame.copy()) == expected
    pieces = pd.DataFrame({name: frame[name] for name in reversed(frame.columns)})[list(frame.columns)]
    assert fingerprint(pieces) == expected
    assert fingerprint(pd.concat([frame, frame]).iloc[:rows].set_axis(range(rows))) == expected
    numbers = np.random.default_rng(1).random((rows, 4))
    assert fingerprint(pd.DataFrame(numbers, copy=False)) == fingerprint(pd.DataFrame(numbers.T.copy()).T)


@pytest.mark.parametrize("parallel", [0, 1 << 40])
def test_neither_do_threads_and_the_length_of_runs(parallel, monkeypatch):
    frame = wide(100)
    expected = fingerprint(frame)
    monkeypatch.setattr(frames, "PARALLEL", parallel)
    monkeypatch.setattr(frames, "ROWS", 7)
    monkeypatch.setattr(frames, "PIECE", 64)
    assert fingerprint(frame) == expected


def test_a_large_frame_is_hashed_by_threads():
    numbers = np.random.default_rng(1).random((30_000, 80))
    assert numbers.nbytes > arrays.PARALLEL
    found = fingerprint(pd.DataFrame(numbers))
    assert [column["hash"] for column in found["columns"]] == [fingerprint(row)["hash"] for row in numbers.T]


def test_order_names_dtypes_and_index_count():
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    others = [
        frame[["b", "a"]], frame.rename(columns={"a": "c"}), frame.astype({"a": "int32"}), frame.iloc[::-1],
        frame.set_axis([1, 2]), frame.iloc[:1],
    ]  # fmt: skip
    assert not any(same(fingerprint(frame), fingerprint(other)) for other in others)


def test_an_index_that_counts_is_the_same_whether_it_is_a_range_or_not():
    frame = pd.DataFrame({"a": [1, 2, 3]})
    assert same(fingerprint(frame), fingerprint(frame.set_axis(pd.Index([0, 1, 2], dtype="int64"))))


def test_an_index_of_several_levels_is_compared_by_level():
    index = pd.MultiIndex.from_product([["x", "y"], [1, 2]], names=["letter", None])
    found = fingerprint(pd.Series(range(4), index=index))
    assert [level["name"] for level in found["index"]] == ["letter", ""]
    assert [level["dtype"] for level in found["index"]][1] == "int64"


def test_columns_may_share_a_name_and_have_any_label():
    frame = pd.DataFrame(np.eye(3), columns=["a", "a", ("b", 1)])
    assert [column["name"] for column in fingerprint(frame)["columns"]] == ["a", "a", "('b', 1)"]


def test_of_a_very_wide_frame_the_columns_are_not_listed():
    found = fingerprint(pd.DataFrame(np.zeros((2, frames.LISTED + 1))))
    assert "columns" not in found
    assert found["shape"] == [2, frames.LISTED + 1]


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=30))
def test_equal_strings_are_equal_wherever_pandas_keeps_them(words):
    pytest.importorskip("pyarrow")
    python, arrow = (pd.array(words, dtype=pd.StringDtype(storage)) for storage in ("python", "pyarrow"))
    assert same(fingerprint(pd.Series(python)), fingerprint(pd.Series(arrow)))
    assert hashes(pd.Series(arrow)) == {"": fingerprint(np.array([*words, None], object)[:-1])["hash"]}


def test_a_missing_value_is_distinguished_from_any_value():
    for dtype in ("Int64", "boolean", "Float64"):
        assert not same(
            fingerprint(pd.Series([None, 1], dtype=dtype)), fingerprint(pd.Series([0, 1], dtype=dtype))
        )


def test_none_nan_and_not_a_time_are_three_values_of_an_object_column():
    found = [
        fingerprint(pd.Series(["a", gap], dtype=object))["hash"] for gap in (None, np.nan, pd.NaT, pd.NA)
    ]
    assert len(set(found)) == 4


def test_categories_count_with_their_order():
    one = pd.Series(pd.Categorical(["a", "b"], ["a", "b"]))
    others = [
        pd.Series(pd.Categorical(["a", "b"], ["b", "a"])),
        pd.Series(pd.Categorical(["a", "b"], ["a", "b", "c"])),
        pd.Series(pd.Categorical(["a", "b"], ["a", "b"], ordered=True)),
    ]
    assert not any(same(fingerprint(one), fingerprint(other)) for other in others)


def test_cells_may_hold_arrays_and_lists():
    cells = pd.Series([np.arange(3), [1, "a"], {"k": 1}], dtype=object)
    assert same(fingerprint(cells), fingerprint(cells.copy()))
    other = pd.Series([np.arange(3), [1, "b"], {"k": 1}], dtype=object)
    assert not same(fingerprint(cells), fingerprint(other))


def test_a_cell_without_a_value_is_refused_by_column():
    frame = pd.DataFrame({"good": [1], "bad": [object()]})
    with pytest.raises(CannotSaveError, match=r"^data.train\['bad'\]: it holds objects of the type builtins"):
        fingerprint(frame, "data.train")


@pytest.mark.parametrize(
    "make", [pd.Index, pd.array, pd.Categorical, pd.Series], ids=lambda make: make.__name__
)
def test_an_index_and_an_array_are_a_column(make):
    found = fingerprint(make([3, 1, 2]))
    assert (found["kind"], found["shape"], len(found["columns"])) == ("column", [3], 1)


class TestArrow:
    @pytest.fixture
    def pa(self) -> Any:
        return pytest.importorskip("pyarrow")

    @pytest.fixture
    def table(self, pa) -> Any:
        return pa.table(
            {
                "n": [1, None, 3], "x": [0.5, None, float("nan")], "b": [True, None, False],
                "s": ["a", None, "c"], "l": [[1], None, [2, 3]], "d": [datetime.date(2026, 1, 1)] * 3,
                "t": [datetime.datetime(2026, 1, 1), None, datetime.datetime(2026, 1, 2)],
                "k": pa.array(["u", "v", "u"]).dictionary_encode(),
                "h": pa.array(np.array([1, 2, 3], np.float16)),
            }
        )  # fmt: skip

    def test_a_table_tells_its_columns(self, table):
        found = fingerprint(table)
        assert (found["kind"], found["shape"]) == ("frame", [3, 9])
        assert {each["name"]: each["dtype"] for each in found["columns"]}["n"] == "int64"

    def test_chunks_and_slices_make_no_difference(self, pa, table, monkeypatch):
        cut = pa.concat_tables([table.slice(0, 1), table.slice(1, 2)])
        padded = pa.concat_tables([table, table]).slice(3, 3)
        assert fingerprint(table) == fingerprint(cut) == fingerprint(padded)
        monkeypatch.setattr(frames, "ROWS", 1)
        monkeypatch.setattr(frames, "PIECE", 1)
        assert fingerprint(table) == fingerprint(cut)
        batch = table.combine_chunks().to_batches()[0]
        assert same(fingerprint(batch), fingerprint(table))

    @pytest.mark.parametrize("name", ["n", "x", "b", "s", "l", "t", "h"])
    def test_a_changed_value_changes_its_column_alone(self, table, name):
        at = table.column_names.index(name)
        other = table.set_column(at, table.field(at), table.column(at).take([2, 1, 0]))
        assert {key for key in hashes(table) if hashes(table)[key] != hashes(other)[key]} == {name}

    def test_zero_is_distinguished_from_missing(self, pa):
        with_zero, missing = pa.array([0, 1]), pa.array([None, 1])
        assert not same(fingerprint(with_zero), fingerprint(missing))

    def test_pandas_columns_of_arrow_are_hashed(self, pa):
        series = pd.Series([1, None, 3], dtype="int64[pyarrow]")
        assert hashes(series)[""] == hashes(pa.array([1, None, 3]))[""]
