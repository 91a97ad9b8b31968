"""The state of optimizers, in the dtype in which it goes on, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from saver.families.torch.copying import copy, duplicate
from saver.families.torch.leaves import Leaves
from saver.families.torch.optim_order import SavedOptimizer
from saver.families.torch.storages import NAMES
from saver.restoring import Conversion, Saved, ask
from saver.tree import Value


class Form:
    """In which dtype the state of each parameter goes on: as it was saved, where its parameter is what it
    was; otherwise in that of the parameter, as torch has it."""

    def __init__(self, found: SavedOptimizer, parameters: dict[Any, Any], saved: Saved) -> None:
        self.parameters = parameters
        self._leaves = Leaves(saved)
        leaves = {number: self._leaves.find(value) for number, value in found.tensors.items()}
        self.kept = {
            number
            for number, parameter in parameters.items()
            if saved.exact or ((leaf := leaves.get(number)) and leaf.dtype is parameter.dtype)
        }

    def converted(self, state: dict[Any, dict[str, Value]]) -> Iterable[Conversion]:
        """What torch converts."""
        for number, entry in state.items():
            parameter = self.parameters.get(number)
            if parameter is None or number in self.kept or not parameter.is_floating_point():
                continue
            for name, item in entry.items():
                leaf = self._leaves.find(item) if name != "step" else None
                if leaf is not None and leaf.dtype is not parameter.dtype:
                    here = NAMES.get(parameter.dtype, str(parameter.dtype))
                    yield Conversion(f"state.{number}.{name}", NAMES[leaf.dtype], here)


def loading(
    target: Any, groups: list[Any], state: dict[Any, Any], form: Form, where: str
) -> Callable[[], None]:
    """The function that loads decoded groups and state. It keeps and fills existing tensors of the target."""
    copies: list[tuple[Any, Any]] = []
    parameters = form.parameters
    for group in groups:
        for number in group["params"] if group.get("fused") else ():
            _make_fused(state.get(number, {}), parameters[number], number in form.kept)
    placed: dict[Any, dict[str, Any]] = {}
    for key, entry in state.items():
        parameter = parameters.get(key)
        own = target.state.get(parameter, {}) if parameter is not None else {}
        kept = key in form.kept
        placed[key] = {
            name: _placed(item, own.get(name) if name != "step" else None, parameter, kept, copies)
            for name, item in entry.items()
        }

    def change() -> None:
        for existing, item in copies:
            copy(existing, item)
        ask(where, target.load_state_dict, {"state": placed, "param_groups": groups})
        for key in form.kept & placed.keys():
            _undo_casts(target.state.get(parameters[key], {}), placed[key])

    return change


def _undo_casts(loaded: Any, given: dict[str, Any]) -> None:
    """Give the state the dtype again that it was saved in: torch gives it that of the parameter."""
    for name, item in given.items():
        if name != "step" and name in loaded:
            loaded[name] = _uncast(loaded[name], item)


def _uncast(loaded: Any, item: Any) -> Any:
    if isinstance(loaded, torch.Tensor) and isinstance(item, torch.Tensor):
        return loaded if loaded.dtype is item.dtype else item.to(loaded.device)
    if isinstance(loaded, dict) and isinstance(item, dict):
        return {key: _uncast(value, item.get(key)) for key, value in loaded.items()}
    if type(loaded) in (list, tuple) and type(item) is type(loaded):
        return type(loaded)(map(_uncast, loaded, item))
    return loaded


def _make_fused(entry: dict[str, Any], parameter: Any, kept: bool) -> None:
    """Make the state fit fused kernels, which index it by the parameter's size and layout unchecked."""
    for name, item in entry.items():
        if isinstance(item, torch.Tensor) and name != "step":
            if item.shape != parameter.shape:
                raise ValueError(f"the state {name!r} does not have the shape of its parameter")
            if kept and item.dtype is not parameter.dtype:
                raise ValueError(f"the state {name!r} does not have the dtype of its parameter")
            if item.stride() != parameter.stride():
                entry[name] = torch.empty_like(parameter, dtype=item.dtype, device=item.device).copy_(item)


def _placed(item: Any, existing: Any, parameter: Any, kept: bool, copies: list[tuple[Any, Any]]) -> Any:
    """The value for the state: an existing tensor of the target that will be filled, or a copy."""
    if isinstance(item, (list, tuple)):
        return type(item)(_placed(inner, None, parameter, kept, copies) for inner in item)
    if not isinstance(item, torch.Tensor):
        return item
    if _can_take(existing, item, parameter, kept):
        copies.append((existing, item))
        return existing
    return duplicate(item)


def _can_take(existing: Any, item: Any, parameter: Any, kept: bool) -> bool:
    """Whether `existing` has the very form that the state will have."""
    if not isinstance(existing, torch.Tensor) or existing.shape != item.shape or existing.requires_grad:
        return False
    dtype = parameter.dtype if parameter.is_floating_point() and not kept else item.dtype
    return bool(
        existing.dtype is dtype and existing.device == parameter.device and item.layout is existing.layout
    )
