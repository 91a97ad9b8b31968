"""Which kinds of values the attributes of a class hold, as the annotations of its library say.

A file can have any value in place of another. In classes that were reviewed, a plain value (a number, a text,
a list of them) is therefore held against what the library itself declares; what it declares otherwise is not
looked at, since arrays and modules are exchanged for others in honest use, too.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from saver import uses
from saver.codec import shown

_PLAIN: Mapping[Any, tuple[type, ...]] = {
    bool: (bool, np.bool_), int: (int, np.integer), float: (float, int, np.number), str: (str,),
    bytes: (bytes,), type(None): (type(None),), None: (type(None),),
}  # fmt: skip
"""A plain kind, and the classes that stand for it."""

_NUMBERS = (bool, int, float)
_SEQUENCES = (list, tuple)
_COLLECTIONS = (list, tuple, dict, set, frozenset)
_kinds: dict[type, Mapping[str, Any]] = {}


def check(cls: type, attributes: Mapping[str, Any], names: Collection[str] | None = None) -> None:
    """Raise ValueError if an attribute (one of `names`) is not of the kind that the library says."""
    for name, kind in kinds_of(cls).items():
        if name in attributes and (names is None or name in names) and not fits(attributes[name], kind):
            said = kind.__name__ if isinstance(kind, type) else str(kind)
            raise ValueError(f"{name} of a {cls.__qualname__} is {shown(attributes[name])}, not {said}")


def kinds_of(cls: type) -> Mapping[str, Any]:
    """The annotations of a class that are not text, by attribute: those of reviewed classes, unless one that
    was not reviewed has its own."""
    if cls not in _kinds:
        found = dict[str, Any]()
        for base in reversed(cls.__mro__):
            said = inspect.get_annotations(base)
            found |= said if uses.is_listed(base) else dict.fromkeys(said, Any)
        _kinds[cls] = {name: kind for name, kind in found.items() if not isinstance(kind, str)}
    return _kinds[cls]


def fits(value: Any, kind: Any) -> bool:
    """Whether a value may be of a kind; true for all that is not plain."""
    if kind is None or isinstance(kind, type):
        classes = _PLAIN.get(kind)
        if classes is not None:
            return isinstance(value, classes) or (kind in _NUMBERS and getattr(value, "shape", None) == ())
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is typing.Literal:
        return any(type(value) is type(each) and value == each for each in inner)
    holder = kind if origin is None else origin
    if not any(holder is each for each in _COLLECTIONS):
        return True
    return _fits_within(value, holder, inner)


def _fits_within(value: Any, holder: Any, inner: tuple[Any, ...]) -> bool:
    """The same for a list, a tuple, a dict or a set, with what is in it."""
    if not isinstance(value, _SEQUENCES if holder in _SEQUENCES else holder):
        return False
    if isinstance(value, dict):
        return not inner or all(fits(key, inner[0]) and fits(item, inner[1]) for key, item in value.items())
    kinds = [each for each in inner if each is not ...]
    return not kinds or all(any(fits(item, each) for each in kinds) for item in value)
