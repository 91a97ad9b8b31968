"""Canonical JSON: RFC 8785, to the byte."""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.canonical import canonical, number


def double(bits: str) -> float:
    found: float = struct.unpack(">d", bytes.fromhex(bits))[0]
    return found


RFC_8785_NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]
"""The samples of RFC 8785, appendix B."""


@pytest.mark.parametrize(("bits", "text"), RFC_8785_NUMBERS)
def test_numbers_are_written_as_the_rfc_says(bits: str, text: str) -> None:
    assert number(double(bits)) == text
    assert canonical(double(bits)) == text.encode()
    assert canonical({"a": [double(bits), 1]}) == f'{{"a":[{text},1]}}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_has_no_text(value: float) -> None:
    with pytest.raises(ValueError, match="JSON has no"):
        number(value)


def test_the_example_of_the_rfc() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_stand_in_the_order_of_their_utf_16() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    expected = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(keys, 0)))) == expected


def test_the_fields_of_structs_are_sorted_as_keys_are() -> None:
    class Some(msgspec.Struct):
        b: float = 1.0
        a: int = 2
        last: int = msgspec.field(name="$", default=3)

    assert canonical([Some()]) == b'[{"$":3,"a":2,"b":1}]'


def reference(value: Any) -> str:
    """Canonical JSON once more, slowly: by code units, and by the digits of decimal arithmetic."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: list(memoryview(key.encode("utf-16-le")).cast("H")))
        return "{" + ",".join(f"{reference(key)}:{reference(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(reference, value)) + "]"
    if isinstance(value, float):
        return reference_number(value)
    return json.dumps(value, ensure_ascii=False)


def reference_number(value: float) -> str:
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if value == 0:
        return "0"
    assert isinstance(exponent, int)
    text, n = "".join(map(str, digits)), len(digits) + exponent
    if -6 < n <= 21:
        plain = f"{Decimal(repr(abs(value))):f}"
        plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    else:
        plain = text[0] + "." * (len(text) > 1) + text[1:] + "e" + ("+" if n > 0 else "-") + str(abs(n - 1))
    return "-" * sign + plain


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


@given(values)
def test_any_value_has_the_text_that_slow_code_gives_it(value: Any) -> None:
    assert canonical(value).decode() == reference(value)


@given(finite | st.integers(-400, 400).map(lambda power: float(f"1e{power}")).filter(math.isfinite))
def test_any_number_comes_back_from_its_text(value: float) -> None:
    assert float(number(value)) == value
    assert number(value) == reference_number(value)
    assert canonical([value]).decode() == f"[{number(value)}]"


@given(st.dictionaries(texts, texts | st.integers(-(2**53), 2**53)))
def test_documents_without_floats_need_no_search_for_them(value: Any) -> None:
    assert canonical(value, floats=False) == canonical(value)


def test_lone_surrogates_have_no_text() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        canonical({"\ud800": 1})
