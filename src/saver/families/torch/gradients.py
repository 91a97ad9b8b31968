"""Gradients that wait for the next step of an optimizer, as between the steps of an accumulation.

Most loops hold gradients at a save that are no longer needed: the optimizer has made its step, and the next
backward pass begins with `zero_grad`. So gradients that an optimizer has stepped with are not saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from saver.codec import Decoder, codec_for, codec_root
from saver.families.python.restoring import items
from saver.families.torch.copying import duplicate
from saver.families.torch.distributed import is_distributed
from saver.families.torch.hooks import AfterStep, takes_hooks
from saver.families.torch.leaves import Leaf, Leaves, read
from saver.families.torch.state_names import unwrapped, without_wrappers
from saver.restoring import Mismatch, PartReport, Plan, Restorer, Saved
from saver.restoring.contract import Target, restorer_for
from saver.tree import Value


def watched(objects: Mapping[str, Any]) -> Callable[[], None]:
    """Record which gradients the optimizers step with, until the returned function is called."""
    found = (obj for _, obj in within(objects))
    optimizers = [obj for obj in found if isinstance(obj, Optimizer) and takes_hooks(obj)]
    handles = [optimizer.register_step_post_hook(AfterStep()) for optimizer in optimizers]

    def undo() -> None:
        for handle in handles:
            handle.remove()

    return undo


def waiting(objects: Mapping[str, Any]) -> dict[str, Any]:
    """The gradients that wait for a step, by the names of their parameters."""
    found = [
        (path, obj) for path, obj in within(objects) if not isinstance(obj, torch.Tensor) or _has_one(obj)
    ]
    hooks = [
        hook
        for _, obj in found
        if isinstance(obj, Optimizer) and takes_hooks(obj)
        for hook in obj._optimizer_step_post_hooks.values()
        if isinstance(hook, AfterStep)
    ]
    return {
        name: parameter.grad
        for name, parameter in _named(found).items()
        if parameter.grad is not None and not any(hook.has_stepped_with(parameter.grad) for hook in hooks)
    }


def _has_one(tensor: torch.Tensor) -> bool:
    return tensor.is_leaf and tensor.grad is not None


@cache
def _is_saved_here(cls: type) -> bool:
    """Whether this family saves the modules of a class. Libraries that build theirs upon those of PyTorch
    clear gradients themselves before each step, and name parameters anew in each process."""
    codec = codec_for(cls)
    return codec is None or codec_root(codec.name) == "torch"


_PLAIN = (str, bytes, int, float, type(None))


def within(objects: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Modules, optimizers and tensors by their paths: among the objects, and in everything that an exact
    restore fills in place."""
    stack, seen = [(str(name), obj) for name, obj in objects.items()][::-1], set[int]()
    restorers: dict[type, Restorer | None] = {}
    while stack:
        path, obj = stack.pop()
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        kind: type = type(obj)
        if isinstance(obj, torch.Tensor):  # holds nothing that is restored in place
            yield path, obj
            continue
        if isinstance(obj, nn.Module) and not _is_saved_here(kind):
            continue
        if isinstance(obj, (nn.Module, Optimizer)):
            yield path, obj
        if kind not in restorers:
            restorers[kind] = restorer_for(kind)
        restorer = restorers[kind]
        found = restorer.within(obj) if restorer is not None else ()
        if isinstance(obj, tuple):
            found = enumerate(obj)
        stack += [(f"{path}.{key}", item) for key, item in found if not isinstance(item, _PLAIN)][::-1]


def parameters(objects: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors that can have gradients, each under one name: that of a module, if one has it."""
    return _named(within(objects))


def _named(found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    unnamed: dict[str, Any] = {}
    for path, obj in found:
        if isinstance(obj, nn.Module):
            own = unwrapped(obj).named_parameters()
            named.update((f"{path}.{without_wrappers(name)}", item) for name, item in own)
        elif isinstance(obj, Optimizer):
            for at, group in enumerate(obj.param_groups):
                unnamed.update((f"{path}.{at}.{number}", item) for number, item in enumerate(group["params"]))
        else:
            named[path] = obj
    named |= unnamed
    first: dict[int, str] = {}
    for name, item in named.items():
        first.setdefault(id(item), name)
    return {name: item for name, item in named.items() if first[id(item)] == name and item.is_leaf}


def forget(objects: Mapping[str, Any]) -> None:
    """Drop all gradients, as new objects have none."""
    for parameter in parameters(objects).values():
        parameter.grad = None


class GradientsTarget(Target):
    """The parameters of a run. They get the saved gradients; those without a saved one get none. Several
    targets share the names that were `saved`. What a rank had `alone` fits no distributed parameter."""

    def __init__(self, objects: Mapping[str, Any], saved: set[str], alone: bool) -> None:
        self._objects, self._saved, self._alone = objects, saved, alone

    def plan(self, value: Value, saved: Saved) -> Plan:
        leaves, here = Leaves(saved), parameters(self._objects)
        found = {str(name): leaves.find(item) for name, item in (items(value, saved) or {}).items()}
        wanted = {name: leaf for name, leaf in found.items() if leaf is not None and name in here}
        mismatched = [*self._mismatched(wanted, here)]
        self._saved |= wanted.keys()
        for name, leaf in wanted.items():
            leaves.want(leaf, here[name])

        def ready(decoder: Decoder) -> Callable[[], None]:
            grads = {name: _owned(read(leaf, decoder, here[name])) for name, leaf in wanted.items()}

            def change() -> None:
                for name, parameter in here.items():
                    if name in grads or name not in self._saved:
                        grad = grads.get(name)
                        parameter.grad = None if grad is None else grad.to(parameter.device)

            return change

        unexpected = tuple(name for name in found if name not in wanted)
        report = PartReport("gradients", tuple(wanted), unexpected=unexpected, mismatched=tuple(mismatched))
        return Plan(report, ready)

    def _mismatched(self, wanted: Mapping[str, Leaf], here: Mapping[str, Any]) -> Iterator[Mismatch]:
        for name, leaf in wanted.items():
            target = here[name]
            if leaf.shape != tuple(target.shape) or leaf.dtype is not target.dtype:
                yield Mismatch(name, leaf.shape, tuple(target.shape))
            elif self._alone and is_distributed(target):
                yield Mismatch(name, leaf.shape, leaf.shape, "of one rank alone, and distributed here")


def _owned(grad: Any) -> Any:
    return duplicate(grad) if grad.layout is torch.strided and not is_distributed(grad) else grad.clone()
