"""The time zones of dateutil, which older pandas code uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from dateutil import tz

from saver.codec import Codec, Decoder, Encoder, added, private
from saver.tree import Node, Value

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
"""A name in the time zone database: never a path that leaves it."""


class ZoneCodec(Codec):
    """UTC, fixed offsets, and zones of the time zone database, by name."""

    name = "dateutil.zone"
    types = (tz.tzutc, tz.tzoffset, tz.tzlocal, tz.tzfile)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if isinstance(obj, tz.tzutc):
            return "UTC"
        if isinstance(obj, tz.tzlocal):
            return "local"
        if isinstance(obj, tz.tzoffset):
            return [encoder(obj._name), obj._offset.total_seconds()]
        name = _ZONE.search(str(obj._filename).rpartition("zoneinfo/")[2])
        if name is None or tz.gettz(name[0]) != obj:
            encoder.refuse("a dateutil zone without a name has no data form; use dateutil.tz.gettz(name)")
        return {"zone": name[0]}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        if state == "UTC" or state == "local":
            return tz.UTC if state == "UTC" else tz.tzlocal()
        if type(state) is list:
            name, seconds = state
            return tz.tzoffset(decoder(name), timedelta(seconds=seconds))
        if not _ZONE.fullmatch(state["zone"]):
            raise ValueError(f"{state['zone']!r} is not the name of a time zone")
        found = tz.gettz(state["zone"])
        if found is None:
            raise ValueError(f"this machine has no time zone {state['zone']!r}; install tzdata")
        return found


CODECS: tuple[Codec, ...] = (ZoneCodec(),)
