"""Modules of Equinox, by their fields, and the state of layers that have one.

The fields of a module may be functions: activations, reviewed by the family of JAX. Where a field still has
the lambda that is the default of its constructor, that is said instead.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

import equinox

from saver import trust
from saver.codec import Codec, Decoder, Encoder, attributes_of
from saver.families.python import kinds
from saver.families.python.circles import leads_back
from saver.families.python.classes import declared
from saver.tree import Node, Value


def _defaults(cls: type) -> dict[str, Any]:
    """The functions without a name that are defaults of a constructor, by its parameters."""
    try:
        parameters: Mapping[str, Any] = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    except (TypeError, ValueError):
        return {}
    found = {name: each.default for name, each in parameters.items()}
    functions = {name: each for name, each in found.items() if type(each) is FunctionType}
    return {name: each for name, each in functions.items() if trust.find(_name(each)) is None}


def _name(function: FunctionType) -> str:
    return f"{function.__module__}:{function.__qualname__}"


class ModuleCodec(Codec):
    """Modules, yours under trust. Neither their constructors nor their checks run."""

    name = "equinox.module"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, equinox.Module)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        cls = type(obj)
        held, _ = attributes_of(obj, declared(cls))
        usual = [name for name, each in _defaults(cls).items() if held.get(name) is each]
        fields = encoder.attributes(obj, frozenset(usual), declared(cls))
        return {"fields": fields, "usual": list[Value](usual)} if usual else {"fields": fields}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and issubclass(cls, equinox.Module)):
            raise ValueError(f"{cls!r} is not a module of Equinox")
        made: Any = object.__new__(cls)
        decoder.fill_attributes(made, node.state["fields"], declared(cls))
        usual, defaults = node.state.get("usual", []), _defaults(cls)
        if type(usual) is not list or not all(type(name) is str and name in defaults for name in usual):
            raise ValueError(f"{cls.__qualname__} does not have the functions that were its defaults")
        for name in usual:
            if name in declared(cls):
                object.__setattr__(made, name, defaults[name])
        return made

    def check(self, obj: Any) -> None:
        """Of fields that transforming a module does not touch; others may be arrays, masks or None. JAX
        follows a module that holds itself until Python can call nothing any more."""
        cls = type(obj)
        if leads_back(obj, _fields):
            raise ValueError(f"a {cls.__qualname__} holds itself, which no module of Equinox can")
        fixed = [each.name for each in dataclasses.fields(cls) if each.metadata.get("static")]
        kinds.check(cls, attributes_of(obj, declared(cls))[0], fixed)


def _fields(obj: Any) -> Iterable[Any]:
    return vars(obj).values() if issubclass(type(obj), equinox.Module) else ()


class StateCodec(Codec):
    """`equinox.nn.State`: what `make_with_state` returns beside the module."""

    name = "equinox.state"
    types = (equinox.nn.State,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        held = vars(obj).get("_state")
        if type(held) is not dict:
            encoder.refuse("a state of Equinox is empty after an update; save the one that this returned")
        if not all(type(name) is str for name in held):
            encoder.refuse("a state of Equinox has no names; make it with equinox.nn.make_with_state")
        return encoder.own(dict(held))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        held = decoder.own(node.state)
        if type(held) is not dict or not all(type(name) is str for name in held):
            raise ValueError("a state is not a dict of names")
        made: Any = object.__new__(equinox.nn.State)
        object.__setattr__(made, "_state", held)
        return made


CODECS: tuple[Codec, ...] = (ModuleCodec(), StateCodec())
