"""What errors say of objects that cannot be saved, after the place: the fact, and the next step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from saver import trust
from saver.codec.attributes import attributes_of, native_base
from saver.codec.contract import Codec
from saver.codec.lookup import registers
from saver.codec.ways import way_out
from saver.errors import CannotSaveError, kind_of, with_article
from saver.tree import MAX_OBJECT_DEPTH, encodable

LIMIT = 20
"""A walk ends when it has met this many objects that cannot be saved."""


class Refused:
    """The errors of one walk, so that all of them are reported at once."""

    def __init__(self) -> None:
        self._errors: list[CannotSaveError] = []

    @property
    def count(self) -> int:
        return len(self._errors)

    def add(self, error: CannotSaveError, where: str, known: int) -> None:
        """Take note of an error about the object at `where`, unless there are more than `known`: then
        something in it is the reason. Raises the error if there are enough."""
        if len(self._errors) >= LIMIT:
            raise error
        if len(self._errors) == known:
            self._errors.append(_placed(error, where))
        if len(self._errors) >= LIMIT:
            raise error

    def end(self, error: CannotSaveError, where: str) -> None:
        """Take note of an error that ended a part, and raise all if there are enough."""
        if len(self._errors) >= LIMIT:
            self.settle()
        self._errors.append(_placed(error, where))

    def settle(self, known: int = 0) -> None:
        """Raise the errors beyond the first `known` as one, and forget them."""
        found, self._errors[known:] = self._errors[known:], []
        if len(found) == 1:
            raise found[0]
        if found:
            raise CannotSaveError(_together(list(map(str, found))))


HELD_IN_PART = (
    "this process holds a part of this tensor alone; save in every process that has one, and pass their "
    "cluster=, see docs/distributed.md"
)


def _placed(error: CannotSaveError, where: str) -> CannotSaveError:
    if str(error).startswith("$"):
        return error
    found = CannotSaveError(f"{where}: {error}")
    found.__cause__ = error.__cause__
    return found


def _together(errors: list[str]) -> str:
    """One message for several objects; those with the same reason are named together."""
    places: dict[str, list[str]] = {}
    for error in errors:
        place, _, why = error.partition(": ")
        places.setdefault(why, []).append(place)
    reasons = (f"({n}) {', '.join(where)}: {why}" for n, (why, where) in enumerate(places.items(), 1))
    many = f"{len(errors)} objects" if len(errors) < LIMIT else f"at least {LIMIT} objects"
    calls = dict.fromkeys(call for why in places for call in _REGISTER.findall(why))
    line = f"; to save these: {'; '.join(calls)}" if len(calls) > 1 else ""
    return f"{many} cannot be saved: {'; '.join(reasons)}{line}"


_REGISTER = re.compile(r"`(saver\.register\([\w.]+\))`")


def unsound(error: Exception) -> str:
    """Of an object that loading would refuse with this error."""
    return f"{error}; so it could not be loaded: make or fit it anew, or put back what was changed in it"


def unsaved(obj: Any, codec: Codec) -> str | None:
    """Of an object that its codec would not save whole; None if it does."""
    for name in codec.unsaved(obj):
        way = way_out(obj)
        return (
            f"the attribute {name!r} was set on {kind_of(obj)}, whose data form has no place for it; "
            "keep it beside the object, as in a dict of both, and delete it there"
            + (f"; or {way}" if way is not None else "")
        )
    native = native_base(type(obj)) if codec.bare else None
    if native is None:
        return None
    cls = type(obj)
    return (
        f"{cls.__module__}.{cls.__qualname__} derives from {native.__module__}.{native.__qualname__}, too, "
        f"whose contents are not in attributes; hold a {native.__qualname__} in an attribute instead"
    )


def registrable(obj: Any) -> bool:
    """Whether `saver.register` would take the class of this object, and the object could be saved then, but
    for what it holds."""
    try:
        trust.class_name(type(obj))
    except CannotSaveError:
        return False
    return registers(type(obj)) and attributes_of(obj)[1] is None


_HASHED_BY_CONTENT = frozenset(("tuple", "frozenset", "namedtuple", "dataclass", "object", "derived_value"))


def of_a_cycle(obj: Any, around: dict[int, Codec], later: bool) -> str:
    """Why an object that is being built cannot be referred to here; "" if it can. The objects `around` the
    reference are there by their ids, from the outside inwards; `later` says that it can be put here later."""
    if not later:
        return (
            f"a cycle leads through {kind_of(obj)}, which cannot be built before its content; "
            "break the cycle, or put a list or dict in between"
        )
    if _is_hashed_before(obj, around):
        return (
            f"a cycle leads from {kind_of(obj)} into a frozenset, which needs its hash before its content is "
            "there; break the cycle, or use a set"
        )
    return ""


def _is_hashed_before(obj: Any, around: dict[int, Codec]) -> bool:
    """Whether a frozenset, which is made at once, would hash an object that is being built."""
    own: Any = type(obj).__hash__
    if own is None or own is object.__hash__:
        return False
    for key, codec in reversed(around.items()):
        if key == id(obj) or codec.name not in _HASHED_BY_CONTENT:
            return False
        if codec.name == "frozenset":
            return True
    return False


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
    way = way_out(obj)
    if way is not None:
        what = kind.__name__ if kind.__module__ == "builtins" else name
        return f"{with_article(what)} has no data form; {way}"
    if native_base(kind) is not None and issubclass(kind, Iterator):
        what = name.removeprefix("builtins.")
        return f"{with_article(what)} has no data form; save what it is made from, or a list of its items"
    if kind.__module__ == "builtins":
        return (
            f"{with_article(kind.__name__)} has no data form; write a codec (docs/codecs.md), or leave it out"
        )
    if kind.__name__ == "_memoryviewslice":
        return (
            "a view of a compiled object's memory has no data form; hold numpy.asarray(view) instead (an "
            "estimator that was fitted to a search tree: fit it to numpy.asarray(tree.data))"
        )
    if not registrable(obj):
        return f"{name} has no data form; write a codec (docs/codecs.md), or leave it out"
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
