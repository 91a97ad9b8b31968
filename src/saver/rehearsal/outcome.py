"""What came of a rehearsal: decided from what the runs told before the signal and after it."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from saver.rehearsal.reporting import RunEvent


class Ended(msgspec.Struct, frozen=True):
    """How the script ended: how many seconds after the signal, by what, and whether SIGKILL was needed."""

    seconds: float
    status: str
    within_grace: bool


class LastSave(msgspec.Struct, frozen=True):
    """The newest version when it had ended; `seconds` from the signal until it was on disk, negative for one
    that was there before."""

    ref: str
    step: int
    seconds: float


class Resumed(msgspec.Struct, frozen=True):
    """What the second start went on from; `seconds` until it had taken a step, None if none was left."""

    ref: str
    step: int
    seconds: float | None


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Steps are those of the run, the last one finished each time."""

    command: tuple[str, ...]
    run: str
    signal: str
    grace: float
    step_at_signal: int
    noticed_seconds: float | None
    last_step: int
    ended: Ended
    saved: LastSave | None
    resumed: Resumed | None
    steps_lost: int
    problem: str = ""
    """What kept the second start from taking a step."""

    @property
    def good(self) -> bool:
        """Whether it went on after the last step that it had finished."""
        return self.resumed is not None and not self.steps_lost and not self.problem


class Plan(NamedTuple):
    """What was asked for."""

    command: tuple[str, ...]
    number: int
    grace: float
    after: float | None
    saves: int
    patience: float
    group: bool = False


def ready(told: Sequence[RunEvent], plan: Plan) -> str | None:
    """The name of the run that trains, once it is time for the signal."""
    steps = [event for event in told if event.kind == "step"]
    if not steps:
        return None
    run = steps[-1].run
    if plan.after is not None:
        begun = next(event.at for event in steps if event.run == run)
        return run if time.monotonic() >= begun + plan.after else None
    saved = [event.step for event in told if event.kind == "saved" and event.run == run]
    return run if len(saved) >= plan.saves and steps[-1].step > saved[-1] else None


def going_on(told: Sequence[RunEvent], run: str) -> bool | None:
    """Whether it has taken a step, or was left after it had resumed without one: none was left to take."""
    kinds = [event.kind for event in told if event.run == run]
    return True if "step" in kinds or {"resumed", "ended"} <= set(kinds) else None


def outcome(
    plan: Plan,
    run: str,
    first: Sequence[RunEvent],
    sent: float,
    ended: Ended,
    second: Sequence[RunEvent],
    began: float,
    problem: str = "",
) -> Rehearsal:
    """What came of it, from what was told before and after."""
    before = [event for event in first if event.run == run]
    after = [event for event in second if event.run == run]
    steps = [event for event in before if event.kind in ("step", "signal")]
    noticed = next((event.at - sent for event in before if event.kind == "signal"), None)
    last = max(event.step for event in steps)
    saves = [event for event in before if event.kind == "saved"]
    saved = LastSave(saves[-1].ref, saves[-1].step, saves[-1].at - sent) if saves else None
    resumed = resumed_by(after, began)
    return Rehearsal(
        command=plan.command,
        run=run,
        signal=signal.Signals(plan.number).name,
        grace=plan.grace,
        step_at_signal=max((event.step for event in steps if event.at <= sent), default=-1),
        noticed_seconds=noticed,
        last_step=last,
        ended=ended,
        saved=saved,
        resumed=resumed,
        problem=problem,
        steps_lost=max(0, last - (resumed.step if resumed is not None else -1)),
    )


def resumed_by(told: Sequence[RunEvent], began: float) -> Resumed | None:
    """What a start at `began` went on from, as the events of a run tell it; None when it began again."""
    stepped = next((event for event in told if event.kind == "step"), None)
    for event in told:
        if event is stepped:
            break
        if event.kind == "resumed":
            return Resumed(event.ref, event.step, None if stepped is None else stepped.at - began)
    return None


# In words

BEGINNING = "Begin the loop where the run says: `for step in range(run.resume(), ...)`."


def resumed_text(resumed: Resumed) -> str:
    """From what the second start went on, and when it was a step further."""
    text = f"from {resumed.ref}, step {resumed.step:,}"
    if resumed.seconds is None:
        return text
    return f"{text}; a step further {span(resumed.seconds)} after it was started"


def span(seconds: float) -> str:
    """`0.52 s`, `3.2 s`, `140 s`."""
    return f"{seconds:.{0 if seconds >= 10 else 1 if seconds >= 1 else 2}f} s"
