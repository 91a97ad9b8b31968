"""The steps that a run reported: which was the last, and what the next one must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saver.checkpoints.position import Position
from saver.errors import CannotSaveError


class Reported:
    """The steps of the run `model` so far."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.last = -1
        """The step that was reported last, or resumed from."""

        self.trained = False
        """Whether a step was finished since the start or the resume."""

        self.previous: int | None = None
        """The step before the one that is being reported, for policies; None if there was none."""

        self.epoch: float | None = None
        """The epoch that was reported last."""

    def check(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Raise CannotSaveError unless this step comes after the last one, and the log has room for the names
        of the metrics."""
        if step <= self.last:
            before = (
                f"step {step} was reported already" if step == self.last else f"step {step} after {self.last}"
            )
            raise CannotSaveError(
                f"{self._model}: {before}; report each step once, in order, with all its metrics (None for "
                "those that it lacks); to go back, create the objects and the run again, and call resume()"
            )
        if "time" in metrics:
            raise CannotSaveError(
                f"{self._model}: time: the log has its own column of this name; use another, such as seconds"
            )

    def resumed(self, position: Position) -> None:
        """Continue after the step of this position."""
        self.last, self.trained = position.step, False
        self.previous, self.epoch = position.step if position.step >= 0 else None, position.epoch

    def finished(self, step: int, epoch: float | None) -> None:
        """The step was logged, and saved if a save was due."""
        self.previous, self.trained = step, True
        self.epoch = epoch if epoch is not None else self.epoch


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics that the log has accepted, as numbers, without those that are None."""
    return {
        name: float(value.item() if hasattr(value, "item") else value)
        for name, value in metrics.items()
        if value is not None
    }
