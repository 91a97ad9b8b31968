"""Objects that must not be found again within themselves, since compiled code would follow them for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def leads_back(start: Any, parts: Callable[[Any], Iterable[Any]]) -> bool:
    """Whether an object holds itself, at any depth: in lists, tuples, dicts, and what `parts` gives of any
    other object."""
    seen, waiting = set[int](), [start]
    while waiting:
        item = waiting.pop()
        kind = type(item)  # `isinstance` asks objects that stand for others, and those do not end
        if issubclass(kind, dict):
            held = list(dict.values(item))
        else:
            held = list(item if issubclass(kind, (list, tuple)) else parts(item))
        for each in held:
            if each is start:
                return True
            if id(each) not in seen:
                seen.add(id(each))
                waiting.append(each)
    return False
