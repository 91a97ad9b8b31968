"""Which calls of a pickle have a data form, by the tables of the families. Nothing is imported for it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, cast

from saver import registry, trust
from saver.formats.pickle.machine import Machine
from saver.pickled import LITERALS, Call, Global, Pickled

STDLIB = frozenset(sys.stdlib_module_names)
_PLUMBING = frozenset((
    "builtins:object", "copyreg:_reconstructor", "copyreg:__newobj__", "_codecs:encode", "builtins:bytes",
    "builtins:bytearray", "builtins:set", "builtins:frozenset", "builtins:dict", "builtins:list",
    "builtins:tuple", "builtins:int", "builtins:float", "builtins:str", "builtins:bool", "builtins:complex",
    "builtins:type", "builtins:FutureWarning", "builtins:DeprecationWarning",
))  # fmt: skip
"""What pickles name to make containers, or hold as classes; harmless as values."""


@lru_cache(4096)
def home(value: Global) -> str:
    """The name, `module:name`, under which a class or function is found today."""
    name = f"{value.module}:{value.name}"
    found: str = getattr(_pickles(_root(value)), "home", str)(name)
    return found


def reader_of(call: Call) -> Pickled | None:
    """What a call becomes; None if code would have to run for it."""
    name, root = home(call.function), _root(call.function)
    module = _pickles(root)
    if module is not None:
        return _by(module, name, call)
    if registry.is_own(root):
        return next(filter(None, (_reader(each, name) for each in _all())), None)
    for each in _all():
        found: Pickled | None = getattr(each, "strangers", _none)(call)
        if found is not None:
            return found
    return cast("Pickled | None", _python().stranger(call))


def _by(module: ModuleType, name: str, call: Call) -> Pickled | None:
    found: Pickled | None = module.READERS.get(name) or _reader(module, name)
    return found or getattr(module, "claims", _none)(call)


def _reader(module: ModuleType, name: str) -> Pickled | None:
    return cast("Pickled | None", getattr(module, "reader", _none)(name))


def _none(value: Any) -> None:
    return None


def notes_of(calls: Iterable[Call]) -> dict[str, str]:
    """The versions of packages that calls record, by import name."""
    found: dict[str, str] = {}
    for call in calls:
        notes = getattr(_pickles(_root(call.function)), "notes", None)
        for package, version in {} if notes is None else notes(call).items():
            found.setdefault(package, version)
    return found


def _root(value: Global) -> str:
    root = value.module.partition(".")[0]
    return "builtins" if root in STDLIB else root


@cache
def _pickles(root: str) -> ModuleType | None:
    return registry.family(root).module("pickles") if registry.is_own(root) else None


@cache
def _all() -> tuple[ModuleType, ...]:
    return tuple(filter(None, (family.module("pickles") for family in registry.families())))


def harmless(value: Global) -> bool:
    """Whether a class or function may be held as a value, or named to make an object: those of Python only
    if they were reviewed; loading asks whether others are trusted."""
    name = home(value)
    if _root(value) != "builtins":
        return "." not in value.name or not registry.is_own(_root(value))
    return name in _PLUMBING or trust.reference(name) is not None or name in _python().READERS


def value_of(value: Any) -> Pickled | None:
    """What a value becomes that is not a call: a dict, a set, a class or function; None for other values."""
    if type(value) is Global:
        found: Pickled | None = getattr(_pickles(_root(value)), "value", _none)(home(value))
        if found is not None:
            return found
    make = _python().KINDS.get(type(value))
    if make is not None:
        return cast("Pickled", make(value))
    kinds = (getattr(each, "KINDS", {}).get(type(value)) for each in _all() if each is not _python())
    return next(filter(None, kinds), None)


def _python() -> Any:
    return _pickles("builtins")


def refused(machine: Machine) -> list[str]:
    """Every call and name of a pickle that has no data form, as a text; in the order of the pickle."""
    found: dict[str, None] = {}
    called = set[Global]()
    for call in machine.calls:
        called.add(call.function)
        if not call.marks and reader_of(call) is None:
            found[f"it calls {call.function}({_arguments(call)})"] = None
    for name in machine.names:
        if name not in called and not harmless(name):
            found[f"it names {name}"] = None
    return list(found)


def _arguments(call: Call) -> str:
    shown = [_shown(arg) for arg in call.args[:3]] + ["…"] * (len(call.args) > 3)
    return ", ".join(shown)


def _shown(value: Any) -> str:
    if type(value) in LITERALS:
        text = repr(value[:60] if type(value) in (str, bytes, bytearray) else value)
        return text if len(text) <= 70 else f"{text[:66]}…"
    return str(value)[:70] if type(value) is Global else "…"
