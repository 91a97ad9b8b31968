"""The status line of a run: step, rate, what was saved, when the next save is due."""

from __future__ import annotations

import math

import msgspec

from saver.line import INTERVAL
from saver.page import Said
from saver.repo.version import Version

MEMORY = 5.0
"""Seconds after which a measurement of the rate has about a third (1/e) of its weight."""

SMOOTHING = 0.3
"""Weight of the newest measurement in the cost of a save."""


class Progress(Said, msgspec.Struct):
    """The progress of a run. `blocked_seconds` is the total time for which saving has stopped training."""

    step: int = -1
    steps_per_second: float = 0.0
    saved: Version | None = None
    skipped: int = 0
    blocked_seconds: float = 0.0
    saves: int = 0
    staging_bytes: int = 0
    """Memory that is kept for snapshots."""

    def _line(self) -> str:
        saved = f"saved {self.saved}" if self.saved is not None else "not saved yet"
        stopped = f"{self.saves:,} saves stopped training for {self.blocked_seconds:.3g} s"
        return ", ".join(
            filter(None, (f"step {self.step:,}", rate_text(self.steps_per_second), saved, stopped))
        )


class Cost:
    """How many seconds a save stops training, in the call that begins it and later: an average over saves,
    in which the newest has the weight `SMOOTHING`. None before the first.
    """

    def __init__(self) -> None:
        self._before: float | None = None
        self._newest: float | None = None

    def begin(self) -> None:
        """What is added from now on belongs to another save."""
        self._before, self._newest = self(), None

    def add(self, seconds: float) -> None:
        self._newest = (self._newest or 0.0) + seconds

    def __call__(self) -> float | None:
        if self._before is None or self._newest is None:
            return self._before if self._newest is None else self._newest
        return (1 - SMOOTHING) * self._before + SMOOTHING * self._newest


class Pace:
    """How fast steps follow each other: an average that decays with `MEMORY`."""

    __slots__ = ("_rate", "_since", "_step")

    def __init__(self) -> None:
        self._since, self._step, self._rate = 0.0, -1, 0.0

    def __call__(self, step: int, now: float) -> float:
        """Steps per second, given that `step` is finished at time `now`; 0 while unknown."""
        passed = now - self._since
        if passed < INTERVAL:
            return self._rate
        if self._step >= 0 and step > self._step:
            newest = (step - self._step) / passed
            self._rate += (newest - self._rate) * (1 - math.exp(-passed / MEMORY) if self._rate else 1)
        self._since, self._step = now, step
        return self._rate


def status(
    model: str, progress: Progress, total: int | None, next_due: str | None, kept: int, now: float
) -> tuple[str, ...]:
    """The pieces of the line, most important first. `now` is Unix time."""
    done = progress.step + 1
    saved = progress.saved
    return (
        f"{model}: step {done:,}" + ("" if total is None else f"/{total:,}"),
        rate_text(progress.steps_per_second),
        f"saved @{saved.number} {ago(now - saved.time)}, {kept} kept"
        if saved is not None
        else "not saved yet",
        f"next {next_due}" if next_due is not None and (total is None or done < total) else "",
    )


def rate_text(rate: float) -> str:
    """`12.3/s`, or `4.5 s/step` for slow steps; empty for 0."""
    if rate < 1:
        return f"{1 / rate:.3g} s/step" if rate > 0 else ""
    return f"{rate:.3g}/s" if rate < 1000 else f"{rate:,.0f}/s"


def ago(seconds: float) -> str:
    """How long ago something was: `8 s ago`."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{int(seconds / unit)} {name} ago"
    return f"{int(max(0.0, seconds))} s ago"
