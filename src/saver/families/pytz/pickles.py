"""How the time zones of pytz lie in pickles: calls with a name, or with an offset in minutes."""

from __future__ import annotations

from typing import Any

from saver.codec import Encoder
from saver.pickled import Call, NotReadError, Pickled
from saver.tree import Value

WHOLE = "a whole zone"
"""The mark of a zone that stands for all of its times, and not for the one that a date has."""


class ZonePickled(Pickled):
    """UTC, a fixed offset, or a zone by name and, in a date, which of its times holds."""

    name = "pytz.zone"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj.function.name in ("_UTC", "UTC"):
            return "UTC"
        if obj.function.name == "FixedOffset":
            if len(obj.args) != 1 or type(obj.args[0]) is not int:
                raise NotReadError("a fixed offset is not a number of minutes")
            return int(obj.args[0])
        name, *time = obj.args or (None,)
        kinds = tuple(map(type, time))
        if type(name) is not str or kinds not in ((), (int, int, str)):
            raise NotReadError("a time zone of pytz has no name")
        if not kinds or WHOLE in obj.marks or time[2] == "LMT":  # by which pytz represents the whole zone
            return [name]
        return [name, *time]


READERS: dict[str, Pickled] = dict.fromkeys(
    ("pytz:_UTC", "pytz:UTC", "pytz:_p", "pytz:FixedOffset"), ZonePickled()
)


def zone_name(call: Call) -> str | None:
    """The name of a zone of the time zone database."""
    found = call.args[0] if call.function.name == "_p" and call.args else None
    return found if type(found) is str else None
