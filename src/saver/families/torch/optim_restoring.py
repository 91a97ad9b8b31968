"""Restores optimizers by the position of parameters, through torch's `load_state_dict`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from saver.codec import Decoder
from saver.families.python.restoring import elements, items, told
from saver.families.torch.restoring import Leaf, Leaves, copy, duplicate
from saver.restoring import Mismatch, PartReport, Plan, Restorer, Saved, ask
from saver.restoring.contract import kind
from saver.tree import Node, Reference, Value

_OPTIMIZER = "torch.Optimizer"

_LIKE_THE_PARAMETER = frozenset(
    (
        "acc_delta", "ax", "eta", "exp_avg", "exp_avg_sq", "exp_inf", "grad_avg", "max_exp_avg_sq",
        "momentum_buffer", "mu_product", "prev", "square_avg", "step_size", "sum",
    )
)  # fmt: skip
"""State of torch's optimizers that has the shape of its parameter if it is a tensor with axes."""

_ADDED_LATER = frozenset(
    (
        "amsgrad", "capturable", "centered", "decoupled_weight_decay", "differentiable", "foreach", "fused",
        "initial_lr", "maximize", "momentum", "nesterov",
    )
)  # fmt: skip
"""Options that torch adds to the state of an older torch."""


def is_same_class(node: Node, target: Any, above: type) -> bool:
    """Whether a saved object has the target's class, or a base of it that is a subclass of `above`."""
    family = (cls for cls in type(target).__mro__ if issubclass(cls, above) and cls is not above)
    return any(node.cls == f"{cls.__module__}:{cls.__qualname__}" for cls in family)


class _SavedOptimizer:
    """Parameter groups and state of a saved optimizer or state dict.

    `groups` are the options of each group, `numbers` the numbers of its parameters; `state` is by number.
    `places` is the position of the parameters among the options of each group, which a state dict lacks.
    """

    def __init__(self, node: Any, target: Any, saved: Saved) -> None:
        self._saved = saved
        self.groups: list[dict[str, Value]] = []
        self.numbers: list[list[Any]] = []
        self.state: dict[Any, Value] = {}
        self.places = [list(group).index("params") for group in target.param_groups]
        if type(node) is Node and node.codec == _OPTIMIZER:
            if not is_same_class(node, target, Optimizer):
                saved.refuse(f"{told(node)} was saved, not a {kind(target)}; take it from `load`")
            self._take_object(node.state)
            return
        found = items(node, saved) or {}
        if not found.keys() >= {"state", "param_groups"}:
            saved.refuse(f"{told(node)} was saved, neither an optimizer nor its state dict")
        for group in self._groups(found["param_groups"]):
            numbers = elements(group["params"], saved)
            self._add(group, numbers if numbers is not None else _wrong("parameter numbers"))
        state = items(found["state"], saved)
        self.state = state if state is not None else _wrong("the state of an optimizer")

    def _groups(self, value: Value) -> Iterable[dict[str, Value]]:
        for group in elements(value, self._saved) or ():
            yield items(group, self._saved) or _wrong("a parameter group")

    def _add(self, group: dict[str, Value], numbers: list[Any]) -> None:
        self.groups.append({str(name): option for name, option in group.items() if name != "params"})
        self.numbers.append(numbers)

    def _take_object(self, state: Any) -> None:
        """Number the parameters as the optimizer's own `state_dict` does."""
        known: dict[Any, int] = {}
        self.places = []
        for group in self._groups(state["param_groups"]):
            listed = elements(group["params"], self._saved)
            self.places.append(list(group).index("params"))
            keys = [
                self._identity(value) for value in (listed if listed is not None else _wrong("parameters"))
            ]
            self._add(group, [known.setdefault(key, len(known)) for key in keys])
        for key, value in state["state"]:
            if isinstance(key, (Node, Reference)):
                number = known.get(self._identity(key))
                if number is not None:
                    self.state[number] = value
            else:
                self.state[key] = value

    def _identity(self, value: Value) -> Any:
        return id(self._saved.follow(value))


def _wrong(what: str) -> Any:
    raise ValueError(f"{what} does not have the form that torch gives it")


class OptimizerRestorer(Restorer):
    """Optimizers, by the position of parameters in their groups, as torch does. State is copied into existing
    tensors where the target has them."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, Optimizer)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, where = saved.follow(value), saved.where
        found = _SavedOptimizer(node, target, saved)
        lengths = tuple(map(len, found.numbers))
        here = tuple(len(group["params"]) for group in target.param_groups)
        if lengths != here:
            why = f"saved {_counted(lengths)}, here {_counted(here)}"
            mismatch = Mismatch("param_groups", lengths, here, why)
            return Plan(PartReport(kind(target), mismatched=(mismatch,)))
        lost = [
            sorted(_lost(own, group)) for own, group in zip(target.param_groups, found.groups, strict=True)
        ]
        missing = tuple(f"param_groups.{at}.{name}" for at, names in enumerate(lost) for name in names)
        parameters = _by_number(found.numbers, target)
        mismatched, state = _fitting(found.state, parameters, saved)
        if type(node) is Node:
            saved.stands_for(node, target)
        saved.want(*found.groups, *state.values())
        matched = (*(f"param_groups.{at}" for at in range(len(here))), *(f"state.{key}" for key in state))
        report = PartReport(kind(target), matched, missing, mismatched=mismatched)
        if missing:
            return Plan(report)

        def ready(decoder: Decoder) -> Callable[[], None]:
            groups = [
                {**{name: decoder(option) for name, option in group.items()}, "params": list(numbers)}
                for group, numbers in zip(found.groups, found.numbers, strict=True)
            ]
            entries = {
                key: {name: decoder(item) for name, item in entry.items()} for key, entry in state.items()
            }
            load = _loading(target, groups, entries, parameters, where)

            def change() -> None:
                load()
                for group, place in zip(target.param_groups, found.places, strict=True):
                    _put_parameters(group, place)

            return change

        return Plan(report, ready, may_refuse=True)


def _put_parameters(group: dict[str, Any], place: int) -> None:
    """Move the parameters back among the options, since torch loads them behind those, so that the order is
    the saved one."""
    found = list(group.items())
    (own,) = (item for item in found if item[0] == "params")
    found.remove(own)
    group.clear()
    group.update([*found[:place], own, *found[place:]])


def _counted(lengths: tuple[int, ...]) -> str:
    groups = "1 group" if len(lengths) == 1 else f"{len(lengths)} groups"
    return f"{groups} of {' + '.join(map(str, lengths))} parameters"


def _lost(own: dict[str, Any], group: dict[str, Value]) -> set[str]:
    """Options of the target that the saved group does not have, since it is of another optimizer."""
    return own.keys() - group.keys() - _ADDED_LATER - {"params", "param_names"}


def _by_number(numbers: list[list[Any]], target: Any) -> dict[Any, Any]:
    return {
        number: parameter
        for listed, group in zip(numbers, target.param_groups, strict=True)
        for number, parameter in zip(listed, group["params"], strict=True)
    }


def _fitting(
    state: dict[Any, Value], parameters: dict[Any, Any], saved: Saved
) -> tuple[tuple[Mismatch, ...], dict[Any, dict[str, Value]]]:
    """The state that does not have the shape of its parameter, and the state that does."""
    leaves = Leaves(saved)
    mismatched: list[Mismatch] = []
    fitting: dict[Any, dict[str, Value]] = {}
    for key, value in state.items():
        entry = items(value, saved)
        if entry is None:
            raise ValueError("the state of a parameter is not a dict")
        unfit = [
            Mismatch(f"state.{key}.{name}", leaf.shape, tuple(parameters[key].shape))
            for name, item in entry.items()
            if key in parameters
            and name in _LIKE_THE_PARAMETER
            and isinstance(leaf := leaves.find(item), Leaf)
            and leaf.shape not in ((), tuple(parameters[key].shape))
        ]
        mismatched += unfit
        if not unfit:
            fitting[key] = entry
    return tuple(mismatched), fitting


def _loading(
    target: Any, groups: list[Any], state: dict[Any, Any], parameters: dict[Any, Any], where: str
) -> Callable[[], None]:
    """The function that loads decoded groups and state. It keeps and fills existing tensors of the target."""
    copies: list[tuple[Any, Any]] = []
    for group in groups:
        for number in group["params"] if group.get("fused") else ():
            _make_fused(state.get(number, {}), parameters[number])
    placed = {}
    for key, entry in state.items():
        parameter = parameters.get(key)
        own = target.state.get(parameter, {}) if parameter is not None else {}
        placed[key] = {
            name: _placed(item, own.get(name) if name != "step" else None, parameter, copies)
            for name, item in entry.items()
        }

    def change() -> None:
        for existing, item in copies:
            copy(existing, item)
        ask(where, target.load_state_dict, {"state": placed, "param_groups": groups})

    return change


def _make_fused(entry: dict[str, Any], parameter: Any) -> None:
    """Make the state fit fused kernels, which index it by the parameter's size and layout unchecked."""
    for name, item in entry.items():
        if isinstance(item, torch.Tensor) and name != "step":
            if item.shape != parameter.shape:
                raise ValueError(f"the state {name!r} does not have the shape of its parameter")
            if item.stride() != parameter.stride():
                entry[name] = torch.empty_like(parameter, dtype=item.dtype, device=item.device).copy_(item)


def _placed(item: Any, existing: Any, parameter: Any, copies: list[tuple[Any, Any]]) -> Any:
    """The value for the state: an existing tensor of the target that will be filled, or a copy."""
    if isinstance(item, (list, tuple)):
        return type(item)(_placed(inner, None, parameter, copies) for inner in item)
    if not isinstance(item, torch.Tensor):
        return item
    if _can_take(existing, item, parameter):
        copies.append((existing, item))
        return existing
    return duplicate(item)


def _can_take(existing: Any, item: Any, parameter: Any) -> bool:
    """Whether torch would create a tensor of exactly the form that `existing` has."""
    if not isinstance(existing, torch.Tensor) or existing.shape != item.shape or existing.requires_grad:
        return False
    dtype = parameter.dtype if parameter.is_floating_point() else item.dtype
    return bool(
        existing.dtype is dtype and existing.device == parameter.device and item.layout is existing.layout
    )
