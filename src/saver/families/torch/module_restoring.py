"""Restores modules by the names in their state dict, from a saved module or state dict."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn
from torch.overrides import TorchFunctionMode

from saver.codec import Decoder
from saver.families.python.restoring import told
from saver.families.torch.restoring import Leaf, Leaves, copy, fit, pair_of, read
from saver.families.torch.state_names import MODULE, SavedState, homes_of, is_extra
from saver.families.torch.storages import row_major
from saver.restoring import Conversion, Mismatch, PartReport, Plan, Restorer, Saved, ask
from saver.restoring.contract import kind
from saver.restoring.naming import suggest
from saver.tree import Node, Value


class _Match:
    """Compares the saved state with the state dict of the target: which names match, and which do not."""

    def __init__(self, state: SavedState, here: Mapping[str, Any], saved: Saved) -> None:
        self.here = here
        self.leaves = Leaves(saved)
        self.given: dict[str, Leaf | Value] = {}
        self.unexpected: dict[str, Leaf | Value] = {}
        self.mismatched: dict[str, Mismatch] = {}
        self.converted: list[Conversion] = []
        self.left_out: list[str] = []
        self.unfit: dict[str, Leaf] = {}
        renamed = self._renamed(state, saved)
        homes = homes_of(renamed, here)
        self.moved = any(old != homes[new] for new, old in renamed.items() if homes[new] is not None)
        for new, old in renamed.items():
            self._place(new, homes[new], state.values[old], old in state.spare)
        self._check_ties()
        self.missing = self._missing()

    def _renamed(self, state: SavedState, saved: Saved) -> dict[str, str]:
        """The saved names, by the names that the caller's `names` gives them."""
        found: dict[str, str] = {}
        for old in state.values:
            new = saved.naming(old)
            if new is None:
                self.left_out.append(old)
            elif new in found:
                saved.refuse(
                    f"`names` gives {new!r} to both {found[new]!r} and {old!r}; leave one out with None"
                )
            else:
                found[new] = old
        return found

    def _place(self, name: str, home: str | None, value: Value, spare: bool) -> None:
        leaf = self.leaves.find(value)
        if home is None or home in self.given or home in self.mismatched:
            if not spare:
                self.unexpected[name] = value if leaf is None else leaf
        elif not isinstance(self.here[home], torch.Tensor) or is_extra(home):
            self.given[home] = value
        elif leaf is None:
            shape = tuple(self.here[home].shape)
            self.mismatched[home] = Mismatch(home, (), shape, f"{told(value)} was saved, not a tensor")
        else:
            self._compare(home, leaf)

    def _compare(self, home: str, leaf: Leaf) -> None:
        target = self.here[home]
        found = None if nn.parameter.is_lazy(target) else fit(home, leaf, target)
        if isinstance(found, Mismatch):
            self.mismatched[home] = found
            if not found.why:
                self.unfit[home] = leaf
            return
        self.given[home] = leaf
        if found is not None:
            self.converted.append(found)

    def _check_ties(self) -> None:
        """Find tensors that have several names in the target, but were saved with different values."""
        first: dict[int, str] = {}
        for name, leaf in list(self.given.items()):
            if not isinstance(leaf, Leaf):
                continue
            other = first.setdefault(id(self.here[name]), name)
            if other != name and not self._same(leaf, self.given[other]):
                del self.given[name]
                why = f"here it is the same tensor as {other}, which was saved with other values"
                self.mismatched[name] = Mismatch(name, leaf.shape, leaf.shape, why)

    def _same(self, leaf: Leaf, other: Any) -> bool:
        """Whether two leaves have the same elements, as far as hashes show."""
        if leaf.node is other.node or not (leaf.plain and other.plain):
            return True
        return self.leaves.hash(leaf) == self.leaves.hash(other)

    def _missing(self) -> list[str]:
        """The names of the target that get nothing, not even under another name of the same tensor."""
        filled = {id(self.here[name]) for name, item in self.given.items() if isinstance(item, Leaf)}
        return [
            name
            for name, tensor in self.here.items()
            if name not in self.given and name not in self.mismatched and id(tensor) not in filled
        ]

    def accept(self, missing: Iterable[str], unexpected: Iterable[str]) -> None:
        """Accept the decision of the module's own hooks about which names fit."""
        refused = set(unexpected)
        taken = {name: item for name, item in self.unexpected.items() if name not in refused}
        self.given.update(taken)
        self.given.update(self.unfit)
        self.unexpected = {name: item for name, item in self.unexpected.items() if name in refused}
        self.mismatched.clear()
        self.missing = [name for name in missing if name not in self.given]

    def report(self, into: str) -> PartReport:
        left = [(name, leaf.shape) for name, leaf in self.unexpected.items() if isinstance(leaf, Leaf)]
        wanted = [(name, _shape(self.here.get(name))) for name in self.missing]
        return PartReport(
            into,
            matched=tuple(self.given),
            missing=tuple(self.missing),
            unexpected=tuple(self.unexpected),
            mismatched=tuple(self.mismatched.values()),
            converted=tuple(self.converted),
            left_out=tuple(self.left_out),
            renaming=suggest(left, wanted),
        )


def _shape(tensor: Any) -> tuple[int, ...] | None:
    known = isinstance(tensor, torch.Tensor) and not nn.parameter.is_lazy(tensor)
    return tuple(tensor.shape) if known else None


class ModuleRestorer(Restorer):
    """Modules, from modules or state dicts: parameters and persistent buffers are copied, by name, into the
    existing ones, by the module's own `load_state_dict` with everything else that it does.

    If a module translates old names when it loads, that is rehearsed first without copying anything.
    """

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, nn.Module)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        where = saved.where
        here = ask(where, target.state_dict, keep_vars=True)
        state = SavedState(value, saved)
        match = _Match(state, here, saved)
        kept = state.is_dict and not match.moved
        versions = state.versions if kept else getattr(here, "_metadata", None)
        plain = _is_plain(target)
        if match.unexpected or match.missing or match.unfit:
            plain = not _rehearse(target, match, versions) and plain
        for item in match.given.values():
            if isinstance(item, Leaf):
                match.leaves.want(item)
            else:
                saved.want(item)
        for name, item in match.given.items():
            if isinstance(item, Leaf) and isinstance(here.get(name), torch.Tensor):
                saved.fills(replace(pair_of(item, here[name], saved), stands=False))
        _pair(saved.follow(value), target, saved)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found: Any = OrderedDict(
                (name, read(item, decoder) if isinstance(item, Leaf) else decoder(item))
                for name, item in match.given.items()
            )
            if plain:
                return lambda: _copy_all(found, here)
            found._metadata = versions
            return lambda: ask(where, target.load_state_dict, found, strict=False)

        return Plan(match.report(kind(target)), ready, may_refuse=not plain)


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


def _rehearse(target: Any, match: _Match, versions: Any) -> bool:
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
