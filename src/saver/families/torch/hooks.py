"""The hooks of a run in optimizers. They are not part of the optimizer, which is saved without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.weak import TensorWeakRef


def takes_hooks(optimizer: Any) -> bool:
    """Whether an optimizer has hooks: one that wraps another need not call the `__init__` that makes them."""
    return "_optimizer_step_pre_hooks" in vars(optimizer)


class BeforeStep:
    """Calls a function before each step."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __call__(self, *_: Any) -> None:
        self._call()


class AfterStep:
    """Notices which gradients an optimizer has stepped with."""

    def __init__(self) -> None:
        self._stepped: dict[int, tuple[Any, int]] = {}

    def __call__(self, optimizer: Any, *_: Any) -> None:
        found = (parameter.grad for group in optimizer.param_groups for parameter in group["params"])
        self._stepped = {id(grad): (TensorWeakRef(grad), grad._version) for grad in found if grad is not None}

    def has_stepped_with(self, grad: Any) -> bool:
        """Whether the gradient is the very one, and nothing was added to it since."""
        reference, version = self._stepped.get(id(grad), (None, 0))
        return reference is not None and reference() is grad and grad._version == version
