"""Restores modules by the names in their state dict, from a saved module or state dict."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from saver.codec import Decoder
from saver.families.python.restoring import differing
from saver.families.torch.becoming import Becoming
from saver.families.torch.copying import copy
from saver.families.torch.leaves import Leaf, Leaves, read
from saver.families.torch.module_match import Match
from saver.families.torch.modules import not_stored
from saver.families.torch.state_names import (
    MODULE,
    SavedState,
    join,
    unwrapped,
    without_wrappers,
)
from saver.families.torch.storages import row_major
from saver.restoring import Plan, Restorer, Saved, ask
from saver.restoring.contract import kind
from saver.tree import Node, Value


class ModuleRestorer(Restorer):
    """Modules, from modules or state dicts: parameters and persistent buffers are copied, by name, into the
    existing ones, by the module's own `load_state_dict` with everything else that it does.

    If a module translates old names when it loads, that is rehearsed first without copying anything.
    """

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, nn.Module)

    def within(self, target: Any) -> Iterable[tuple[Any, Any]]:
        for name, module in target.named_modules():
            left_out = not_stored(module)
            yield from ((join(name, key), item) for key, item in vars(module).items() if key not in left_out)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        where, node = saved.where, saved.follow(value)
        if saved.exact and type(node) is Node and node.codec == MODULE:
            return Becoming(saved).plan(node, unwrapped(target, str(node.cls)))
        here = ask(where, target.state_dict, keep_vars=True)
        state = SavedState(value, saved)
        match = Match(state, here, set(map(id, target.buffers())), saved)
        versions = match.versions(state)
        plain = _is_plain(target) and not match.outgrown
        if match.unexpected or match.missing or match.unfit:
            plain = not _rehearse(target, match, versions) and plain
        match.announce(saved)
        kept = (*_left_as_it_is(node, target, saved), *_unlike(match.given, here))
        _pair(node, target, saved)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found: Any = OrderedDict(
                (name, read(item, decoder, here.get(name)) if isinstance(item, Leaf) else decoder(item))
                for name, item in match.given.items()
            )
            if plain:
                return lambda: _copy_all(found, here)
            found._metadata = versions

            def load() -> None:
                _make_room(target, {id(here[name]): leaf for name, leaf in match.outgrown.items()})
                ask(where, target.load_state_dict, found, strict=False)

            return load

        return Plan(match.report(kind(target), kept), ready, may_refuse=not plain)


def _left_as_it_is(node: Any, target: Any, saved: Saved) -> Iterator[str]:
    """The names of attributes of saved modules that a transfer leaves as they are, and that are not the same
    in the modules of the same names; and of buffers that are not persistent."""
    live = {without_wrappers(name): module for name, module in target.named_modules()}
    waiting = [("", node)]
    while waiting:
        name, item = waiting.pop()
        module = live.get(name)
        if type(item) is not Node or item.codec != MODULE or module is None:
            continue
        apart = not_stored(module)
        here = {key: value for key, value in vars(module).items() if key not in apart}
        yield from (join(name, key) for key in differing(item.state["attributes"], here, saved))
        spare = item.state.get("non_persistent", ())
        yield from (join(name, key) for key in spare if key in module._non_persistent_buffers_set)
        within = item.state.get("modules", {}).items()
        waiting += [(join(name, key), saved.follow(child)) for key, child in within][::-1]


def _unlike(given: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """Whose `requires_grad` was saved otherwise."""
    for name, leaf in given.items():
        if isinstance(leaf, Leaf) and leaf.origin.state.get("parameter") is True:
            target = here.get(name)
            if isinstance(target, nn.Parameter) and target.requires_grad is not leaf.wants_grad:
                yield f"{name}.requires_grad"


def _make_room(target: Any, outgrown: Mapping[int, Leaf]) -> None:
    """Give buffers the shape and dtype of what will be loaded into them."""
    for module in target.modules() if outgrown else ():
        for name, buffer in module._buffers.items():
            leaf = outgrown.get(id(buffer))
            if leaf is not None:
                module._buffers[name] = torch.empty(leaf.shape, dtype=leaf.dtype, device=buffer.device)


def _copy_all(elements: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Does what `load_state_dict` does to a plain module, which takes time quadratic in the modules."""
    for name, item in elements.items():
        copy(here[name], item)


class _Rehearsal(TorchFunctionMode):  # type: ignore[misc]
    """A context in which functions that change a tensor do nothing."""

    def __torch_function__(self, function: Any, kinds: Any, arguments: Any = (), options: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name == "__set__" or (name.endswith("_") and not name.endswith("__")):
            return arguments[0]
        return function(*arguments, **(options or {}))


_TORCHS_OWN = {
    name: {getattr(cls, name) for cls in (nn.Module, nn.modules.batchnorm._NormBase)}
    for name in (
        "_load_from_state_dict",
        "_save_to_state_dict",
        "set_extra_state",
        "load_state_dict",
        "state_dict",
    )
}
_HOOKS = (
    "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks", "_state_dict_hooks", "_state_dict_pre_hooks",
)  # fmt: skip


def _is_plain(target: Any) -> bool:
    """Whether loading a state only copies into the tensors of the state dict."""
    if torch.__future__.get_swap_module_params_on_conversion():
        return False
    return all(
        all(getattr(cls, name) in own for name, own in _TORCHS_OWN.items())
        for cls in {type(module) for module in target.modules()}
    ) and not any(getattr(module, hooks) for module in target.modules() for hooks in _HOOKS)


def _rehearse(target: Any, match: Match, versions: Any) -> bool:
    """Let the module itself decide about names and shapes that do not fit. Returns False if names decide
    instead, as when it has no hooks for that."""
    hooks = any(
        module._load_state_dict_pre_hooks
        or type(module)._load_from_state_dict is not nn.Module._load_from_state_dict
        for module in target.modules()
    )
    lazy = any(map(nn.parameter.is_lazy, match.here.values()))
    closed = match.mismatched.keys() - match.unfit.keys()
    if not hooks or lazy or closed or torch.__future__.get_swap_module_params_on_conversion():
        return False
    leaves = {**match.given, **match.unfit, **match.unexpected}
    state: Any = OrderedDict(
        (name, torch.empty(leaf.shape, dtype=leaf.dtype, device="meta"))
        for name, leaf in leaves.items()
        if isinstance(leaf, Leaf)
    )
    state._metadata = versions
    try:
        with _Rehearsal():
            found = target.load_state_dict(state, strict=False)
    except Exception:  # the shapes do not fit, or the hooks need values: then the names decide
        return False
    others = [name for name, leaf in match.unexpected.items() if not isinstance(leaf, Leaf)]
    match.accept(found.missing_keys, (*found.unexpected_keys, *others))
    return True


def _pair(node: Any, module: Any, saved: Saved) -> None:
    """Let references to a saved module and to objects in it lead to their counterparts in the target."""
    if type(node) is not Node or node.codec != MODULE:
        return
    saved.stands_for(node, module)
    for name, value in node.state.get("modules", {}).items():
        child = module._modules.get(name)
        if child is not None and type(value) is Node:
            _pair(value, child, saved)
    leaves = Leaves(saved)
    for name, value in node.state.get("parameters", {}).items():
        target = module._parameters.get(name)
        if target is None or type(value) is not Node or value.id is None:
            continue
        if _takes_the_place(leaves.find(value), target):
            saved.stands_for(value, target)


def _takes_the_place(leaf: Leaf | None, target: Any) -> bool:
    """Whether a parameter has the memory layout of the saved one, so that views of that fit it."""
    if leaf is None or not leaf.plain or nn.parameter.is_lazy(target) or target.layout is not torch.strided:
        return False
    stride = tuple(leaf.node.state.get("stride", row_major(leaf.shape)))
    fits = leaf.shape == tuple(target.shape) and leaf.dtype is target.dtype
    return fits and stride == target.stride() and target.storage_offset() == 0
