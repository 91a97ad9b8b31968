"""The deadline in an address of a storage: `?deadline=SECONDS`."""

from __future__ import annotations

from typing import Any

from saver.errors import quoted


def deadline_of(value: Any, shown: str) -> float:
    """Seconds, above 0 and up to a day. Raises ValueError, which shows the value as `shown`."""
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0 < found <= 86_400:
        raise ValueError(
            f"store: deadline={quoted(shown)} is not a number of seconds, above 0 and up to a day"
        )
    return found
