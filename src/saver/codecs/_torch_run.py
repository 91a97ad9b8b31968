"""PyTorch in a training run: its random generators, and when its weights change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from saver.frameworks import Framework, Steps


class TorchFramework(Framework):
    """Optimizers change weights and their own state in `step` alone, and have hooks before it."""

    def random_state(self) -> Any:
        cuda = (
            torch.cuda.get_rng_state_all()
            if torch.cuda.is_available() and torch.cuda.is_initialized()
            else []
        )
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def set_random_state(self, state: Any) -> None:
        torch.set_rng_state(state["cpu"])
        if state["cuda"] and torch.cuda.is_available():
            for device, found in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
                torch.cuda.set_rng_state(found.cpu(), device)

    def steps(self, objects: Iterable[Any]) -> Steps | None:
        optimizers = [obj for obj in objects if isinstance(obj, torch.optim.Optimizer)]
        if not optimizers:
            return None
        addresses = frozenset(
            t.data_ptr() for opt in optimizers for t in _tensors(opt) if t.device.type == "cpu"
        )

        def before(call: Callable[[], None]) -> Callable[[], None]:
            handles = [opt.register_step_pre_hook(lambda *_: call()) for opt in optimizers]

            def undo() -> None:
                for handle in handles:
                    handle.remove()

            return undo

        return Steps(addresses, before)


def _tensors(optimizer: Any) -> Iterator[Any]:
    for group in optimizer.param_groups:
        yield from group["params"]
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, torch.Tensor))
