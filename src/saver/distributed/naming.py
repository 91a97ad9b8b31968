"""What the parts of one rank are called, where each has its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

OWN = "{}.rank{}"
"""What the part of one rank is called, where each has its own: the name, and the number of the rank."""


def own_parts(obj: Any, names: Iterable[str], rank: int) -> Any:
    """A dict of parts in which those that each rank has for itself have the rank in their names, and so in
    the names of their tensors; anything else as it is."""
    own = set(names)
    if not own or not isinstance(obj, Mapping):
        return obj
    return {OWN.format(name, rank) if name in own else name: item for name, item in obj.items()}
