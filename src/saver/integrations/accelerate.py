"""A training run of what `accelerate.Accelerator` has prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.scheduler import AcceleratedScheduler

from saver import Saver
from saver.checkpoints import Checkpoints
from saver.errors import CannotSaveError
from saver.policy import Policy

__all__ = ["checkpoints"]

_SELF = "accelerator"


def checkpoints(
    accelerator: Accelerator,
    store: Saver,
    model: str,
    objects: Mapping[str, Any],
    *,
    every: Policy,
    **arguments: Any,
) -> Checkpoints:
    """A run as `Saver.checkpoints` makes it, of prepared objects:

        net, optimizer, scheduler = accelerator.prepare(net, optimizer, scheduler)
        run = checkpoints(accelerator, store, "tuned", {"model": net, "optimizer": optimizer}, every=every)

    What Accelerate wraps is taken out of its wrappers; beside it, the scaler of gradients is saved, and how
    many batches have been accumulated. Arguments are those of `Saver.checkpoints`. Raises CannotSaveError if
    several processes train.
    """
    if accelerator.num_processes > 1:
        raise CannotSaveError(f"{model}: {accelerator.num_processes} processes train; use one")
    found = {name: _unwrapped(accelerator, obj) for name, obj in objects.items()}
    scaler = getattr(accelerator, "scaler", None)
    own = {"scaler": scaler} if scaler is not None else {}
    for name in (_SELF, *own):
        if name in found:
            raise ValueError(f"{model}: {name!r} is what Accelerate itself is saved as; use another name")
    return store.checkpoints(
        model, {**found, _SELF: _Accumulated(accelerator), **own}, every=every, **arguments
    )


def _unwrapped(accelerator: Accelerator, obj: Any) -> Any:
    if isinstance(obj, AcceleratedOptimizer):
        return obj.optimizer
    if isinstance(obj, AcceleratedScheduler):
        return obj.scheduler
    return accelerator.unwrap_model(obj) if hasattr(obj, "state_dict") and hasattr(obj, "forward") else obj


class _Accumulated:
    """How many batches have gone into the gradients that wait, and whether the next step uses them."""

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._accelerator.step, "sync": self._accelerator.sync_gradients}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._accelerator.step = state["step"]
        self._accelerator.gradient_state._set_sync_gradients(state["sync"])
