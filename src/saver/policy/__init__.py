"""When a training run saves itself, and which of its versions are kept.

    every = Every(steps=1000) | Every(minutes=10) | OnSignal()
    keep = Keep(last=3) | Keep(best=2, by="val_loss") | Keep(every=10_000)

Policies are plain values that only decide: they read no clock and no disk and have no state, so the same
arguments always give the same decision. All that they know is in a `Moment` and in `Checkpoint`s. `a | b`
saves if either would and keeps what either would; the order does not matter. Their `repr` is the code that
creates them.
"""

from __future__ import annotations

from saver.direction import Mode
from saver.policy.contract import Checkpoint, Moment, Policy, Retention, widened
from saver.policy.keeping import Keep, doomed
from saver.policy.saving import Every, OnSignal

__all__ = [
    "Checkpoint",
    "Every",
    "Keep",
    "Mode",
    "Moment",
    "OnSignal",
    "Policy",
    "Retention",
    "doomed",
    "widened",
]
