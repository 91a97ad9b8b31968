"""Inputs are held against the schema before a model sees them, and what is wrong is named by its place."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.errors import BadInputError, IncompatibleError
from saver.schema import Field, Schema, Seen, checking, schema_of, to_rows

MISSED = Seen(count=9, missing=1)

FIELDS = {
    "age": Field(name="age", dtype="int8"),
    "weight": Field(name="weight", dtype="float32"),
    "city": Field(name="city", dtype="str", categories=("Rome", "Oslo")),
    "name": Field(name="name", dtype="str", seen=MISSED),
    "ok": Field(name="ok", dtype="bool"),
    "when": Field(name="when", dtype="datetime64[ns]", seen=MISSED),
    "count": Field(name="count", dtype="uint64", native="UInt64", seen=MISSED),
}
FRAME = Schema(inputs=tuple(FIELDS.values()), container="frame", library="pandas")
GOOD = {
    "age": 41, "weight": 70.5, "city": "Rome", "name": "A", "ok": True, "when": "2026-11-20T12:00",
    "count": 3,
}  # fmt: skip
MATRIX = Schema(inputs=(Field(name="input", dtype="float64", shape=(None, 3)),))

BAD: dict[str, list[tuple[Any, str]]] = {
    "age": [(128, "128"), (-129, "-129"), (1.5, "1.5"), ("7", "text"), (True, "true"), (None, "missing"),
            ([1], "list"), ({}, "object"), (10**400, "bits"), (math.inf, "inf")],
    "weight": [("x", "text"), (False, "false"), (None, "missing"), (1e39, "inf"), (math.inf, "inf"),
               (math.nan, "missing"), (10**400, "bits")],
    "city": [("Pisa", "Pisa"), (1, "1"), (None, "missing"), ("", "''")],
    "name": [(5, "5"), (["a"], "list")],
    "ok": [(1, "1"), ("true", "text"), (None, "missing")],
    "when": [("yesterday", "yesterday"), (5, "5"), ("2026-13-01", "2026-13"), ("now", "now")],
    "count": [(-1, "-1"), (1 << 64, str(1 << 64)), (0.5, "0.5")],
}  # fmt: skip
"""For each column, values that do not fit, and what the message says of them."""


@pytest.mark.parametrize("column", FIELDS)
@pytest.mark.parametrize("row", [0, 2])
def test_every_value_that_does_not_fit_is_named_by_its_row_and_column(column: str, row: int) -> None:
    for value, came in BAD[column]:
        rows = [dict(GOOD) for _ in range(3)]
        rows[row][column] = value
        with pytest.raises(BadInputError) as caught:
            FRAME.from_rows(rows)
        (problem,) = caught.value.problems
        assert (problem.row, problem.column) == (row, column)
        assert came in problem.came, value
        assert f"row {row}" in str(caught.value)
        assert column in str(caught.value)


def test_what_fits_becomes_arrays_of_the_dtypes_of_the_schema() -> None:
    found = FRAME.from_rows([GOOD, {**GOOD, "name": None, "when": None, "count": None, "age": 5.0}])
    assert list(found) == list(FIELDS)
    assert found["age"].dtype == np.int8
    assert found["age"].tolist() == [41, 5]
    assert found["weight"].dtype == np.float32
    assert found["name"].tolist() == ["A", None]
    assert found["count"].tolist() == [3, None]
    assert found["when"][0] == np.datetime64("2026-11-20T12:00")
    assert np.isnat(found["when"][1])


@pytest.mark.parametrize("name", FIELDS)
def test_a_column_that_is_missing_unknown_or_shorter_is_named(name: str) -> None:
    row = {key: value for key, value in GOOD.items() if key != name}
    for bad in (
        lambda: FRAME.from_rows([row]),
        lambda: FRAME.check({key: [value] for key, value in row.items()}),
    ):
        with pytest.raises(BadInputError, match=name):
            bad()
    with pytest.raises(BadInputError, match="other"):
        FRAME.from_rows([{**GOOD, "other": 1}])
    columns = {key: [value, value] for key, value in GOOD.items()}
    if name != "age":
        with pytest.raises(BadInputError, match=f"{name}.*2 rows"):
            FRAME.check({**columns, name: [GOOD[name]]})


def test_no_rows_and_no_list_are_refused() -> None:
    for rows in ([], {}, None, 5, "x", [5], [[1, 2]], [None]):
        with pytest.raises(BadInputError):
            FRAME.from_rows(rows)


MATRICES: dict[str, tuple[Any, int | None, str]] = {
    "too short": ([[1, 2, 3], [1, 2]], 1, "input"),
    "too long": ([[1, 2, 3, 4]], 0, "input"),
    "no list": ([[1, 2, 3], 5], 1, "input"),
    "deeper": ([[1, [2], 3]], 0, "input[1]"),
    "a text": ([[1, 2, 3], [4, 5, "6"]], 1, "input[2]"),
    "missing": ([[1, None, 3]], 0, "input[1]"),
    "too large": ([[1, 10**400, 3]], 0, "input[1]"),
    "infinite": ([[1, 2, math.inf]], 0, "input[2]"),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_matrix_that_does_not_fit_is_named_down_to_the_value(name: str) -> None:
    rows, row, column = MATRICES[name]
    with pytest.raises(BadInputError) as caught:
        MATRIX.from_rows(rows)
    assert (caught.value.problems[0].row, caught.value.problems[0].column) == (row, column)


@pytest.mark.parametrize("shape", [(2,), (2, 4), (2, 3, 1), ()])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInputError, match=r"shape|list"):
        MATRIX.check({"input": np.zeros(shape)})


def test_missing_values_are_accepted_where_the_example_had_some_or_as_the_caller_says() -> None:
    schema = Schema(inputs=(Field(name="x", dtype="float64", shape=(None, 2), each=(MISSED, Seen(count=9))),))
    rows = [[None, 1], [math.nan, 2]]
    assert np.isnan(schema.from_rows(rows)["x"][:, 0]).all()
    with pytest.raises(BadInputError, match=r"x\[1\]"):
        schema.from_rows([[1, None]])
    assert np.isnan(schema.from_rows([[1, None]], missing="accept")["x"]).any()
    with pytest.raises(BadInputError, match=r"x\[0\]"):
        schema.from_rows(rows, missing="refuse")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "float32", "float64"])
@given(st.data())
def test_arrays_and_lists_of_numbers_mean_the_same(dtype: str, data: st.DataObject) -> None:
    """A whole number is one whether it came as a float, and none is wrapped around or cut off."""
    schema = Schema(inputs=(Field(name="x", dtype=dtype),))
    values = data.draw(st.lists(st.integers(-(2**65), 2**65) | st.floats(-1e4, 1e4), min_size=1, max_size=4))
    is_whole = all(float(value).is_integer() for value in values)
    if "int" in dtype:
        limits = np.iinfo(dtype)
        fits = is_whole and all(limits.min <= value <= limits.max for value in values)
    else:  # whole numbers are exact, too; fractions are rounded to the nearest
        fits = all(int(np.dtype(dtype).type(each)) == each for each in values if isinstance(each, int))
    try:
        found = schema.check({"x": values})["x"]
    except BadInputError:
        assert not fits
        return
    assert fits
    assert found.dtype == dtype
    if "int" in dtype:
        assert found.tolist() == [int(value) for value in values]
    for array in (np.array(values, np.float64), np.array(values, object)):
        exact = array.dtype == object or all(
            int(each) == value and abs(value) < 2**53 for each, value in zip(array, values, strict=True)
        )
        if is_whole and exact:
            assert np.array_equal(schema.check({"x": array})["x"], found)


def test_many_problems_are_counted_and_few_of_them_named() -> None:
    with pytest.raises(BadInputError) as caught:
        MATRIX.from_rows([["x", "y", "z"]] * 1000)
    assert len(caught.value.problems) == 20
    assert len(str(caught.value)) < 2000


HOSTILE = "\x1b[2J\u202e" + "x" * 10_000


def test_hostile_texts_cannot_fill_or_control_a_message() -> None:
    for rows in ([{**GOOD, "age": HOSTILE}], [{**GOOD, HOSTILE: 1}], [{**GOOD, "city": HOSTILE}]):
        with pytest.raises(BadInputError) as caught:
            FRAME.from_rows(rows)
        assert len(str(caught.value)) < 2000
        assert str(caught.value).isprintable()


def test_a_schema_is_the_same_again_after_json() -> None:
    document = json.loads(msgspec.json.encode(FRAME))
    assert schema_of(document, "x") == FRAME


@pytest.mark.parametrize(
    "change",
    [{"inputs": []}, {"container": "array"}, {"container": "other"},
     {"inputs": [{"name": "x", "dtype": "object"}]},
     {"inputs": [{"name": "x", "dtype": "int8", "shape": []}]}, {"inputs": 5},
     {"inputs": [{"name": "x", "dtype": "int8", "shape": [None, -1]}]},
     {"inputs": [{"name": "x", "dtype": "int8"}, {"name": "x", "dtype": "int8"}]},
     {"inputs": [{"name": "x", "dtype": "V8"}]}],
)  # fmt: skip
def test_a_schema_that_no_saver_writes_is_refused(change: dict[str, Any]) -> None:
    document = json.loads(msgspec.json.encode(FRAME)) | change
    with pytest.raises(IncompatibleError):
        schema_of(document, "a.saver")


CSV = "age,weight,city,name,ok,when,count\n41,70.5,Rome,A,true,2026-11-20T12:00,3\n5,1e2,Oslo,,False,,\n"


def test_csv_says_the_same_as_json() -> None:
    rows = [
        GOOD,
        {"age": 5, "weight": 100, "city": "Oslo", "name": None, "ok": False, "when": None, "count": None},
    ]
    one, other = FRAME.from_csv(CSV), FRAME.from_rows(rows)
    assert all(
        np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind in "fM") for name in FIELDS
    )
    assert FRAME.from_csv("\n".join(reversed_columns(CSV)))["age"].tolist() == [41, 5]


def reversed_columns(text: str) -> list[str]:
    return [",".join(reversed(line.split(","))) for line in text.splitlines()]


@pytest.mark.parametrize("text", ["1,2,3\n4,5,6\n", "a,b,c\n1,2,3\n4,5,6\n", "1,2,3\r\n\r\n4,5,6"])
def test_csv_of_a_matrix_needs_no_header(text: str) -> None:
    assert MATRIX.from_csv(text)["input"].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "text", ["", "\n", "1,2\n3", '"1,2,3', "age,age\n1,2\n", "1,2,x\n4,5,6\n1,x,1\n", "1,2,3,4\n"]
)
def test_csv_that_does_not_fit_is_refused(text: str) -> None:
    for schema in (MATRIX, FRAME):
        with pytest.raises(BadInputError):
            schema.from_csv(text)


def test_outputs_become_rows_of_json_without_what_json_lacks() -> None:
    outputs = {
        "score": np.array([1.5, math.nan, math.inf]), "label": np.array(["a", "b", None], object),
        "when": np.array(["2026-01-01", "NaT", "2026-01-02"], "datetime64[D]"),
        "p": np.array([[0.5, math.nan]] * 3, np.float32), "wave": np.array([1 + 2j, math.inf, 0]),
    }  # fmt: skip
    rows = to_rows(outputs)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0] == {"score": 1.5, "label": "a", "when": "2026-01-01", "p": [0.5, None], "wave": "(1+2j)"}
    assert rows[1]["score"] is rows[2]["score"] is rows[1]["when"] is rows[1]["wave"] is None


def test_rows_of_different_lengths_are_named_where_the_axis_is_free() -> None:
    free = Schema(inputs=(Field(name="x", dtype="float64", shape=(None, None)),))
    for values, row in (([[], [0.5]], 1), ([[0.5], [0.5], [0.5, 1]], 2), ([[0.5], 1], 1), ([1, [0.5]], 0)):
        with pytest.raises(BadInputError) as raised:
            free.check({"x": values})
        assert raised.value.problems[0].row == row
        assert raised.value.problems[0].wanted == "lists of the same length"


AXES = ((None,), (None, 3), (None, None), (None, 2, 2))
FLOATS = tuple(
    Field(name="x", dtype=dtype, shape=shape, seen=seen, categories=categories)
    for dtype in ("float64", "float32", "float16", "bfloat16", "int64", "str")
    for shape in AXES
    for seen in (Seen(), Seen(missing=1), Seen(infinite=1))
    for categories in ((), (0.5, 1.0))
    if not categories or dtype == "float64"
)
CELLS = st.sampled_from([0.5, 1.0, -2.25, 1e300, 3, True, None, "a", float("nan"), float("inf"), 70000.0])


@given(
    field=st.sampled_from(FLOATS),
    values=st.one_of(
        st.lists(CELLS, max_size=4), st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=3),
        st.lists(st.lists(st.just(0.5) | CELLS, max_size=3), max_size=3),
        st.lists(st.lists(st.floats(width=64), min_size=3, max_size=3), min_size=1, max_size=3),
    ),
)  # fmt: skip
def test_lists_of_floats_are_checked_in_one_pass_as_they_are_one_by_one(field: Field, values: Any) -> None:
    def said() -> Any:
        try:
            found = Schema(inputs=(field,)).check({"x": values})["x"]
        except BadInputError as error:
            return error.problems
        return found.dtype, found.shape, found.tolist() if found.dtype == object else found.tobytes()

    quick = said()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checking, "_finite", lambda field, values: None)
        assert said() == quick
