"""What the learning-rate schedulers of PyTorch hold: a file may put anything there."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from saver.errors import with_article

_HELD: dict[str, type] = {"optimizer": Optimizer, "milestones": Counter} | dict.fromkeys(
    ("_last_lr", "_milestones", "_schedule_phases", "_schedulers", "base_lrs", "base_momentums", "lr_lambdas",
     "max_lrs", "max_momentums", "min_lrs"), list
)  # fmt: skip


def check_held(scheduler: Any) -> None:
    """Raise ValueError unless a scheduler of PyTorch holds what its class does; those of the user's own may
    hold anything."""
    if not type(scheduler).__module__.startswith("torch.optim."):
        return
    own, name_of_it = vars(scheduler), type(scheduler).__name__
    for name, cls in _HELD.items():
        if name in own and not isinstance(own[name], cls):
            raise ValueError(f"{name} of a {name_of_it} is not {with_article(cls.__name__)}")
    if not all(isinstance(each, LRScheduler) for each in own.get("_schedulers", ())):
        raise ValueError(f"_schedulers of a {name_of_it} holds what is not a scheduler")
