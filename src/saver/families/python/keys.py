"""Keys of mappings that are objects: which of those saved is which of those that are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from saver.codec import Encoder
from saver.errors import CannotSaveError
from saver.tree import Node, Reference, Value, walk

_NAME_LIMIT = 64
"""At most this much of a key is examined: references can make a small key stand for endless values."""


def name(key: Value, follow: Callable[[Value], Value], steps: Iterator[int]) -> Any:
    """A plain key itself; for a key that is an object, its saved form."""
    if next(steps, None) is None:
        return None
    found = follow(key)
    if type(found) is Node:
        return ("an object", found.codec, found.cls, name(found.state, follow, steps))
    if isinstance(found, (list, dict)):
        within = found[:_NAME_LIMIT] if isinstance(found, list) else (*found, *found.values())[:_NAME_LIMIT]
        return (type(found).__name__, *(name(item, follow, steps) for item in within))
    return found


def name_here(key: Any) -> Any:
    """The same for a key of the target; a key without a data form equals no other."""
    try:
        tree = Encoder().part("key", key)
    except CannotSaveError:
        return object()
    nodes = {item.id: item for item in walk(tree) if type(item) is Node}
    return name(tree, lambda value: nodes[value.id] if type(value) is Reference else value, steps())


def steps() -> Iterator[int]:
    """What `name` takes one of for each value that it examines."""
    return iter(range(_NAME_LIMIT))
