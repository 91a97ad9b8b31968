"""Dates, times and time zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from saver.codec import Codec, Decoder, Encoder, listed
from saver.tree import Node, Value


def _demand(fact: bool) -> None:
    if not fact:
        raise ValueError("it is not in the only form that a date or time has")


class DateCodec(Codec):
    """ISO 8601."""

    name = "stdlib.date"
    types = (date,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return obj.isoformat()  # type: ignore[no-any-return]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = date.fromisoformat(node.state)
        _demand(found.isoformat() == node.state)
        return found


class DateTimeCodec(Codec):
    """ISO 8601, time zone and fold."""

    name = "stdlib.datetime"
    types = (datetime,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.replace(tzinfo=None).isoformat(), encoder(obj.tzinfo, "tzinfo"), obj.fold]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        text, zone, fold = listed(node.state, 3)
        found = datetime.fromisoformat(text)
        _demand(found.isoformat() == text and found.tzinfo is None and type(fold) is int)
        return found.replace(tzinfo=decoder(zone), fold=fold)


class TimeCodec(Codec):
    """ISO 8601, time zone and fold."""

    name = "stdlib.time"
    types = (time,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.replace(tzinfo=None).isoformat(), encoder(obj.tzinfo, "tzinfo"), obj.fold]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        text, zone, fold = listed(node.state, 3)
        found = time.fromisoformat(text)
        _demand(found.isoformat() == text and found.tzinfo is None and type(fold) is int)
        return found.replace(tzinfo=decoder(zone), fold=fold)


class TimedeltaCodec(Codec):
    """Days, seconds and microseconds."""

    name = "stdlib.timedelta"
    types = (timedelta,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.days, obj.seconds, obj.microseconds]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        days, seconds, microseconds = listed(node.state, 3)
        _demand(type(days) is type(seconds) is type(microseconds) is int)
        found = timedelta(days, seconds, microseconds)
        _demand([found.days, found.seconds, found.microseconds] == node.state)
        return found


class TimezoneCodec(Codec):
    """A fixed offset, and its name if it has one."""

    name = "stdlib.timezone"
    types = (timezone,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        arguments = obj.__getinitargs__()
        return [encoder(argument) for argument in arguments]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        arguments = [decoder(argument) for argument in listed(node.state, 1, 2)]
        return UTC if arguments == [timedelta(0)] else timezone(*arguments)


def _is_of_machine(zone: ZoneInfo) -> bool:
    """Whether a zone was found by its key: others cannot be pickled either."""
    try:
        zone.__reduce__()
    except Exception:  # it has no public name here
        return False
    return True


class ZoneInfoCodec(Codec):
    """A time zone by its key, looked up in the tables of the machine."""

    name = "stdlib.ZoneInfo"
    types = (ZoneInfo,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj.key is None or not _is_of_machine(obj):
            encoder.refuse("a time zone from a file of its own has no data form; use ZoneInfo(key)")
        return obj.key  # type: ignore[no-any-return]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return ZoneInfo(node.state)


CODECS: tuple[Codec, ...] = (
    DateCodec(), DateTimeCodec(), TimeCodec(), TimedeltaCodec(), TimezoneCodec(), ZoneInfoCodec(),
)  # fmt: skip
