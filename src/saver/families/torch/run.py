"""PyTorch in a training run: its random generators, and when its weights change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from msgspec.structs import replace
from torch.optim.lr_scheduler import LRScheduler

from saver.codec import Decoder
from saver.families.python.restoring import items
from saver.families.torch import gradients
from saver.families.torch.beside import Beside, BesideTarget
from saver.families.torch.distributed import is_distributed
from saver.families.torch.generators import continued
from saver.families.torch.holding import held
from saver.families.torch.hooks import BeforeStep, takes_hooks
from saver.families.torch.optim_order import PARAMETER_NAMES
from saver.framework import Framework, Held, Rest, Steps
from saver.restoring import Plan, Saved
from saver.restoring.contract import Target
from saver.restoring.live import Within
from saver.tree import Value


class TorchFramework(Framework):
    """Optimizers change weights and their own state only in `step`, and have hooks before it; averages of
    weights are updated after it. Sparse tensors have no memory of their own that could be named: they are
    copied at once."""

    title = "PyTorch"
    deterministic = "torch.use_deterministic_algorithms(True)"

    def random_state(self) -> Any:
        state: dict[str, Any] = {"cpu": torch.get_rng_state(), "cuda": []}
        for name in ("cuda", "xpu"):
            module = getattr(torch, name)
            if module.is_initialized():
                state[name] = module.get_rng_state_all()
        if torch.backends.mps.is_available():
            state["mps"] = [torch.mps.get_rng_state()]
        return state

    def random_continued(self, state: Any) -> Callable[[], None]:
        if type(state) is not dict or type(state.get("cpu")) is not torch.Tensor:
            raise ValueError("the state of PyTorch's generators is not a dict of tensors")
        changes = [partial(torch.set_rng_state, continued("cpu", state["cpu"]).get_state())]
        for name in ("cuda", "xpu", "mps"):
            module = getattr(torch, name)
            if state.get(name) and module.is_available():
                for device, each in enumerate(state[name][: module.device_count()]):
                    found = continued(f"{name}:{device}", each).get_state()
                    changes.append(partial(module.set_rng_state, found, device))

        def change() -> None:
            for each in changes:
                each()

        return change

    def steps(self, objects: Iterable[Any]) -> Steps | None:
        optimizers = [obj for obj in objects if isinstance(obj, torch.optim.Optimizer)]
        if not optimizers or not all(map(takes_hooks, optimizers)):
            return None
        modules = [obj for obj in objects if isinstance(obj, torch.nn.Module)]
        tensors = _tensors(optimizers, modules)
        addresses = frozenset(tensor.data_ptr() for tensor in tensors if tensor.layout is torch.strided)

        def before(call: Callable[[], None]) -> Callable[[], None]:
            handles = [opt.register_step_pre_hook(BeforeStep(call)) for opt in optimizers]

            def undo() -> None:
                for handle in handles:
                    handle.remove()

            return undo

        return Steps(addresses, before)

    def rest(self, objects: Mapping[str, Any], by_state: Collection[str]) -> Rest:
        beside = {
            name: Beside(objects[name])
            for name in by_state
            if isinstance(objects[name], (torch.nn.Module, torch.optim.Optimizer))
        }
        waiting = gradients.waiting(objects)
        own = {name: grad for name, grad in waiting.items() if not is_distributed(grad)}
        state = {
            _BESIDE: {name: each.state() for name, each in beside.items()},
            _GRADIENTS: {name: grad for name, grad in waiting.items() if name not in own},
        }
        lost = (f"{name}.{path}" for name, each in beside.items() for path in each.lost())
        state = {key: found for key, found in state.items() if found}
        unnamed = tuple(name for name in by_state if _goes_by_position(objects[name]))
        return Rest(
            state, frozenset(beside), tuple(lost), tuple(_absent(objects)), unnamed,
            {_GRADIENTS: own} if own else {},
        )  # fmt: skip

    def targets(self, objects: Mapping[str, Any]) -> tuple[Any, Any]:
        saved = set[str]()
        return _RestTarget(objects, saved, False), _RestTarget(objects, saved, True)

    def forget(self, objects: Mapping[str, Any]) -> None:
        gradients.forget(objects)

    def held(self, obj: Any) -> Held | None:
        return held(obj)

    def watch(self, objects: Mapping[str, Any]) -> Callable[[], None]:
        return gradients.watched(objects)


def _tensors(optimizers: Iterable[Any], modules: Iterable[Any]) -> Iterator[Any]:
    """The tensors that change only in steps, or only after them. The latter are parameters that no optimizer
    has: frozen ones, averages. Buffers are not among them, since they change in the forward pass."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            yield from group["params"]
        for state in optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, torch.Tensor))
    for module in modules:
        yield from module.parameters()


def _goes_by_position(obj: Any) -> bool:
    """Whether the state dict of an optimizer of several parameters has no names for them."""
    groups = obj.param_groups if isinstance(obj, torch.optim.Optimizer) else []
    several = sum(len(group["params"]) for group in groups) > 1
    return several and not all(PARAMETER_NAMES in group for group in groups)


def _absent(objects: Mapping[str, Any]) -> Iterator[str]:
    """The optimizers that schedulers steer and that are not among the objects."""
    schedulers = {name: obj for name, obj in objects.items() if isinstance(obj, LRScheduler)}
    if not schedulers:  # a large model holds many items
        return
    own = {id(item) for obj in objects.values() for item in _with_items(obj)}
    for name, obj in schedulers.items():
        if id(getattr(obj, "optimizer", obj)) not in own:
            yield f"{name}.optimizer"


def _with_items(obj: Any, levels: int = 3) -> Iterator[Any]:
    """An object and what it holds, as a trainer holds its optimizer; but not what schedulers hold."""
    yield obj
    if levels and not isinstance(obj, LRScheduler):
        held = obj.values() if isinstance(obj, dict) else getattr(obj, "__dict__", {}).values()
        for item in obj if isinstance(obj, (list, tuple)) else held:
            yield from _with_items(item, levels - 1)


_BESIDE, _GRADIENTS = "beside", "gradients"


class _RestTarget(Target):
    """The live objects that what was saved beside them goes into."""

    def __init__(self, objects: Mapping[str, Any], saved: set[str], alone: bool) -> None:
        self._objects = objects
        self._gradients = gradients.GradientsTarget(objects, saved, alone)

    def plan(self, value: Value, saved: Saved) -> Plan:
        found = items(value, saved) or {}
        beside = items(found.get(_BESIDE), saved) or {}
        targets = {
            name: BesideTarget(Beside(obj))
            for name, obj in self._objects.items()
            if name in beside and isinstance(obj, (torch.nn.Module, torch.optim.Optimizer))
        }
        within = Within(targets, beside, saved)
        grads = saved.plan(found.get(_GRADIENTS), self._gradients)

        def ready(decoder: Decoder) -> Callable[[], None]:
            steps = [*within.ready(decoder), *([grads.ready(decoder)] if grads.ready is not None else [])]

            def change() -> None:
                for step in steps:
                    step()

            return change

        report, rest = within.report("rest", ()), grads.report
        merged = replace(
            report,
            missing=(*report.missing, *rest.missing),
            unexpected=(*report.unexpected, *rest.unexpected),
            mismatched=(*report.mismatched, *rest.mismatched),
        )
        return Plan(merged, ready)


FRAMEWORK = TorchFramework()
