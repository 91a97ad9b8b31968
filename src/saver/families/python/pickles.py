"""How Python pickles its own values and containers, and instances of the user's classes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from saver import registry, trust
from saver.codec import Encoder
from saver.families.python.builtins import SetCodec
from saver.families.python.columns import encode_run
from saver.families.python.items import encode_keys
from saver.families.python.pickled_stdlib import STDLIB, encode_pairs
from saver.pickled import (
    LITERALS,
    Call,
    Elements,
    Global,
    Inert,
    InstancePickled,
    Making,
    NotReadError,
    Pairs,
    Pickled,
    attributes_of,
)
from saver.tree import Node, Value


class PairsPickled(Pickled):
    """Dicts."""

    name = "dict"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_pairs(obj.items, encoder)


class ElementsPickled(Pickled):
    """Sets; elements that are no literals stay in the order of the pickle."""

    name = "set"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if all(type(item) in LITERALS for item in obj.items):
            return SetCodec().encode(set(obj.items), encoder)
        return encode_keys(obj.items, encoder)


class FrozenPickled(ElementsPickled):
    """Frozen sets."""

    name = "frozenset"


class FunctionPickled(Pickled):
    """Functions as values, by name."""

    name = "function"
    shared = False

    def class_of(self, obj: Any) -> str:
        name, root = f"{obj.module}:{obj.name}", obj.module.partition(".")[0]
        module = registry.family(root).module("pickles") if registry.is_own(root) else None
        found: str = getattr(module, "home", str)(name)
        return found

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return None


class ClassPickled(FunctionPickled):
    """Classes as values, by name."""

    name = "class"


class ObjectPickled(InstancePickled):
    """Instances of the user's classes by their attributes."""

    name = "object"


class DerivedPickled(ObjectPickled):
    """Instances of the user's classes that derive from a dict or a list."""

    name = "derived"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj.pairs:
            return ["dict", encode_pairs(obj.pairs, encoder), encoder.fields(attributes_of(obj))]
        return ["list", encode_run(obj.items, encoder), encoder.fields(attributes_of(obj))]


class DerivedValuePickled(ObjectPickled):
    """Instances of the user's classes that derive from a text, a number or bytes."""

    name = "derived_value"
    early = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        (value,) = obj.args
        return [type(value).__name__, encoder(value), encoder.fields(attributes_of(obj))]


def stranger(call: Call) -> Pickled | None:
    """What an instance of a class of no known library becomes; None if its code would have to run."""
    if not call.made or call.kwargs is not None:
        return None
    if call.args:
        plain = len(call.args) == 1 and type(call.args[0]) in (str, bytes, int, float)
        return _DERIVED_VALUE if plain and not call.pairs and not call.items else None
    if call.pairs or call.items:
        return None if call.pairs and call.items else _DERIVED
    return _OBJECT


_OBJECT, _DERIVED, _DERIVED_VALUE = ObjectPickled(), DerivedPickled(), DerivedValuePickled()


READERS: dict[str, Pickled] = STDLIB

_PAIRS, _SET, _FROZEN = PairsPickled(), ElementsPickled(), FrozenPickled()
_FUNCTION, _CLASS = FunctionPickled(), ClassPickled()
KINDS: dict[type, Callable[[Any], Pickled]] = {
    Pairs: lambda value: _PAIRS,
    Elements: lambda value: _FROZEN if value.frozen else _SET,
    Global: lambda value: _CLASS if looks_like_class(value.name) else _FUNCTION,
}
"""What values become that are not calls."""


def _named(node: Node, making: Making, place: str) -> Inert:
    """A class or function by its name, if it was reviewed."""
    name = node.cls or ""
    if trust.reference(name) is None:
        raise NotReadError(f"{name[:80]!r} is not a function that was reviewed")
    module, _, what = name.partition(":")
    if "." in what or not module:
        raise NotReadError(f"{name[:80]!r} is not at the top of a module")
    return Global(module, what)


WRITERS: dict[str, Callable[[Node, Making, str], Inert]] = {"function": _named, "class": _named}

_CLASSES = frozenset((
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range",
    "set", "slice", "str", "tuple", "type",
))  # fmt: skip
_NUMBERS = re.compile(r"(float|int|uint|complex|str|bytes|datetime|timedelta|bool|object|void)(\d+|_)?")


def looks_like_class(name: str) -> bool:
    """Whether a name is that of a class, by custom; to know would take an import."""
    last = name.rpartition(".")[2].lstrip("_")
    return last[:1].isupper() or last in _CLASSES or _NUMBERS.fullmatch(last) is not None
