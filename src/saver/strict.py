"""JSON read strictly, and structs that are safe to decode in several threads.

What readers of JSON disagree about is refused, so that every reader sees the same document.
"""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import Any, TypeVar

import msgspec

from saver.canonical import canonical
from saver.errors import IncompatibleError
from saver.rules import Broken, rule_of
from saver.stack import anywhere

T = TypeVar("T")


def decodable(kind: type[T]) -> type[T]:
    """Decorates a struct that is decoded: msgspec inspects it now.

    Otherwise msgspec would do so when it first decodes one, and crash if two threads do that at once
    (msgspec 0.22).
    """
    msgspec.json.Decoder(kind)
    return kind


def strict_json(data: bytes, where: str, own: bool = False, tree: bool = False) -> Any:
    """Decode JSON, refusing what readers disagree about: duplicate keys, NaN, bad UTF-8; in Saver's `own`
    documents, also numbers that readers in other languages take for others; in a
    `tree`, also integers that are not exact there.

    Saver writes canonical JSON, for which one round trip proves that no key is duplicated; any other JSON
    takes a slower path.
    """
    try:
        return anywhere(_strict_json, data, where, own, tree)
    except RecursionError:
        raise IncompatibleError(f"{where}: JSON nested too deep", rule="2.16") from None


def _strict_json(data: bytes, where: str, own: bool, tree: bool) -> Any:
    try:
        value = msgspec.json.decode(data)
        if _is_canonical(value, data) and not (own and _may_be_wrong(data)):
            return value
        if not own:
            return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        whole = partial(_integer, largest=EXACT if tree else BEYOND)
        return json.loads(
            data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=whole,
            parse_float=_float,
        )  # fmt: skip
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        rule = "1.08" if str(error).startswith("Number out of range") else rule_of(error, "1.06")
        raise IncompatibleError(
            f"{where}: not valid JSON ({error}); restore the file from a copy", rule=rule
        ) from None


_MAY_BE_WRONG = re.compile(rb"[:,\[]-?(?:[0-9]{16}|[0-9]+(?:\.0[,\]}]|(?:\.[0-9]+)?e[0-9+]))")
"""Numbers that encode again to the same text, and may yet not be written as they must: large integers, and
floats that are whole. They may be found within a string, too, which costs time and nothing else."""


_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_MANY = b"0" * 16


def _may_be_wrong(data: bytes) -> bool:
    """Whether `_MAY_BE_WRONG` finds something. Most texts have no trace of it, which is seen in a tenth of
    the time: whole floats, and what is left of the others once all digits are zeros."""
    if b".0," not in data and b".0]" not in data and b".0}" not in data:
        zeros = data.translate(_DIGITS)
        if _MANY not in zeros and b"0e0" not in zeros and b"0e+" not in zeros:
            return False
    return _MAY_BE_WRONG.search(data) is not None


def _is_canonical(value: Any, data: bytes) -> bool:
    try:
        return msgspec.json.encode(value) == data or canonical(value) == data
    except (ValueError, OverflowError):  # integers that are not exact in a double, or beyond it
        return False


def restated(document: Any, decoder: msgspec.json.Decoder[T]) -> T:
    """Decoded JSON, decoded again as what the decoder knows: `msgspec.convert` for structs with raw JSON in
    them. Raises msgspec.ValidationError, or UnicodeError for lone surrogates."""
    return anywhere(lambda: decoder.decode(msgspec.json.encode(document)))  # type: ignore[no-any-return]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Broken("1.07", f"the key {key[:80]!r} stands there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise Broken("1.06", f"{name} is not JSON")


EXACT = 2**53
"""Integers up to this are exact in a double, and so in every reader of JSON."""


BEYOND = 10**21 - 1
"""The largest number that canonical JSON writes as an integer; a metric may be one."""


def _integer(text: str, largest: int) -> int:
    if text == "-0" or len(text) > 22 or abs(int(text)) > largest:
        raise Broken("1.08", f"the number {text[:40]} must not be written as an integer")
    return int(text)


def _float(text: str) -> float:
    found = float(text)
    if abs(found) == math.inf or (found == int(found) and abs(found) < 1e21):
        raise Broken("1.08", f"the number {text[:40]} must not be written with a fraction or an exponent")
    return found
