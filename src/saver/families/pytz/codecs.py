"""The time zones of pytz, which pandas before 3 gives to dates; each zone is a class of its own.

pandas 3 makes zones of `zoneinfo` instead. Where pytz is not installed, the file's zones become those.
"""

from __future__ import annotations

from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from saver.codec import Codec, Decoder, Encoder
from saver.tree import Node, Value

_DAY = 24 * 60


class ZoneCodec(Codec):
    """UTC, a fixed offset in minutes, or the name of a zone and, in a date, which of its times holds: the
    offset and the daylight saving time in seconds, and its short name."""

    name = "pytz.zone"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, tzinfo) and cls.__module__.partition(".")[0] == "pytz"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        import pytz

        if obj is pytz.UTC:
            return "UTC"
        if isinstance(obj, type(pytz.FixedOffset(1))):
            return int(obj._minutes)
        if obj.zone not in pytz.all_timezones_set:
            encoder.refuse(f"the zone {obj!r} is not one of pytz.all_timezones")
        zone = pytz.timezone(obj.zone)
        if obj is zone:
            return [obj.zone]
        offset, saving, short = obj._utcoffset, obj._dst, obj._tzname
        if zone._tzinfos.get((offset, saving, short)) is not obj:
            encoder.refuse(f"the zone {obj!r} is not one that pytz.timezone({obj.zone!r}) makes")
        return [obj.zone, int(offset.total_seconds()), int(saving.total_seconds()), short]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        pytz = _installed()
        if state == "UTC":
            return UTC if pytz is None else pytz.UTC
        if type(state) is int:
            if not -_DAY < state < _DAY:
                raise ValueError(f"{state} minutes are not the offset of a time zone")
            return timezone(timedelta(minutes=state)) if pytz is None else pytz.FixedOffset(state)
        name, *time = state
        if pytz is None:
            return ZoneInfo(name)
        if name not in pytz.all_timezones_set:
            raise ValueError(f"pytz has no time zone {str(name)[:80]!r}; update it")
        zone: Any = pytz.timezone(name)
        if not time:
            return zone
        offset, saving, short = time
        found = zone._tzinfos.get((timedelta(seconds=offset), timedelta(seconds=saving), short))
        if found is None:
            raise ValueError(f"{name} has no time {short!r} in this version of pytz; update it")
        return found


def _installed() -> Any:
    """The module pytz, or None."""
    try:
        import pytz
    except ImportError:
        return None
    return pytz


CODECS: tuple[Codec, ...] = (ZoneCodec(),)
