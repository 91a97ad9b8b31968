"""Numbers and times as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

UNITS = ("kB", "MB", "GB", "TB", "PB")
LARGEST = 10**30
"""Bytes; a larger number was not measured, but made up by a file."""


def size(count: int) -> str:
    """A number of bytes in decimal units: `349 kB`."""
    if count < 1000:
        return f"{count} B"
    count = min(count, LARGEST)
    power = 1
    while count / 1000**power >= 999.5 and power < len(UNITS):
        power += 1
    return f"{count / 1000**power:.3g} {UNITS[power - 1]}"


def counted(count: int, noun: str) -> str:
    """`1 version`, `12 versions`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_utc(seconds: float) -> datetime | None:
    """Unix time in UTC; None for a time outside the calendar, as a file may have one."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def metrics(found: Mapping[str, float]) -> str:
    """Metrics in a line: `auc=0.93, loss=0.21`."""
    return ", ".join(f"{name}={value:.6g}" for name, value in found.items())


def pairs(found: Mapping[str, str]) -> str:
    """Labels in a line: `stage=live, team=fraud`."""
    return ", ".join(f"{key}={value}" for key, value in found.items())
