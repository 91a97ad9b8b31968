"""Whole numbers are taken exactly or refused, from JSON, CSV and arrays; digits are those of ASCII."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.errors import BadInputError
from saver.schema import Field, Schema, Seen

INTEGERS = ["int8", "uint8", "int16", "int32", "int64", "uint64"]
FLOATS = ["float16", "float32", "float64"]
MISSED = Seen(count=3, missing=1)


def schema_of(dtype: str, **more: Any) -> Schema:
    return Schema(inputs=(Field(name="x", dtype=dtype, **more),), container="frame")


def taken(call: Any, *args: Any) -> Any:
    try:
        return call(*args)["x"].tolist()
    except BadInputError:
        return None


@pytest.mark.parametrize("dtype", INTEGERS)
@given(
    st.integers(-(2**65), 2**65) | st.integers(-300, 300),
    st.sampled_from(["{}", "{}.0", "{}.", "{}00e-2", " {}\t"]),
)
def test_whole_numbers_in_csv_are_exact_in_every_spelling(dtype: str, value: int, spelling: str) -> None:
    limits = np.iinfo(dtype)
    wanted = [value] if limits.min <= value <= limits.max else None
    assert taken(schema_of(dtype).from_csv, f"x\n{spelling.format(value)}\n") == wanted


@given(st.decimals(-(10**25), 10**25, allow_nan=False, places=20))
def test_fractions_are_never_whole_numbers(value: Decimal) -> None:
    limits = np.iinfo("int64")
    wanted = [int(value)] if value == int(value) and limits.min <= value <= limits.max else None
    assert taken(schema_of("int64").from_csv, f"x\n{value:f}\n") == wanted


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize(
    "cell", ["1_000", "1_0.5", "\u0661\u0662", "\uff11", "0x10", "1,5", "1e", "--1", "1 2",
             "1e9999999", "1\n",
             "\u22121", "1j", "9" * 5000, "1e400", "1.5.2", "\xa01", "NA", "one"],
)  # fmt: skip
def test_other_spellings_are_not_numbers(dtype: str, cell: str) -> None:
    assert taken(schema_of(dtype).from_csv, f'x\n"{cell}"\n') is None


def test_words_of_floats_in_csv() -> None:
    schema = schema_of("float64", seen=Seen(count=3, missing=1, infinite=1))
    found = schema.from_csv("x\nnan\n-Infinity\n+inf\n.5\n1E3\n")["x"]
    assert np.array_equal(found, [np.nan, -np.inf, np.inf, 0.5, 1000], equal_nan=True)


@pytest.mark.parametrize("dtype", FLOATS)
@given(st.integers(-(2**70), 2**70) | st.integers(-5000, 5000))
def test_whole_numbers_for_floats_are_exact_or_refused(dtype: str, value: int) -> None:
    kind = np.dtype(dtype).type
    with np.errstate(over="ignore"):
        found = kind(value)
    wanted = [float(value)] if np.isfinite(found) and int(found) == value else None
    for seen in (Seen(), Seen(count=2, infinite=1)):
        schema = schema_of(dtype, seen=seen)
        assert taken(schema.from_csv, f"x\n{value}\n") == wanted
        for values in ([value], np.array([value], object)):
            assert taken(schema.check, {"x": values}) == wanted
        mixed = taken(schema.check, {"x": [0.5, value]})
        assert mixed == (wanted and [0.5, *wanted])
        if abs(value) < 2**63:
            assert taken(schema.check, {"x": np.array([value])}) == wanted


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
@given(st.integers(2**53, 2**64) | st.integers(0, 2**53 - 1))
def test_a_float_is_a_whole_number_only_where_it_can_be_no_other(dtype: str, value: int) -> None:
    schema = schema_of(dtype, seen=MISSED)
    wanted = value if value < 2**53 else None
    for values in (
        json.loads(f"[{value}.0]"),
        np.array([value], np.float64),
        np.array([float(value)], object),
    ):
        assert taken(schema.check, {"x": values}) == (None if wanted is None else [wanted])
    holes = np.array([value, np.nan])
    assert taken(schema.check, {"x": holes}) == (None if wanted is None else [wanted, None])


@pytest.mark.parametrize("source", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_floats_of_every_size_become_whole_numbers(source: Any, dtype: str) -> None:
    assert taken(schema_of(dtype).check, {"x": np.array([7, 100], source)}) == [7, 100]
    for bad in (0.5, np.inf, -np.inf):
        assert taken(schema_of(dtype, seen=MISSED).check, {"x": np.array([bad], source)}) is None


def test_what_is_too_large_does_not_become_infinite_even_where_infinity_is_allowed() -> None:
    schema = schema_of("float32", seen=Seen(count=2, infinite=1))
    assert taken(schema.check, {"x": [np.inf, 1.0]}) == [np.inf, 1.0]
    for values in ([1e39], [np.inf, -1e39], np.array([1e39]), np.array([1e39], object)):
        assert taken(schema.check, {"x": values}) is None


def test_complex_numbers_do_not_become_infinite() -> None:
    assert taken(schema_of("complex64").check, {"x": np.array([1 + 1e300j])}) is None
    assert taken(schema_of("complex64").check, {"x": np.array([1 + 2j, complex(np.inf)])}) is not None


def test_bfloat16_has_eight_digits() -> None:
    assert taken(schema_of("bfloat16").check, {"x": [256, 258, 0.1]})[:2] == [256, 258]
    assert taken(schema_of("bfloat16").check, {"x": [257]}) is None


@pytest.mark.parametrize("dtype", ["int64", "float64", "bool", "str", "datetime64[s]"])
def test_masked_arrays_are_refused(dtype: str) -> None:
    plain = np.zeros(2, dtype if dtype != "str" else "U1")
    assert taken(schema_of(dtype).check, {"x": plain}) is not None
    for mask in ([0, 1], [0, 0]):
        with pytest.raises(BadInputError, match="masked"):
            schema_of(dtype).check({"x": np.ma.array(plain, mask=mask)})


def test_missing_is_one_of_three_words() -> None:
    schema: Any = schema_of("float64")
    for call in (lambda: schema.check({"x": [1.0]}, missing="bogus"),
                 lambda: schema.from_csv("x\n1\n", missing=None),
                 lambda: schema.from_rows([1.0], missing="Seen")):  # fmt: skip
        with pytest.raises(ValueError, match="'seen', 'accept', 'refuse'"):
            call()


def test_spans_in_csv_are_whole_numbers_or_texts() -> None:
    assert schema_of("timedelta64[s]").from_csv("x\n90\n90 seconds\n")["x"].astype(int).tolist() == [90, 90]


@pytest.mark.parametrize("width", [1, 2, 12])
def test_a_header_of_an_array_counts_its_columns_or_names_them(width: int) -> None:
    shape = (None, width)
    schema = Schema(inputs=(Field(name="input", dtype="float64", shape=shape, seen=MISSED),))
    row = ",".join(["5"] * width)
    counted = ",".join(map(str, range(width)))
    named = ",".join(f"c{at}" for at in range(width))
    for header in (counted, named, "\ufeff" + counted, "\ufeff" + named):
        assert schema.from_csv(f"{header}\n{row}\n")["input"].tolist() == [[5.0] * width]
    for first in (row, counted.replace("0", "0.0", 1), "\ufeff" + row):
        assert len(schema.from_csv(f"{first}\n{row}\n")["input"]) == 2


def test_headers_of_one_axis_of_names_that_are_numbers_and_of_times() -> None:
    def rows(field: Field, text: str) -> int:
        return len(Schema(inputs=(field,)).from_csv(text)["x" if field.name == "x" else field.name])

    assert rows(Field(name="7", dtype="int64"), "7\n1\n") == 1
    assert rows(Field(name="x", dtype="int64"), "7\n1\n") == 2
    assert rows(Field(name="x", dtype="datetime64[s]"), "2026-01-01\n2026-01-02\n") == 2
    assert rows(Field(name="x", dtype="datetime64[s]"), "when\n2026-01-02\n") == 1


def test_a_frame_begins_with_the_mark_of_spreadsheets_or_not() -> None:
    assert schema_of("int64").from_csv("\ufeffx\n1\n")["x"].tolist() == [1]


def test_names_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown columns take time in proportion to their number."""
    asked = [0]
    names = Schema.names.fget  # type: ignore[attr-defined]

    def counted(schema: Schema) -> tuple[str, ...]:
        asked[0] += 1
        return names(schema)  # type: ignore[no-any-return]

    monkeypatch.setattr(Schema, "names", property(counted))
    schema = Schema(inputs=tuple(Field(name=f"c{at}", dtype="int8") for at in range(50)), container="frame")
    with pytest.raises(BadInputError) as caught:
        schema.check({f"d{at}": [1] for at in range(500)})
    assert asked[0] <= 2
    assert len(caught.value.problems) == 20
