"""Unix times as text. They come from files, so they may be outside the calendar."""

from __future__ import annotations

import time

from saver.human import in_utc

UNITS = ((365.25 * 86400, "yr"), (30.44 * 86400, "mo"), (86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def local(seconds: float, zone: bool = True) -> str:
    """`2026-11-21 07:49:14 CET`, or without seconds and zone; "" for a time outside the calendar."""
    there = in_utc(seconds)
    try:
        here = there.astimezone() if there is not None else None
    except (ValueError, OverflowError, OSError):
        here = None
    return "" if here is None else f"{here:%Y-%m-%d %H:%M:%S %Z}" if zone else f"{here:%Y-%m-%d %H:%M}"


def moment(seconds: float) -> str:
    """`2026-11-21 07:49:14 CET (3 h ago)`."""
    ago = age(seconds)
    return (local(seconds) or "at an unknown time") + (f" ({ago} ago)" if ago not in ("", "now") else "")


def age(seconds: float, now: float | None = None) -> str:
    """How long ago that is, in the form of `span`; "" for a time in the future or outside the calendar."""
    past = (time.time() if now is None else now) - seconds
    if in_utc(seconds) is None or past < -60:  # clocks differ a little
        return ""
    return span(past) if past >= 60 else "now"


def span(seconds: float) -> str:
    """A length of time, rounded down: `3 h`."""
    for unit, name in UNITS:
        if seconds >= unit:
            return f"{int(seconds / unit)} {name}"
    return f"{seconds:g} s"
