"""JSON and CSV of strangers, decoded strictly: bounded in depth, no duplicate key, no NaN."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import msgspec
import numpy as np

from saver.serve.refusals import Refusal, shown

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or all that follows a quote that nothing closes: as it matches at every quote, no byte is
looked at twice."""
_BRACKETS = re.compile(rb"[^\[\]{}]+")
DIGITS = 400
"""Of one number: more than any double or 64-bit integer needs."""
_DIGIT = b"0123456789"
_ZERO = re.compile(rb"(?<![eE])-0(?![.eE0-9])")
"""The whole number -0, as Go and .NET write the float."""
_ZEROS = re.compile(_STRINGS.pattern + b"|" + _ZERO.pattern, re.DOTALL)
_SPECIAL = re.compile(rb"NaN|Infinity")
"""What programs write that call it JSON."""


def depth_of(data: bytes) -> int:
    """How deep the brackets of a JSON text are nested; bytes in strings do not count."""
    brackets = np.frombuffer(_BRACKETS.sub(b"", _STRINGS.sub(b"", data)), np.uint8)
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    return int(np.cumsum(np.where(opening, 1, -1)).max(initial=0))


def has_long(data: bytes) -> bool:
    """Whether DIGITS digits stand in a row. One of their places is a multiple of DIGITS: only these places
    are looked at, and what is around those that are digits."""
    for at in range(0, len(data), DIGITS):
        if data[at : at + 1].isdigit():
            before, behind = data[max(0, at - DIGITS) : at], data[at : at + DIGITS]
            left = len(before) - len(before.rstrip(_DIGIT))
            if left + len(behind) - len(behind.lstrip(_DIGIT)) >= DIGITS:
                return True
    return False


def decode_json(data: bytes, depth: int) -> Any:
    """The value of a JSON text. Raises Refusal with what is wrong, and where."""
    if data.count(b"[") + data.count(b"{") > depth and depth_of(data) > depth:
        raise Refusal("bad-json", f"the JSON is nested deeper than {depth}")
    if has_long(data) and has_long(_STRINGS.sub(b"", data)):
        raise Refusal("bad-json", f"the JSON has {DIGITS} digits in a row; no number needs them")
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        special = _SPECIAL.search(_STRINGS.sub(b"", data))
        more = f"; {special[0].decode()} is not JSON: send null" if special else ""
        raise Refusal("bad-json", f"the body is not JSON: {error}{more}") from None
    if _may_repeat(data, value):
        _refuse_duplicates(data)
    return msgspec.json.decode(_with_zeros(data)) if _ZERO.search(data) else value


def _with_zeros(data: bytes) -> bytes:
    """A JSON text in which each -0 is a float, which keeps its sign."""
    return _ZEROS.sub(lambda found: b"-0.0" if found[0] == b"-0" else found[0], data)


def _may_repeat(data: bytes, value: Any) -> bool:
    """Whether a key stands twice in one object: not if the text has as many colons outside of strings as its
    value has keys. Colons in strings are counted first too, which is quick."""
    keys = _count(value)
    return data.count(b":") != keys and _STRINGS.sub(b"", data).count(b":") != keys


def _count(value: Any) -> int:
    """The keys of all objects in a value."""
    found, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            found += len(each)
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(item for item in each if isinstance(item, list | dict))
    return found


def _refuse_duplicates(data: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            often = Counter(name for name, _ in pairs)
            twice = next(name for name in often if often[name] > 1)
            raise Refusal("bad-json", f"the key {shown(twice)} stands in one object twice")
        return found

    try:
        json.loads(data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal("bad-json", f"the body is not JSON: {error}") from None


def decode_csv(data: bytes, rows: int) -> str:
    """CSV as text. Raises Refusal if it is not UTF-8, or has more lines than `rows` and a first one."""
    if data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n") > rows + 1:
        raise Refusal("too-many-rows", f"there are more than {rows} lines; send fewer at a time")
    if b"\0" in data:
        raise Refusal("bad-csv", "the body has a NUL character")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal("bad-csv", f"the body is not UTF-8, at byte {error.start}") from None
