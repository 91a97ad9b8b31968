"""What errors say of objects that cannot be saved, after the place: the fact, and the next step."""

from __future__ import annotations

from typing import Any

from saver.codec.attributes import own_dict
from saver.tree import MAX_OBJECT_DEPTH


def unsound(error: Exception) -> str:
    """Of an object that loading would refuse with this error."""
    return f"{error}; so it could not be loaded: make or fit it anew, or put back what was changed in it"


def lost(obj: Any, known: frozenset[str] | None) -> str:
    """Of an object with attributes for which its codec has no place: it knows only these."""
    name = min(map(str, own_dict(obj).keys() - (known or ())))
    return (
        f"the attribute {name!r} was set on a {type(obj).__name__}, whose data form has no place for it; "
        "keep it beside the object, as in a dict of both, and delete it there"
    )


def too_deep(path: str) -> str:
    """All that is said of objects that lie too deep within each other; `path` leads to the deepest."""
    return (
        f"{path[:60]}…: objects lie more than {MAX_OBJECT_DEPTH} levels deep within each other; "
        "flatten the structure (a chain of objects can become a list)"
    )


def no_data_form(obj: Any) -> str:
    """Of an object of a class that no codec takes."""
    kind = type(obj)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__ == "builtins":
        return f"a {kind.__name__} has no data form; register a codec (docs/codecs.md) or leave it out"
    return (
        f"{name} has no data form; if its attributes say everything, `saver.register({kind.__name__})`; "
        "or write a codec (docs/codecs.md), or leave it out"
    )
