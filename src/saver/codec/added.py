"""Tells what somebody set on an object of a library from what the library keeps there itself."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from saver.codec.attributes import own_dict


def added(obj: Any, *known: str) -> list[str]:
    """The names in the dict of an object, other than those `known`, that its user has set."""
    return [name for name in own_dict(obj) if name not in known]


def private(obj: Any) -> list[str]:
    """The names in the dict of an object that begin with an underscore and that the code of its classes
    mentions: its library has set them, and which ones there are differs from version to version."""
    names = [name for name in own_dict(obj) if str(name)[:1] == "_"]
    return [name for name in names if name in _mentioned(type(obj))] if names else names


def _mentioned(cls: type) -> frozenset[str]:
    """The names and words in the code of a class and of those that it derives from."""
    if cls not in _mentions:
        found = set[str]()
        for base in cls.__mro__:
            found.update(vars(base))
            for value in vars(base).values():
                for code in _code_of(value):
                    _read(code, found)
        _mentions[cls] = frozenset(found)
    return _mentions[cls]


_mentions: dict[type, frozenset[str]] = {}


def _code_of(value: Any) -> Iterator[types.CodeType]:
    """The code of what a class holds under a name."""
    if type(value) is types.FunctionType:
        yield value.__code__
        yield from _code_of(vars(value).get("__wrapped__"))
    elif type(value) in (classmethod, staticmethod):
        yield from _code_of(value.__func__)
    elif type(value) is property:
        for part in (value.fget, value.fset, value.fdel):
            yield from _code_of(part)
    elif type(value) is cached_property:
        yield from _code_of(value.func)


def _read(code: types.CodeType, found: set[str]) -> None:
    found.update(code.co_names)
    for constant in code.co_consts:
        if type(constant) is str:
            found.add(constant)
        elif type(constant) is types.CodeType:
            _read(constant, found)
