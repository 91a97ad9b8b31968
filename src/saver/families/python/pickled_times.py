"""Dates, times and exact numbers as Python pickles them: the bytes or texts that their constructors take."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

from saver.codec import Encoder
from saver.pickled import NotReadError
from saver.tree import Value


def _octets(value: Any, size: int) -> bytes:
    """The packed form: bytes, or the text that Python 2 had for them."""
    found = value.encode("latin-1") if type(value) is str else value
    if type(found) is not bytes or len(found) != size:
        raise NotReadError(f"a time is not packed into {size} bytes")
    return found


def _date(encoder: Encoder, packed: Any) -> Value:
    made: Any = date
    return made(_octets(packed, 4)).isoformat()  # type: ignore[no-any-return]


def _datetime(encoder: Encoder, packed: Any, zone: Any = None) -> Value:
    made: Any = datetime
    found = made(_octets(packed, 10))
    return [found.replace(fold=0).isoformat(), encoder(zone, "tzinfo"), found.fold]


def _time(encoder: Encoder, packed: Any, zone: Any = None) -> Value:
    made: Any = time
    found = made(_octets(packed, 6))
    return [found.replace(fold=0).isoformat(), encoder(zone, "tzinfo"), found.fold]


def _timedelta(encoder: Encoder, *args: Any) -> Value:
    if len(args) != 3 or not all(type(arg) is int for arg in args):
        raise NotReadError("a duration does not consist of three numbers")
    return [*args]


def _timezone(encoder: Encoder, *args: Any) -> Value:
    return [encoder(arg) for arg in args]


def _zoneinfo(encoder: Encoder, key: Any, cached: Any = True) -> Value:
    if type(key) is not str:
        raise NotReadError("a time zone has no name")
    return key


def _decimal(encoder: Encoder, text: Any) -> Value:
    if type(text) is not str or len(text) > 4000:
        raise NotReadError("a decimal is not a text")
    from saver.families.python.builtins import bytes_value

    return bytes_value(str(Decimal(text)).encode(), encoder)


def _fraction(encoder: Encoder, *args: Any) -> Value:
    if len(args) == 1 and type(args[0]) is str and _RATIO.fullmatch(args[0]):
        found = Fraction(args[0])
        args = found.numerator, found.denominator
    if len(args) != 2 or not all(type(arg) is int for arg in args):
        raise NotReadError("a fraction does not consist of two integers")
    return [encoder(arg) for arg in args]


_RATIO = re.compile(r"-?[0-9]{1,4000}(/[0-9]{1,4000})?")

TIMES: dict[str, Callable[..., Value]] = {
    "date": _date, "datetime": _datetime, "time": _time, "timedelta": _timedelta, "timezone": _timezone,
    "zoneinfo": _zoneinfo, "decimal": _decimal, "fraction": _fraction,
}  # fmt: skip
"""By the name of the class: the state of its codec, from the arguments of the call."""
