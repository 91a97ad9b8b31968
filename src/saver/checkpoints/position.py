"""Where in the training a version was saved: the part `run` of the versions of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import msgspec

from saver.training_log.content import STEP_LIMIT


class Position(msgspec.Struct, frozen=True):
    """Where in the training a version was saved, and why; `ranges` is as in a `Moment`."""

    step: int
    epoch: float | None
    reason: str
    ranges: Mapping[str, tuple[float, float]]

    def as_part(self) -> dict[str, Any]:
        """The content of the part `run`."""
        ranges = {name: list(both) for name, both in self.ranges.items()}
        return {"step": self.step, "epoch": self.epoch, "reason": self.reason, "ranges": ranges}

    @classmethod
    def of_part(cls, part: Any) -> Position:
        """The position from the content of that part, which comes from a file. Raises ValueError if no run
        saved this."""
        if type(part) is not dict or not part.keys() >= {"step", "epoch", "reason", "ranges"}:
            raise ValueError("it does not consist of step, epoch, reason and ranges")
        step, reason, ranges = part["step"], part["reason"], part["ranges"]
        epoch: Any = part["epoch"]
        if type(step) is not int or not -1 <= step < STEP_LIMIT:
            raise ValueError("its step is not a number of a step")
        if epoch is not None and not (isinstance(epoch, Real) and 0 <= float(epoch) < math.inf):
            raise ValueError("its epoch is not a number of an epoch")
        if type(reason) is not str or type(ranges) is not dict:
            raise ValueError("its reason is not a text, or its ranges have no names")
        return cls(step, part["epoch"], reason, {_name(name): _range(both) for name, both in ranges.items()})


def _name(name: Any) -> str:
    if type(name) is not str:
        raise ValueError("a range has no name")
    return name


def _range(both: Any) -> tuple[float, float]:
    if type(both) is not list or list(map(type, both)) != [float, float]:
        raise ValueError("a range does not consist of two numbers")
    return both[0], both[1]
