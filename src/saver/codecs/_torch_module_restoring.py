"""Restoring into modules: by the names of their state dict, whatever it was that was saved."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from saver.codec import Decoder
from saver.codecs._restoring import items, told
from saver.codecs._torch_restoring import Leaf, Leaves, fit, read
from saver.codecs._torch_storages import row_major
from saver.errors import Damaged
from saver.restoring import Conversion, Mismatch, PartReport, Plan, Restorer, Saved, ask
from saver.restoring.contract import kind
from saver.restoring.naming import suggest
from saver.tree import Node, Value

_MODULE = "torch.Module"
_EXTRA = "_extra_state"
"""How torch calls what a module adds to its state dict with `get_extra_state`."""

_WRAPPERS = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
"""Steps that `torch.compile` and other wrappers put into names."""

_STEPS_LIMIT = 1_000_000
"""References can make a small file mean endless names."""

_DEPTH_LIMIT = 200


class SavedState:
    """What a saved module or state dict has, under the names of a state dict.

    `spare` are buffers that were not persistent: of use only to a module in which they are. `metadata` holds
    the versions of the modules' classes, where a state dict was saved with them.
    """

    def __init__(self, value: Value, saved: Saved) -> None:
        self.values: dict[str, Value] = {}
        self.spare: set[str] = set()
        self.metadata: Value = None
        self._saved = saved
        self._steps = 0
        node = saved.follow(value)
        module = type(node) is Node and node.codec == _MODULE
        if not module and items(node, saved) is None:
            saved.refuse(f"{told(node)} was saved, neither a module nor a state dict; take it from `load`")
        if type(node) is Node and node.codec == "stdlib.OrderedDict" and type(node.state) is list:
            self.metadata = node.state[1].get("_metadata") if node.state[2:] == ["attributes"] else None
        self.is_dict = not module
        self._add("", node, 0)

    def _add(self, name: str, value: Value, depth: int) -> None:
        self._steps += 1
        if self._steps > _STEPS_LIMIT or depth > _DEPTH_LIMIT:
            raise Damaged(f"{self._saved.where}: too many names, or too deep within each other")
        node = self._saved.follow(value)
        if type(node) is Node and node.codec == _MODULE:
            self._add_module(name, node.state, depth)
            return
        within = items(node, self._saved) if name.rpartition(".")[2] != _EXTRA else None
        if within is None:
            if name in self.values:
                self._saved.refuse(
                    f"two saved values are both called {name!r}; give the inner dict by itself"
                )
            self.values[name] = node
        for key, item in (within or {}).items():
            self._add(_join(name, str(key)), item, depth + 1)

    def _add_module(self, name: str, state: dict[str, Any], depth: int) -> None:
        for group in ("parameters", "buffers", "modules"):
            for key, item in state.get(group, {}).items():
                if item is not None:
                    self._add(_join(name, key), item, depth + 1)
        self.spare.update(_join(name, key) for key in state.get("non_persistent", ()))


def _join(name: str, step: str) -> str:
    return f"{name}.{step}" if name else step


class _Match:
    """What was saved, against the state dict of the target: what goes where, and what does not."""

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
        homes = _homes(renamed, here)
        self.moved = any(old != homes[new] for new, old in renamed.items() if homes[new] is not None)
        for new, old in renamed.items():
            self._place(new, homes[new], state.values[old], old in state.spare)
        self._check_ties()
        self.missing = self._missing()

    def _renamed(self, state: SavedState, saved: Saved) -> dict[str, str]:
        """The saved names by what the caller wants them called."""
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
        elif not isinstance(self.here[home], torch.Tensor) or home.rpartition(".")[2] == _EXTRA:
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
        """One tensor under several names here must have been saved with one value."""
        first: dict[int, str] = {}
        for name, leaf in list(self.given.items()):
            if not isinstance(leaf, Leaf):
                continue
            other = first.setdefault(id(self.here[name]), name)
            if other != name and not self._same(leaf, self.given[other]):
                del self.given[name]
                why = f"it is {other} as well here, which was saved with other values"
                self.mismatched[name] = Mismatch(name, leaf.shape, leaf.shape, why)

    def _same(self, leaf: Leaf, other: Any) -> bool:
        """Whether two leaves have the same elements, as far as hashes tell."""
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
        """Take the word of the module's own hooks for what fits."""
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


def _homes(names: Iterable[str], here: Mapping[str, Any]) -> dict[str, str | None]:
    """What the target calls each name: the same, or the same but for what wrappers put into names."""
    by_plain = {plain: name for name, plain in _without_wrappers(here).items()}
    plain_names = _without_wrappers(names)
    return {name: name if name in here else by_plain.get(plain_names[name]) for name in names}


def _without_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Names as the module itself has them; `module.` is what DataParallel puts before all."""
    found = {name: ".".join(s for s in name.split(".") if s not in _WRAPPERS) for name in names}
    while found and all(plain.startswith("module.") for plain in found.values()):
        found = {name: plain.removeprefix("module.") for name, plain in found.items()}
    return found


class ModuleRestorer(Restorer):
    """Modules, from modules or state dicts: parameters and persistent buffers are copied, by name, into those
    that are there. The copying is the module's own `load_state_dict`, so what it does besides happens too.

    A module that translates old names when it loads is asked first, in a rehearsal that copies nothing.
    """

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, nn.Module)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        where = saved.where
        here = ask(where, target.state_dict, keep_vars=True)
        state = SavedState(value, saved)
        match = _Match(state, here, saved)
        versions = getattr(here, "_metadata", None)
        plain = _is_plain(target)
        if match.unexpected or match.missing or match.unfit:
            plain = not _rehearse(target, match, versions) and plain
        for item in match.given.values():
            if isinstance(item, Leaf):
                match.leaves.want(item)
            else:
                saved.want(item)
        metadata = state.metadata if not match.moved else None
        saved.want(metadata)
        _pair(saved.follow(value), target, saved)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found: Any = OrderedDict(
                (name, read(item, decoder) if isinstance(item, Leaf) else decoder(item))
                for name, item in match.given.items()
            )
            if plain:
                return lambda: _copy_all(found, here)
            if not state.is_dict or match.moved:
                found._metadata = versions
            elif metadata is not None:
                found._metadata = _versions(decoder(metadata))
            return lambda: ask(where, target.load_state_dict, found, strict=False)

        return Plan(match.report(kind(target)), ready, may_refuse=not plain)


def _copy_all(elements: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """What `load_state_dict` does to a plain module, in a time that does not grow with its number of modules."""
    with torch.no_grad():
        for name, item in elements.items():
            here[name].copy_(item)


def _versions(metadata: Any) -> Any:
    """The versions of classes that a state dict came with, and nothing else that it says to torch."""
    if not isinstance(metadata, dict):
        return None
    return OrderedDict(
        (name, {"version": item["version"]})
        for name, item in metadata.items()
        if isinstance(item, dict) and type(item.get("version")) is int
    )


class _Rehearsal(TorchFunctionMode):  # type: ignore[misc]
    """While it is entered, functions that change a tensor do nothing."""

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
    """Whether loading a state is no more than copying into what the state dict has."""
    if torch.__future__.get_swap_module_params_on_conversion():
        return False
    return all(
        all(getattr(cls, name) in own for name, own in _TORCHS_OWN.items())
        for cls in {type(module) for module in target.modules()}
    ) and not any(getattr(module, hooks) for module in target.modules() for hooks in _HOOKS)


def _rehearse(target: Any, match: _Match, versions: Any) -> bool:
    """Let the module itself say what it would do with names and shapes that do not fit: whether it can do more."""
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
    except Exception:  # the shapes do not fit, or the hooks cannot say without values: names decide
        return False
    others = [name for name, leaf in match.unexpected.items() if not isinstance(leaf, Leaf)]
    match.accept(found.missing_keys, (*found.unexpected_keys, *others))
    return True


def _pair(node: Any, module: Any, saved: Saved) -> None:
    """Let references to a saved module, and to what lies in it, lead to what takes its place."""
    if type(node) is not Node or node.codec != _MODULE:
        return
    saved.stands_for(node, module)
    for name, value in node.state.get("modules", {}).items():
        child = module._modules.get(name)
        if child is not None and type(value) is Node:
            _pair(value, child, saved)
    leaves = Leaves(saved)
    for name, value in node.state.get("parameters", {}).items():
        target = module._parameters.get(name)
        if target is not None and type(value) is Node and _takes_the_place(leaves.find(value), target):
            saved.stands_for(value, target)


def _takes_the_place(leaf: Leaf | None, target: Any) -> bool:
    """Whether a parameter lies in memory as the saved one did, so that views of that are views of this."""
    if leaf is None or not leaf.plain or nn.parameter.is_lazy(target) or target.layout is not torch.strided:
        return False
    stride = tuple(leaf.node.state.get("stride", row_major(leaf.shape)))
    fits = leaf.shape == tuple(target.shape) and leaf.dtype is target.dtype
    return fits and stride == target.stride() and target.storage_offset() == 0
