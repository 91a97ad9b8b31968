"""The outcome of a rehearsal, decided from the events that the runs reported before and after the signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from saver.rehearsal.reporting import RunEvent


class Ended(msgspec.Struct, frozen=True):
    """How the script ended: the seconds after the signal, its status, and whether it needed no SIGKILL."""

    seconds: float
    status: str
    within_grace: bool


class LastSave(msgspec.Struct, frozen=True):
    """The newest version at the end; `seconds` from the signal until it was on disk, negative if it was on
    disk before the signal. A process that dies may not report its last save: then, until it ended."""

    ref: str
    step: int
    seconds: float


class Resumed(msgspec.Struct, frozen=True):
    """Where the second start resumed; `seconds` until it had taken a step, None if no step was left."""

    ref: str
    step: int
    seconds: float | None


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a rehearsal. Each step is the last one that the run had finished at that point."""

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
    """Why the second start took no step; empty if it took one."""

    @property
    def good(self) -> bool:
        """Whether the second start continued after the last finished step of the first."""
        return self.resumed is not None and not self.steps_lost and not self.problem


class Plan(NamedTuple):
    """The arguments of a rehearsal."""

    command: tuple[str, ...]
    number: int
    grace: float
    after: float | None
    saves: int
    patience: float
    group: bool = False


def ready(events: Sequence[RunEvent], plan: Plan) -> str | None:
    """The name of the run that trains if it is time for the signal, otherwise None."""
    steps = [event for event in events if event.kind == "step"]
    if not steps:
        return None
    run = steps[-1].run
    if plan.after is not None:
        begun = next(event.at for event in steps if event.run == run)
        return run if time.monotonic() >= begun + plan.after else None
    saved = [event.step for event in events if event.kind == "saved" and event.run == run]
    return run if len(saved) >= plan.saves and steps[-1].step > saved[-1] else None


def has_continued(events: Sequence[RunEvent], run: str) -> bool | None:
    """True if it has taken a step, or has resumed and ended because no step was left; None otherwise."""
    kinds = [event.kind for event in events if event.run == run]
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
    """The outcome, from the events of the `first` and the `second` start."""
    before = [event for event in first if event.run == run]
    after = [event for event in second if event.run == run]
    steps = [event for event in before if event.kind in ("step", "signal")]
    noticed = next((event.at - sent for event in before if event.kind == "signal"), None)
    last = max(event.step for event in steps)
    saves = [event for event in before if event.kind == "saved"]
    saved = LastSave(saves[-1].ref, saves[-1].step, saves[-1].at - sent) if saves else None
    resumed = resumed_by(after, began)
    if resumed is not None and (saved is None or saved.step < resumed.step):
        saved = LastSave(resumed.ref, resumed.step, ended.seconds)  # the process died before it reported this
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


def resumed_by(events: Sequence[RunEvent], began: float) -> Resumed | None:
    """Where a start at time `began` resumed, by its events; None if it started from the beginning."""
    stepped = next((event for event in events if event.kind == "step"), None)
    for event in events:
        if event is stepped:
            break
        if event.kind == "resumed":
            return Resumed(event.ref, event.step, None if stepped is None else stepped.at - began)
    return None


# In words

BEGINNING = "Begin the loop at the step that the run returns: `for step in range(run.resume(), ...)`."


def resumed_text(resumed: Resumed) -> str:
    """Where the second start resumed, and how long it took to finish a step."""
    text = f"from {resumed.ref}, step {resumed.step:,}"
    if resumed.seconds is None:
        return text
    return f"{text}; finished a step {span(resumed.seconds)} after its start"


def span(seconds: float) -> str:
    """`0.52 s`, `3.2 s`, `140 s`."""
    return f"{seconds:.{0 if seconds >= 10 else 1 if seconds >= 1 else 2}f} s"
