"""Restores modules exactly: in place, they become what `load` would return, to the last attribute.

Training depends on more than the state dict: annealed rates, `requires_grad`, `training` and non-persistent
buffers are not in it. An exact restore brings all of them back, or its plan reports what does not fit.
"""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from msgspec.structs import replace
from torch import nn

from saver.codec import Decoder, door
from saver.families.python.live_attributes import Attributes, Change
from saver.families.python.restoring import told
from saver.families.torch import modules
from saver.families.torch.distributed import plain_class
from saver.families.torch.leaves import Leaf, Leaves
from saver.families.torch.restoring import fit, pair_of
from saver.families.torch.state_names import MODULE, join
from saver.families.torch.storages import row_major
from saver.restoring import Conversion, Mismatch, Pair, PartReport, Plan, Saved
from saver.restoring.contract import a_kind, kind
from saver.tree import Node, Value


class Becoming:
    """Compares a tree of saved modules with live ones: what is copied where, and what does not fit."""

    def __init__(self, saved: Saved) -> None:
        self.saved = saved
        self.leaves = Leaves(saved)
        self.matched: list[str] = []
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.mismatched: list[Mismatch] = []
        self.pairs: list[Pair] = []
        self.members: list[_Member] = []
        self.may_refuse = False

    def plan(self, node: Node, target: Any) -> Plan:
        """The plan that makes `target` what `node` describes."""
        self.add("", node, target)
        return Plan(self.report(kind(target)), self._ready, may_refuse=self.may_refuse)

    def report(self, into: str) -> PartReport:
        return PartReport(
            into,
            tuple(self.matched),
            tuple(self.missing),
            tuple(self.unexpected),
            tuple(self.mismatched),
        )

    def take(self, name: str, attributes: Attributes) -> None:
        """Record what does not fit among the live objects in a module's attributes."""
        report = attributes.report()
        self.missing += [join(name, key) for key in report.missing]
        self.unexpected += [join(name, key) for key in report.unexpected]
        self.mismatched += [replace(item, name=join(name, item.name)) for item in report.mismatched]
        self.may_refuse |= attributes.may_refuse

    def add(self, name: str, node: Any, module: Any) -> None:
        """Add the module of that name and everything in it."""
        if type(node) is not Node or node.codec != MODULE:
            self.differs(name, f"{told(node)} was saved, here is {a_kind(module)}")
        elif self.saved.known(node, module):
            return
        elif not _is_of_kind(node, module):
            self.differs(name, f"{told(node)} was saved, here is {a_kind(module)}")
        elif not self.saved.becomes(node, module):
            self.differs(name, _SHARED)
        else:
            self.saved.stands_for(node, module)
            self.members.append(_Member(name, node, module, self))

    def differs(self, name: str, why: str, shape: tuple[int, ...] = ()) -> None:
        self.mismatched.append(Mismatch(name or "the module itself", shape, shape, why))

    def parameter(self, name: str, value: Value, target: Any) -> None:
        """Add a parameter. It stays the same object, so optimizers keep it."""
        leaf = self.leaves.find(value)
        if leaf is None:
            self.differs(name, f"{told(self.saved.follow(value))} was saved, not a tensor")
            return
        found = None if nn.parameter.is_lazy(target) else fit(name, leaf, target)
        if nn.parameter.is_lazy(target):
            self.differs(name, "it has no shape yet; run one batch through the module first")
        elif isinstance(found, Mismatch):
            self.mismatched.append(found)
        elif isinstance(found, Conversion):
            self.mismatched.append(found.refused(leaf.shape))
        elif not lies_alike(leaf, target):
            self.differs(name, "its memory layout (strides) is not the saved one", leaf.shape)
        elif not self.saved.becomes(leaf.origin, target):
            self.differs(name, _SHARED, leaf.shape)
        else:
            self._fill(name, leaf, target)

    def _fill(self, name: str, leaf: Leaf, target: Any) -> None:
        """Let a tensor get the saved elements and its other saved state."""
        pair = pair_of(leaf, target, self.saved)
        data, attributes = pair.needs
        if not leaf.plain or target.storage_offset() == 0:  # views of it are views of the target
            self.saved.stands_for(leaf.origin, target)
        self.saved.want(data)
        self.saved.hold(attributes)
        self.saved.fills(pair)
        self.pairs.append(pair)
        self.matched.append(name)

    def buffer(self, name: str, value: Value, target: Any) -> bool:
        """Add a buffer if it can be filled in place. False if it must be replaced, as when it has grown."""
        leaf = self.leaves.find(value)
        if leaf is None or not isinstance(target, torch.Tensor) or nn.parameter.is_lazy(target):
            return False
        if fit(name, leaf, target) is not None or not lies_alike(leaf, target):
            return False
        if not self.saved.becomes(leaf.origin, target):
            return False
        self._fill(name, leaf, target)
        return True

    def _ready(self, decoder: Decoder) -> Change:
        steps = [pair.ready(decoder) for pair in self.pairs]
        futures = [member.future(decoder) for member in self.members]
        steps += [future.change for future in futures]
        check_futures(futures)

        def change() -> None:
            for step in steps:
                step()

        return change


_SHARED = "it is tied to other weights here than when it was saved"


def _is_of_kind(node: Node, module: Any) -> bool:
    """Whether a module has a class of the saved name; a script that is run is called `__main__`."""
    return node.cls is not None and node.cls.partition(":")[2] == plain_class(type(module)).__qualname__


def lies_alike(leaf: Leaf, target: Any) -> bool:
    """Whether the memory layout is the saved one, so that kernels add the elements in the same order."""
    if target.layout is not torch.strided or leaf.layout is not torch.strided:
        return leaf.layout is target.layout
    state = leaf.origin.state
    stride = state.get("stride", row_major(leaf.shape))
    found = zip(stride, target.stride(), leaf.shape, strict=True)
    return target.numel() == 0 or all(old == new for old, new, size in found if size != 1)


class Future(msgspec.Struct, frozen=True):
    """The future attributes and buffers of a module; `change` sets them."""

    module: Any
    attributes: dict[str, Any]
    buffers: dict[str, Any]
    change: Change


class Buffers:
    """Buffers of a module that become the saved ones: filled in place if possible, otherwise replaced."""

    def __init__(self, at: str, module: Any, state: dict[str, Value], tree: Becoming) -> None:
        self._module, self._state = module, state
        self._kept = {
            key: module._buffers[key]
            for key, value in state.items()
            if value is not None and tree.buffer(join(at, key), value, module._buffers.get(key))
        }
        self._replaced = {key: value for key, value in state.items() if key not in self._kept}
        tree.saved.hold(self._replaced)
        self._devices = {
            key: item.device for key, item in module._buffers.items() if isinstance(item, torch.Tensor)
        }

    def ready(self, decoder: Decoder) -> dict[str, Any]:
        """The future buffers, in the order in which they were saved."""
        fresh: dict[str, Any] = {}
        modules.decode_named(type(self._module), self._replaced, torch.Tensor, fresh, decoder)
        for key, item in fresh.items():
            if item is not None and key in self._devices:
                fresh[key] = item.to(self._devices[key])
        return {key: self._kept[key] if key in self._kept else fresh[key] for key in self._state}


class _Member:
    """One module of the tree."""

    def __init__(self, name: str, node: Node, module: Any, tree: Becoming) -> None:
        self.name, self.node, self.module = name, node, module
        state = node.state
        self._non_persistent = set(map(modules.text, state.get("non_persistent", ())))
        for key, value, target in _by_name(state.get("parameters", {}), module._parameters, name, tree):
            tree.parameter(join(name, key), value, target)
        for key, value, target in _by_name(state.get("modules", {}), module._modules, name, tree):
            tree.add(join(name, key), tree.saved.follow(value), target)
        self._buffers = Buffers(name, module, state.get("buffers", {}), tree)
        left_out, examined = modules.not_stored(module), is_checked(module)
        self._attributes = Attributes(
            module, state["attributes"], tree.saved, examined=examined, left_out=left_out
        )
        tree.take(name, self._attributes)

    def future(self, decoder: Decoder) -> Future:
        fresh, change_attributes = self._attributes.ready(decoder)
        buffers, module = self._buffers.ready(decoder), self.module

        def change() -> None:
            change_attributes()
            module._buffers.clear()
            module._buffers.update(buffers)
            module._non_persistent_buffers_set = set(self._non_persistent)
            if isinstance(module, nn.RNNBase):
                modules.list_weights(module)

        return Future(module, fresh, buffers, change)


def _by_name(state: dict[str, Value], here: dict[str, Any], at: str, tree: Becoming) -> Any:
    """The saved and live objects that have the same names."""
    tree.missing += [join(at, key) for key, item in here.items() if item is not None and key not in state]
    for key, value in state.items():
        target = here.get(key)
        if value is not None and target is not None:
            yield key, value, target
        elif value is not None:
            tree.unexpected.append(join(at, key))
        elif target is not None:
            tree.missing.append(join(at, key))


def is_checked(module: Any) -> bool:
    """Whether native code or torch's own code relies on its attributes, so that checks look into them."""
    return any(
        cls is not nn.Module and cls.__module__.partition(".")[0] == "torch" for cls in type(module).__mro__
    )


def check_futures(futures: list[Future]) -> None:
    """Check the modules as they will be, in the way in which loading does, before any of them is changed."""
    whole: dict[int, Any] = {id(future.module): _blank(future) for future in futures}
    for future in futures:
        module = future.module
        scratch = whole[id(module)]
        found = module._modules.items()
        scratch.__dict__["_modules"] = {key: whole.get(id(child), child) for key, child in found}
        if isinstance(module, nn.RNNBase):
            modules.list_weights(scratch)
    for scratch in whole.values():
        modules.check(scratch)


def _blank(future: Future) -> Any:
    module = future.module
    cls = plain_class(type(module))
    scratch: Any = object.__new__(cls)
    own = scratch.__dict__
    own.update(vars(nn.Module()))
    into = door(cls).target(scratch, future.attributes.keys())
    for name, value in future.attributes.items():
        into[name] = value
    own["_parameters"] = dict(module._parameters)
    own["_buffers"] = future.buffers
    return scratch
