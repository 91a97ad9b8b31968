"""Finds the codec of a class, and the codec that a file names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from types import ModuleType
from typing import Any

from saver import registry
from saver.codec.contract import Codec
from saver.errors import IncompatibleError
from saver.family import Family
from saver.registry import codec_root
from saver.tree import Node, Reference, Tensor

_by_type: dict[type, Codec] = {}
_by_name: dict[str, Codec] = {}


def _load(family: Family) -> Iterable[Codec]:
    module = family.module("codecs")
    codecs: tuple[Codec, ...] = module.CODECS if module is not None else ()
    for codec in codecs:
        _by_name[codec.name] = codec
    return codecs


def families(cls: type) -> Iterator[Family]:
    """The families that may know `cls`: that of its own package first, then those of its bases, then
    Python's."""
    roots = dict.fromkeys(registry.module_of(base).partition(".")[0] for base in cls.__mro__)
    found = {family.name: family for family in map(registry.family, filter(registry.known, roots))}
    python = found.pop("python", None) or registry.family("python")
    yield from (*found.values(), python)


def codec_modules(cls: type) -> Iterator[ModuleType]:
    """The codec modules of those families, in the same order."""
    for family in families(cls):
        module = family.module("codecs")
        if module is not None:
            yield module


def codec_for(cls: type) -> Codec | None:
    """The codec that takes direct instances of `cls`: from the class's own family first, then from its
    bases'."""
    found = _by_type.get(cls)
    if found is None:
        for family in families(cls):
            for codec in _load(family):
                if codec.accepts(cls):
                    _by_type[cls] = codec
                    return codec
    return found


def rules_of(cls: type, kind: str) -> tuple[Callable[[Any], Any], ...]:
    """What the families of a class and of its bases add to what its codec does in `check` (their `CHECKS`) or
    in `claim` (their `CLAIMS`), or to the functions that instances may hold (their `CALLABLES`)."""
    found = _rules.get((cls, kind))
    if found is None:
        names = {f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__}
        modules = [family.module("checks") for family in families(cls)]
        found = _rules[cls, kind] = tuple(
            rule for module in modules for name, rule in getattr(module, kind, {}).items() if name in names
        )
    return found


_rules: dict[tuple[type, str], tuple[Callable[[Any], Any], ...]] = {}


def anew_of(cls: type) -> frozenset[str]:
    """The attributes that the libraries of a class and of its bases make again."""
    found = _anew.get(cls)
    if found is None:
        found = _anew[cls] = frozenset().union(*(family.anew for family in families(cls)))
    return found


_anew: dict[type, frozenset[str]] = {}


def registers(cls: type) -> bool:
    """Whether `saver.register(cls)` means something: instances can be saved then, or ask for trust."""
    found = codec_for(cls)
    if found is not None and type(found).class_of is not Codec.class_of:
        return True
    return any(codec.registers(cls) for family in families(cls) for codec in _load(family))


def codec_named(name: str) -> Codec:
    """The codec called `name` in a file. Raises IncompatibleError if this Saver does not have it."""
    codec = _by_name.get(name)
    if codec is None:
        _load(registry.family(codec_root(name)))
        codec = _by_name.get(name)
    if codec is None:
        raise IncompatibleError(
            f"this Saver has no codec {name[:80]!r}; install a newer Saver to open the file", rule="2.17"
        )
    return codec


def forget_codecs() -> None:
    """Forget cached codecs, since `@saver.register` changes which classes they accept."""
    _by_type.clear()


def check(found: Collection[Node | Tensor | Reference], names: Iterable[str], where: str) -> list[Node]:
    """The nodes among `found`. Raises IncompatibleError unless every codec, tensor and node that they need
    exists.

    Builds and imports nothing.
    """
    nodes = [item for item in found if type(item) is Node]
    tensors = {item.name for item in found if type(item) is Tensor}
    refs = {item.id for item in found if type(item) is Reference}
    for codec in sorted({node.codec for node in nodes}):
        if not registry.known(codec_root(codec)):
            raise IncompatibleError(
                f"{where} needs the codec {codec[:80]!r}, which is not installed; install the package "
                "that provides it, or a newer Saver",
                rule="2.17",
            )
    for name in sorted(tensors.difference(names)):
        raise IncompatibleError(
            f"{where} refers to the tensor {name[:80]!r}, which is not in the pack", rule="2.11"
        )
    if refs:
        for ident in sorted(map(str, refs.difference([node.id for node in nodes]))):
            raise IncompatibleError(f"{where} refers to node {ident}, which is missing", rule="2.12")
    return nodes
