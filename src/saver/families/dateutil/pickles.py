"""How the time zones of dateutil lie in pickles: by the file that they were read from, or by an offset."""

from __future__ import annotations

import re
from typing import Any

from saver.codec import Encoder
from saver.pickled import Call, NotReadError, Pickled, attributes_of
from saver.tree import Value

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


class ZonePickled(Pickled):
    """UTC, the machine's own zone, fixed offsets, and zones of the time zone database by name."""

    name = "dateutil.zone"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind = obj.function.name
        if kind in ("tzutc", "tzlocal"):
            return "UTC" if kind == "tzutc" else "local"
        if kind == "tzoffset":
            return _offset(obj, encoder)
        name = zone_name(obj)
        if name is None:
            raise NotReadError("a time zone of dateutil has no name")
        return {"zone": name}


def _offset(call: Call, encoder: Encoder) -> Value:
    own = attributes_of(call)
    name, offset = (*call.args, None, None)[:2] if call.args else (own.get("_name"), own.get("_offset"))
    if type(offset) is Call and offset.function.name == "timedelta" and len(offset.args) == 3:
        days, seconds, rest = offset.args
        offset = days * 86400 + seconds if (type(days), type(seconds), rest) == (int, int, 0) else None
    if type(offset) not in (int, float):
        raise NotReadError("a fixed offset is not a number of seconds")
    return [encoder(name), float(offset)]


def zone_name(call: Call) -> str | None:
    """The name of a zone of the time zone database."""
    if call.function.name not in ("tzfile", "_unpickle"):
        return None
    own = attributes_of(call) if call.function.name == "tzfile" else {}
    for named in (own.get("_filename"), *call.args[:3]):
        found = _ZONE.fullmatch(named.rpartition("zoneinfo/")[2]) if type(named) is str else None
        if found is not None:
            return found[0]
    return None


class PartPickled(Pickled):
    """What a zone holds of its times, or an offset of pandas of its steps: those are made anew."""

    name = "dateutil.zone"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        raise NotReadError(f"a {obj.function.name.lstrip('_')} of dateutil has no data form")


_ZONES, _PARTS = ZonePickled(), PartPickled()
_MODULES = ("dateutil.tz", "dateutil.tz.tz", "dateutil.tz._tzfile")
READERS: dict[str, Pickled] = {
    **{f"{module}:{kind}": _ZONES for module in _MODULES
       for kind in ("tzutc", "tzlocal", "tzoffset", "tzfile", "_unpickle")},
    **{f"{module}:_ttinfo": _PARTS for module in _MODULES},
    "dateutil.relativedelta:relativedelta": _PARTS, "dateutil._common:weekday": _PARTS,
}  # fmt: skip
