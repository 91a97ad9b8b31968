"""What to save instead of an object that has no data form, as far as a family says."""

from __future__ import annotations

from typing import Any

from saver import registry


def way_out(obj: Any) -> str | None:
    """What to do instead of saving this object; None if no family says that of its class, or of a base."""
    for base in type(obj).__mro__:
        for family in registry.families():
            way = family.instead.get(f"{base.__module__}.{base.__qualname__}")
            if way is not None:
                return way
    return None
