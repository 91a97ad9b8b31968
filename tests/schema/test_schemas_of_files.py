"""A schema that comes from a file is data from a stranger: what a library would make of it is on a list."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.errors import IncompatibleError
from saver.schema import Field, Schema, schema_of
from saver.schema.natives import dtype_of


def read(library: str = "pandas", **field: Any) -> Schema:
    document = {
        "inputs": [{"name": "x", "dtype": "float64"} | field],
        "container": "frame",
        "library": library,
    }
    return schema_of(json.loads(json.dumps(document)), "a.saver")


KNOWN = {
    "Int64": "int64", "UInt8": "uint8", "Float32": "float32", "boolean": "bool", "object": "str",
    "str": "str", "string": "str", "string[pyarrow]": "str", "double[pyarrow]": "float64",
    "int8[pyarrow]": "int8",
    "Sparse[float64, nan]": "float64", "Sparse[int64, 0]": "int64", "category[object]": "str",
    "category[str]": "str", "category[int64]": "int64", "category[Int64]": "int64", "category[bool]": "bool",
    "datetime64[ns, UTC]": "datetime64[ns]", "datetime64[us, Europe/Oslo]": "datetime64[us]",
    "datetime64[us, UTC+01:00]": "datetime64[us]", "datetime64[s, Etc/GMT+5]": "datetime64[s]",
    "datetime64[ns, America/Argentina/Buenos_Aires]": "datetime64[ns]",
    "category[datetime64[ns, UTC]]": "datetime64[ns]",
}  # fmt: skip


@pytest.mark.parametrize("native", KNOWN)
def test_what_saver_writes_is_read_with_its_own_dtype_only(native: str) -> None:
    for dtype in {*KNOWN.values()}:
        if dtype == KNOWN[native]:
            assert read(native=native, dtype=dtype).inputs[0].native == native
        else:
            with pytest.raises(IncompatibleError, match="dtype"):
                read(native=native, dtype=dtype)


UNKNOWN = [
    "junk", "S1000000000", "U100000000", "V1000000000", "S1", "category[U100000000]", "period[D]",
    "f8," * 1000, "(100000000,)f8", "timestamp[ns][pyarrow]", "category[category[str]]",
    "category[csr_array]", "Int64 ",
    "datetime64[ns, dateutil//etc/passwd]", "datetime64[ns, dateutil/Europe/Oslo]",
    "datetime64[ns, ../../../etc/hosts]", "datetime64[ns, /etc/hosts]", "datetime64[ns, tzlocal()]",
    "datetime64[ns, Europe]", "datetime64[ns, Nowhere/Town]", "datetime64[ns, UTC+99:00]",
    "datetime64[ns, UTC+1]", "datetime64[ns, pytz.FixedOffset(60)]", "datetime64[as, UTC]",
    "datetime64[ns, Europe/Oslo]\n", "interval[int64, right]", "category[", "Sparse[float64, 1e400]",
]  # fmt: skip


@pytest.mark.parametrize("native", UNKNOWN)
def test_other_dtypes_are_refused_and_no_file_is_opened_for_them(native: str) -> None:
    opened: list[str] = []
    watched = [True]
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" and watched else None)
    for dtype in ("float64", "str", "datetime64[ns]"):
        with pytest.raises(IncompatibleError, match="dtype"):
            read(native=native, dtype=dtype)
    watched.clear()
    assert not [name for name in opened if "etc" in name or "dateutil" in name]


@given(st.text(max_size=30) | st.from_regex(r"(category|datetime64|Sparse|string)\[[\w/., +-]{0,20}\]"))
def test_no_text_is_anything_but_a_known_dtype_or_refused(native: str) -> None:
    found = dtype_of(native)
    assert found is None or (native.isascii() and native.isprintable() and len(native) < 200)


@pytest.mark.parametrize(
    "field",
    [{"shape": [None, 10**15]}, {"shape": [None] * 5000}, {"shape": [None, 1 << 20, 1 << 20]},
     {"name": "\x1b[31mred"}, {"name": "\u202eevil"}, {"name": "a\x9b31m"}, {"categories": ["a"]},
     {"dtype": "int8", "categories": [True]}, {"dtype": "int8", "categories": [1.5]},
     {"dtype": "str", "categories": [1]}, {"dtype": "bool", "categories": [1]}],
)  # fmt: skip
def test_sizes_names_and_categories_are_sound(field: dict[str, Any]) -> None:
    with pytest.raises(IncompatibleError) as caught:
        read(**field)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("library", ["", "../../x", "\x1b[31m", "x" * 41, "Os", "a.b"])
def test_the_name_of_a_library_is_a_name(library: str) -> None:
    with pytest.raises(IncompatibleError, match="library"):
        read(library)


def test_an_example_with_such_a_column_is_refused_when_it_is_saved() -> None:
    pd = pytest.importorskip("pandas")
    from saver.errors import CannotSaveError
    from saver.predicting.deriving import schema_from
    from saver.predicting.libraries import taken

    zones = ["UTC", "Europe/Oslo", None]
    good = pd.DataFrame({f"c{at}": pd.to_datetime(["2026-01-01"]).tz_localize(zone)
                         for at, zone in enumerate(zones)})  # fmt: skip
    for frame, fits in (
        (good, True),
        (pd.DataFrame({"x": pd.to_datetime(["2026-01-01"]).tz_localize("dateutil/Europe/Oslo")}), False),
        (pd.DataFrame({"\x1b[31m": [1]}), False),
        (pd.DataFrame({"x": pd.Series([None], dtype="period[D]")}), False),
        (pd.DataFrame({"a\nb": ["x"], "s": pd.Series(["x"], dtype="string"), "b": [True]}), True),
    ):
        library, example = taken(frame)
        if not fits:
            with pytest.raises(CannotSaveError):
                schema_from(library, example, {}, {})
        else:
            found = schema_from(library, example, {}, {})
            assert schema_of(json.loads(msgspec.json.encode(found)), "x") == found


def test_every_plain_field_is_sound() -> None:
    from saver.schema.fields import DTYPES

    for dtype in DTYPES:
        found = schema_of({"inputs": [{"name": "x", "dtype": dtype}]}, "x")
        assert found == Schema(inputs=(Field(name="x", dtype=dtype),))
