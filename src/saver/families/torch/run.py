"""PyTorch in a training run: its random generators, and when its weights change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from saver.framework import Framework, Steps


class TorchFramework(Framework):
    """Optimizers change weights and their own state only in `step`, and have hooks before it; averages of
    weights are updated after it."""

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

    def set_random_state(self, state: Any) -> None:
        torch.set_rng_state(state["cpu"])
        for name in ("cuda", "xpu", "mps"):
            module = getattr(torch, name)
            if state.get(name) and module.is_available():
                for device, found in zip(range(module.device_count()), state[name], strict=False):
                    module.set_rng_state(found.cpu(), device)

    def steps(self, objects: Iterable[Any]) -> Steps | None:
        optimizers = [obj for obj in objects if isinstance(obj, torch.optim.Optimizer)]
        if not optimizers:
            return None
        modules = [obj for obj in objects if isinstance(obj, torch.nn.Module)]
        addresses = frozenset(tensor.data_ptr() for tensor in _tensors(optimizers, modules))

        def before(call: Callable[[], None]) -> Callable[[], None]:
            handles = [opt.register_step_pre_hook(BeforeStep(call)) for opt in optimizers]

            def undo() -> None:
                for handle in handles:
                    handle.remove()

            return undo

        return Steps(addresses, before)


class BeforeStep:
    """The hook of a run. It is not part of the optimizer, which is saved without it."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __call__(self, *_: Any) -> None:
        self._call()


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


FRAMEWORK = TorchFramework()
