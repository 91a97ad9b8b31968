"""The parts that a run saves of itself, read from a version that may come from anyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from saver.checkpoints.position import Position
from saver.errors import IncompatibleError, SaverError
from saver.opened import Opened
from saver.random_states import continued
from saver.training_log import TrainingLog

T = TypeVar("T")


def read(opened: Opened, log: str, random: str, run: str) -> tuple[TrainingLog, Position, Callable[[], None]]:
    """The log, the position, and the function that continues the random sequences, from the parts of these
    names. Raises IncompatibleError if no run saved them."""
    own = opened.load((), (log, random, run))
    place = _understood(opened, run, lambda: Position.of_part(own[run]))
    found = _understood(opened, log, lambda: _log_until(place.step, own[log]))
    return found, place, _understood(opened, random, lambda: continued(own[random]))


def _understood(opened: Opened, part: str, read: Callable[[], T]) -> T:
    """What a part of the run itself says. Raises IncompatibleError if no run saved it."""
    try:
        return read()
    except (SaverError, MemoryError):
        raise
    except Exception as error:
        raise IncompatibleError(
            f"{opened.where}: the part {part!r} is not that of a run: {type(error).__name__}: "
            f"{str(error)[:200]}; take the objects from `load`, and give the run another name"
        ) from error


def _log_until(step: int, log: Any) -> TrainingLog:
    if type(log) is not TrainingLog:
        raise ValueError(f"it is a {type(log).__name__}, not a TrainingLog")
    if log.last.get("step", -1) > step:
        raise ValueError(f"its last step is {log.last['step']}, and the version was saved at {step}")
    return log
