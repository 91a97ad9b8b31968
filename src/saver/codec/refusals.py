"""What errors say of objects that cannot be saved, after the place: the fact, and the next step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saver.codec.attributes import native_base
from saver.codec.contract import Codec
from saver.tree import MAX_OBJECT_DEPTH, encodable


def unsound(error: Exception) -> str:
    """Of an object that loading would refuse with this error."""
    return f"{error}; so it could not be loaded: make or fit it anew, or put back what was changed in it"


def unsaved(obj: Any, codec: Codec) -> str | None:
    """Of an object that its codec would not save whole; None if it does."""
    for name in codec.unsaved(obj):
        return (
            f"the attribute {name!r} was set on a {type(obj).__name__}, whose data form has no place for it; "
            "keep it beside the object, as in a dict of both, and delete it there"
        )
    native = native_base(type(obj)) if codec.bare else None
    if native is None:
        return None
    cls = type(obj)
    return (
        f"{cls.__module__}.{cls.__qualname__} derives from {native.__module__}.{native.__qualname__}, too, "
        f"whose contents are not in attributes; hold a {native.__qualname__} in an attribute instead"
    )


def too_deep(path: str) -> str:
    """All that is said of objects that lie too deep within each other; `path` leads to the deepest."""
    return (
        f"{path[:60]}…: objects are nested more than {MAX_OBJECT_DEPTH} levels deep; "
        "flatten the structure (a chain of objects can become a list)"
    )


def no_data_form(obj: Any) -> str:
    """Of an object of a class that no codec takes."""
    kind = type(obj)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__ == "builtins":
        return f"a {kind.__name__} has no data form; register a codec (docs/codecs.md) or leave it out"
    if kind.__name__ == "_memoryviewslice":
        return (
            "a view of a compiled object's memory has no data form; hold numpy.asarray(view) instead (an "
            "estimator that was fitted to a search tree: fit it to numpy.asarray(tree.data))"
        )
    return (
        f"{name} has no data form; if its attributes are its whole state, `saver.register({kind.__name__})`; "
        "or write a codec (docs/codecs.md), or leave it out"
    )


def shown(part: str, path: Iterable[str | int]) -> str:
    """A path as errors show it: `$.model.callbacks[2]`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return in_utf8("".join(("$.", part, *steps)))


def in_utf8(path: str) -> str:
    """A path as it can be written to a file: keys of dicts may have lone surrogates."""
    return path if encodable(path) else path.encode(errors="backslashreplace").decode()
