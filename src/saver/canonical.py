"""Canonical JSON, as RFC 8785 (JCS) has it: one value, one text, in every language.

Keys are in the order of their UTF-16 code units, numbers are as ECMAScript writes them, and strings have only
necessary escapes. msgspec writes the same except for some floats, and some keys beyond the Basic Multilingual
Plane; only if its output contains such, the text is made by the slower code here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")
_WHOLE_FLOAT = re.compile(rb"\.0(?:[,\]}]|\Z)")
_OTHER_EXPONENT = re.compile(rb"e(?:-6|[0-9]+)(?:[,\]}]|\Z)")
"""Floats that msgspec writes as ECMAScript does not: `1.0`, `1e-6`, `1e16`, `1e21`. They may be found within
a string, too, which costs time and nothing else."""

_OTHER_KEYS = (re.compile(rb"[\xf0-\xf4]"), re.compile(rb"[\xee\xef]"))
"""How characters beyond the Basic Multilingual Plane begin in UTF-8, and the last in it, from U+E000 on. Only
where both occur does UTF-16 order keys in another way than UTF-8."""


def canonical(value: Any, floats: bool = True) -> bytes:
    """The JSON of what msgspec can encode, by RFC 8785.

    `floats=False` promises that the value holds none, which spares large documents of hashes the search for
    them. ValueError for lone surrogates; in the values that need the slower way, also for integers that are
    not exact in a double. NaN is for the caller to keep out: msgspec takes it for null.
    """
    text = _encoder.encode(value)
    if (floats and (_WHOLE_FLOAT.search(text) or _OTHER_EXPONENT.search(text))) or (
        not text.isascii() and all(pattern.search(text) for pattern in _OTHER_KEYS)
    ):
        return _exact(msgspec.json.decode(text)).encode()
    return text


def in_order(keys: Iterable[str]) -> list[str]:
    """Keys in the order in which canonical JSON has them."""
    found = sorted(keys)
    return found if "".join(found).isascii() else sorted(found, key=_utf16)


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _exact(value: Any) -> str:
    """The canonical text of decoded JSON. Calls itself once a level."""
    kind, texts = type(value), list[str]()
    if kind is dict:
        for key in in_order(value):
            texts.append(f"{_string(key)}:{_exact(value[key])}")
        return "{" + ",".join(texts) + "}"
    if kind is list:
        for item in value:
            texts.append(_exact(item))
        return "[" + ",".join(texts) + "]"
    if kind is float:
        return number(value)
    if kind is int and str(value) != number(float(value)):
        raise ValueError(f"the integer {value} is not exact in JSON")
    return _string(value)


def _string(value: str | int | None) -> str:
    return _encoder.encode(value).decode()


def number(value: float) -> str:
    """A finite double as ECMAScript writes it: `1`, `0.000001`, `1e-7`, `1e+21`. ValueError for others."""
    if not math.isfinite(value):
        raise ValueError(f"JSON has no {value}")
    if value == 0:
        return "0"
    sign, shortest = ("-" if value < 0 else ""), repr(abs(value))
    mantissa, _, exponent = shortest.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = int(exponent or 0) + len(whole) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    """0.DIGITS times ten to the power of `point`, in the form of ECMA-262, Number::toString."""
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    first = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{first}e{point - 1:+d}"
