"""`nn.Module`: parameters, buffers, submodules and attributes. Torch's own bookkeeping is created anew."""

from __future__ import annotations

import weakref
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from saver import registry, trust, uses
from saver.codec import Codec, Decoder, Encoder, anew_of, door, rules_of
from saver.errors import CannotSaveError, kind_of, with_article
from saver.families.python.classes import DataclassCodec
from saver.families.torch import consistency
from saver.families.torch.distributed import comes_with_a_mesh, fields_of_fsdp, plain_class, shard_again
from saver.rules import Broken
from saver.tree import Node, Value, reserved

_HOOKS = tuple(name for name, value in vars(nn.Module()).items() if name.endswith("_hooks"))
_HOOK_FLAGS = (
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)
_CONTENTS = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
_REBUILT = frozenset(("_flat_weights", "_flat_weight_refs"))
"""In recurrent networks: the parameters again, as a list and as weak references."""

_NOT_STORED = frozenset((*_HOOKS, *_HOOK_FLAGS, *_CONTENTS, "_compiled_call_impl"))

_BUILT_FROM_TORCH = ("torch.nn.modules.", "torch.optim.swa_utils.")
"""The modules with classes of PyTorch that consist of data and a `forward`, and can be rebuilt from those."""

_INSTEAD = (
    ("torch.nn.parallel.", "save its `.module`"),
    ("torch.distributed.", "save the module that it wraps, from its full state dict"),
    ("torch._dynamo.", "save `._orig_mod`, the module that was compiled"),
    (
        "torch.jit.",
        "save the module that it was scripted from; torch.jit.save keeps the script itself",
    ),
    ("torch.fx.", "save the module that it was traced from"),
)


def lies_in(cls: Any, places: tuple[str, ...]) -> bool:
    """Whether a class of PyTorch is in one of these modules; classes of other packages are trusted by the
    user and may be anywhere."""
    module = f"{cls.__module__}."
    return not module.startswith("torch.") or module.startswith(places)


class ModuleCodec(Codec):
    """Modules of `torch.nn`, and of classes that the user trusts.

    Tensors have the names that they have in the state dict: `model/layers.0.weight`. Neither `__init__` nor
    `__setstate__` runs. Hooks have no data form; a module that was compiled in place comes back without
    being compiled.
    """

    name = "torch.Module"
    bare = True
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, nn.Module)

    def class_of(self, obj: Any) -> str:
        why = _no_data_form(obj)
        if why:
            raise CannotSaveError(why)
        return trust.class_name(plain_class(type(obj)))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        shard_again(obj)
        own = vars(obj)
        state: dict[str, Value] = {"attributes": encoder.attributes(obj, not_stored(obj))}
        way = door(type(obj))
        for kind in ("parameters", "buffers", "modules"):
            named: dict[str, Value] = {}
            for name, item in own.get(f"_{kind}", {}).items():  # here, as every frame costs depth of nesting
                why = way.refusal(name) if type(name) is str and not reserved(name) else "choose a plain name"
                if why is not None:
                    encoder.refuse(f"a parameter or module is called {name!r}; {why}")
                named[name] = encoder(item, int(name) if name.isdecimal() else name)
            if named:
                state[kind] = named
        if own.get("_non_persistent_buffers_set"):
            state["non_persistent"] = sorted(own["_non_persistent_buffers_set"])
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls, state = decoder.cls(node), node.state
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)) or not lies_in(cls, _BUILT_FROM_TORCH):
            raise Broken("4.05", f"{cls!r} is not a module class that can be rebuilt")
        module: Any = object.__new__(cls)
        own = module.__dict__
        own.update(vars(nn.Module()))
        decoder.keep(node, module)
        if not _NOT_STORED.isdisjoint(state["attributes"]):
            raise Broken("4.05", "an attribute has the name of a field that torch manages itself")
        decoder.fill_attributes(module, state["attributes"])
        for kind, held in (
            ("parameters", torch.Tensor),
            ("buffers", torch.Tensor),
            ("modules", nn.Module),
        ):
            decode_named(cls, state.get(kind, {}), held, own[f"_{kind}"], decoder)
        own["_non_persistent_buffers_set"] = set(map(text, state.get("non_persistent", ())))
        if issubclass(cls, nn.RNNBase):
            list_weights(module)
        return module

    def claim(self, obj: Any) -> None:
        for rule in rules_of(type(obj), "CLAIMS"):
            rule(obj)

    def check(self, obj: Any) -> None:
        check(obj)


def not_stored(module: Any) -> frozenset[str]:
    """The fields of a module that are no attributes of its own."""
    found = _NOT_STORED | _REBUILT if isinstance(module, nn.RNNBase) else _NOT_STORED
    found |= fields_of_fsdp(module)
    anew = anew_of(type(module))
    return found | anew if anew else found


_ALLOWED = {"activation": frozenset(("activation",)), "distance_function": frozenset(("distance",))}
"""Attributes of torch's modules that hold functions."""


def _check_uses(module: Any) -> None:
    apart = not_stored(module)
    own = {name: value for name, value in vars(module).items() if name not in apart}
    cls = type(module)
    if uses.is_listed(cls):  # any of them, as an attribute comes before a module of the same name
        uses.check_objects(own, own.keys(), ("torch", cls.__module__.partition(".")[0]))
    if not uses.are_plain(own.values()):
        allowed = _ALLOWED
        for of_the_library in rules_of(cls, "CALLABLES"):
            allowed = {**allowed, **of_the_library(module)}
        uses.check(own, allowed, uses.is_listed(cls))


def check(module: Any) -> None:
    """ValueError for a module that could not be loaded: one that leads native code astray, or holds functions
    where none belong."""
    _check_uses(module)
    consistency.check(module)
    for rule in rules_of(type(module), "CHECKS"):
        rule(module)


def decode_named(cls: type, state: Any, kind: type, target: dict[str, Any], decoder: Decoder) -> None:
    """Decode parameters, buffers or submodules. Modules show them as attributes, so their names must follow
    the rule for attributes."""
    way = door(cls)
    for name, value in state.items():
        if name not in way.free:
            why = way.refusal(name)
            if why is not None:
                raise Broken("4.05", why)
        item = decoder(value)
        if not (item is None or isinstance(item, kind)):
            raise Broken("4.05", f"{name!r} is {kind_of(item)}, not {with_article(kind.__name__)}")
        target[name] = item


def text(value: Any) -> str:
    if type(value) is not str:
        raise Broken("4.05", f"{kind_of(value)} is not a name")
    return value


def list_weights(module: Any) -> None:
    """Make the list of weights that native code reads, as `RNNBase.__setstate__` does."""
    own = vars(module)
    names = [text(name) for name in own["_flat_weights_names"]]
    weights = [own["_parameters"].get(name, own.get(name)) for name in names]
    if not all(weight is None or isinstance(weight, torch.Tensor) for weight in weights):
        raise Broken("4.05", "a weight is not a tensor")
    own["_flat_weights"] = weights
    own["_flat_weight_refs"] = [None if weight is None else weakref.ref(weight) for weight in weights]


def _no_data_form(module: Any) -> str | None:
    """Why a module cannot be saved, and what to do instead; None if it can."""
    cls = plain_class(type(module))
    name = f"{cls.__module__}.{cls.__qualname__}"
    instead = _instead_of(cls)
    if instead is not None:
        return f"{name} wraps or compiles another module and has no data form; {instead}"
    if nn.utils.parametrize.is_parametrized(module):
        return (
            "a parametrized module has no data form; make its parameters plain with "
            "torch.nn.utils.parametrize.remove_parametrizations(module, name), then save"
        )
    if isinstance(module, nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params():
        return "a lazy module has no parameters yet; run one batch through it first"
    if not lies_in(cls, _BUILT_FROM_TORCH):
        return f"{name} holds more than parameters and attributes and has no data form; save its state_dict()"
    return _hooks_of(module)


@lru_cache(64)
def _instead_of(cls: type) -> str | None:
    """What to save instead of a module that wraps or compiles another one; None for other classes."""
    places = [f"{base.__module__}." for base in cls.__mro__ if issubclass(base, nn.Module)]
    return next((what for start, what in _INSTEAD if any(place.startswith(start) for place in places)), None)


def _hooks_of(module: Any) -> str | None:
    kinds = {
        kind.strip("_").replace("_", " ")[:-1]: [_shown(hook) for hook in hooks]
        for kind in _HOOKS
        if (hooks := [hook for hook in vars(module).get(kind, {}).values() if not _comes_again(hook)])
    }
    if not kinds:
        return None
    listed = "; ".join(f"a {kind} ({', '.join(hooks)})" for kind, hooks in kinds.items())
    return (
        f"{listed} has no data form; call `remove()` on its handle (torch has functions to remove those of "
        "weight_norm, spectral_norm and pruning), save, and register it again"
    )


def _comes_again(hook: Any) -> bool:
    """Whether a library registers this hook by itself, when it needs it."""
    if comes_with_a_mesh(hook):
        return True
    module, name = getattr(hook, "__module__", None), getattr(hook, "__qualname__", None)
    family = registry.in_use(module.partition(".")[0]) if type(module) is str else None
    return family is not None and f"{module}:{name}" in family.anew


def _shown(hook: Any) -> str:
    inner = getattr(hook, "hook", hook)
    return str(getattr(inner, "__qualname__", type(inner).__name__))


class OptionsCodec(DataclassCodec):
    """The dataclasses in which modules of `torch.nn` store their options."""

    name = "torch.options"

    def accepts(self, cls: type) -> bool:
        return f"{cls.__module__}.".startswith(_BUILT_FROM_TORCH) and super().accepts(cls)
