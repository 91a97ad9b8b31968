"""When to save: `Every` and `OnSignal`."""

from __future__ import annotations

import math
import operator
import signal
from collections.abc import Iterable, Sequence
from typing import overload

from saver.direction import Mode
from saver.policy.arguments import metric, mode_of, number, one_of, plain, whole
from saver.policy.contract import Checkpoint, Moment, Policy

LEAST_SECONDS = 10.0
"""The shortest interval that `Every(overhead=...)` chooses, and how long it waits before its first save:
the first steps are slower than later ones (compilation, caches, autotuning)."""

DEFAULT_SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGUSR1", "SIGBREAK") if name in signal.Signals.__members__
)
"""The signals that schedulers send before SIGKILL: nearly all send SIGTERM; for Slurm, SIGUSR1 is usual.
Windows sends SIGBREAK before it closes a console."""


@overload
def Every(*, steps: int) -> Policy: ...
@overload
def Every(*, minutes: float) -> Policy: ...
@overload
def Every(*, epochs: int) -> Policy: ...
@overload
def Every(*, improvement: str, mode: Mode | None = None) -> Policy: ...
@overload
def Every(*, overhead: float) -> Policy: ...
def Every(
    *,
    steps: int | None = None,
    minutes: float | None = None,
    epochs: int | None = None,
    improvement: str | None = None,
    overhead: float | None = None,
    mode: Mode | None = None,
) -> Policy:
    """Save at regular intervals. Takes one of these arguments; join several policies with `|`:

    `steps`: whenever that many more steps are finished, counted from the start of training. Not every step
    needs to be reported, and a resume does not shift the count.

    `minutes`: that long after the last save began.

    `epochs`: whenever that many more epochs are finished, according to `step(epoch=...)`: in the first call
    that names the next epoch or, for calls at the end of an epoch, the number of finished ones.

    `improvement`: whenever this metric is better than in every save before. Its name tells which way is
    better (`auc`, `val_loss`; as in docs/finding.md), or else `mode="max"` or `mode="min"` does. Calls
    without the metric, or with nan or an infinity, never save.

    `overhead`: as often as possible while saving stops training for at most this share of the time, 0.01
    for 1 %. The cost of a save is measured, so the interval follows it: the idea of CheckFreq (Mohan,
    Phanishayee and Chidambaram, FAST 2021). It is never below 10 seconds. It bounds neither what a crash
    loses (add `Every(minutes=...)`) nor the resources that writing in the background takes.

    Raises TypeError or ValueError; the message says what to write instead.
    """
    given = {
        "steps": steps, "minutes": minutes, "epochs": epochs, "improvement": improvement,
        "overhead": overhead,
    }  # fmt: skip
    name = one_of("Every", "Every(steps=1000) | Every(minutes=10)", given)
    if mode is not None and improvement is None:
        raise TypeError(f"Every({name}=..., mode={mode!r}): mode belongs to improvement; leave it out")
    if name == "steps":
        return Steps(whole("Every", name, steps, 1000))
    if name == "minutes":
        return Minutes(number("Every", name, minutes, math.inf, "write a number above 0, as in minutes=10"))
    if name == "epochs":
        return Epochs(whole("Every", name, epochs, 1))
    if name == "improvement":
        watched = metric("Every", name, improvement)
        return Improvement(watched, mode_of(f"Every({name}={watched!r})", watched, mode))
    share = "overhead is a share of the time between 0 and 1; write 0.01 for 1 %"
    return Overhead(number("Every", name, overhead, 1.0, share))


def OnSignal(*signals: int | str) -> Policy:
    """Save when one of these signals arrives: SIGTERM and SIGUSR1 (on Windows SIGTERM and SIGBREAK), unless
    you name others, by number or name (`OnSignal("SIGTERM", "SIGINT")` saves on Ctrl-C, too).

    Raises TypeError or ValueError if one is not a signal, or cannot be caught.
    """
    return Signals(tuple(sorted({_signal(each) for each in signals or DEFAULT_SIGNALS})))


class Steps(Policy, frozen=True):
    """`Every(steps=...)`: due when a multiple of this many steps was reached or passed."""

    steps: int

    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        before = 0 if moment.previous is None else moment.previous + 1
        crossed = (moment.step + 1) // self.steps > before // self.steps
        return f"every {_count(self.steps, 'step')}" if crossed else None

    @property
    def certain(self) -> bool:
        return True

    def foreseen(self, moment: Moment) -> bool:
        return self.due(moment, ()) is not None

    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        left = self.steps - (moment.step + 1) % self.steps
        return f"in {left:,} {'step' if left == 1 else 'steps'}"

    def __repr__(self) -> str:
        return f"Every(steps={self.steps})"


class Minutes(Policy, frozen=True):
    """`Every(minutes=...)`: due this long after the last save began."""

    minutes: float

    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        return f"every {_span(self.minutes * 60)}" if moment.since >= self.minutes * 60 else None

    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        return _in(self.minutes * 60 - moment.since)

    def __repr__(self) -> str:
        return f"Every(minutes={plain(self.minutes)})"


class Epochs(Policy, frozen=True):
    """`Every(epochs=...)`: due when a multiple of this many epochs was reached or passed."""

    epochs: int

    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        before = self._before(moment, saved)
        if moment.epoch is None or before is None:
            return None
        crossed = moment.epoch // self.epochs > before // self.epochs
        return f"every {_count(self.epochs, 'epoch')}" if crossed else None

    def foreseen(self, moment: Moment) -> bool:
        epoch, before = moment.epoch, moment.previous_epoch
        return epoch is not None and (before is None or epoch // self.epochs > before // self.epochs)

    def _before(self, moment: Moment, saved: Sequence[Checkpoint]) -> float | None:
        """How many epochs were finished before this call; None if that was not recorded."""
        if moment.previous_epoch is not None:
            return moment.previous_epoch
        known = (version.epoch for version in reversed(saved) if version.epoch is not None)
        return next(known, None if saved else 0)

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset({"epoch"})

    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        if moment.epoch is None or not math.isfinite(moment.epoch):
            return "when step(epoch=...) says so"
        left = self.epochs - math.floor(moment.epoch) % self.epochs
        return f"in {left:,} {'epoch' if left == 1 else 'epochs'}"

    def __repr__(self) -> str:
        return f"Every(epochs={self.epochs})"


class Improvement(Policy, frozen=True):
    """`Every(improvement=...)`: due when a metric is better than in every save before."""

    metric: str
    mode: Mode

    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        value = moment.metrics.get(self.metric, math.nan)
        if not math.isfinite(value):
            return None
        best = self._best(moment, saved)
        if best is not None and not (value < best if self.mode == "min" else value > best):
            return None
        return f"{self.metric} {value:.6g}, best so far"

    def foreseen(self, moment: Moment) -> bool:
        return self.metric in moment.metrics

    def _best(self, moment: Moment, saved: Sequence[Checkpoint]) -> float | None:
        """The best of all earlier saves, including dropped ones if the moment knows them."""
        found = [version.metrics.get(self.metric, math.nan) for version in saved]
        found += moment.ranges.get(self.metric, ())
        return (min if self.mode == "min" else max)(filter(math.isfinite, found), default=None)

    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        best = self._best(moment, saved)
        if best is None:
            return f"with the first {self.metric}"
        return f"when {self.metric} is {'below' if self.mode == 'min' else 'above'} {best:.6g}"

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset({self.metric})

    def __repr__(self) -> str:
        return f"Every(improvement={self.metric!r}, mode={self.mode!r})"


class Overhead(Policy, frozen=True):
    """`Every(overhead=...)`: due as soon as saving takes at most this share of the time."""

    share: float

    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        if moment.since < self._interval(moment):
            return None
        if moment.cost is None:
            return "to measure what a save costs"
        return f"saving takes at most {100 * self.share:.3g} % of the time"

    def _interval(self, moment: Moment) -> float:
        """Seconds from save to save, such that `cost` is the given share of them."""
        return LEAST_SECONDS if moment.cost is None else max(LEAST_SECONDS, moment.cost / self.share)

    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        return _in(self._interval(moment) - moment.since)

    def __repr__(self) -> str:
        return f"Every(overhead={plain(self.share)})"


class Signals(Policy, frozen=True):
    """`OnSignal(...)`: due when one of these signals arrived since the last save began."""

    numbers: tuple[int, ...]

    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        return ", ".join(map(_name, sorted(moment.signals.intersection(self.numbers)))) or None

    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        return None

    @property
    def signals(self) -> frozenset[int]:
        return frozenset(self.numbers)

    def __repr__(self) -> str:
        return f"OnSignal({_written(self.numbers)})"


def _signal(value: object) -> int:
    if isinstance(value, str) and value in signal.Signals.__members__:
        value = signal.Signals[value]
    try:
        found = int(operator.index(value))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"OnSignal({value!r}): pass a signal, as in OnSignal(signal.SIGTERM)") from None
    if found not in signal.valid_signals() or isinstance(value, bool):
        raise ValueError(f"OnSignal({value!r}): the system has no such signal; pass one of the module signal")
    if _name(found) in ("SIGKILL", "SIGSTOP"):
        raise ValueError(
            f"OnSignal: no program can catch {_name(found)}; catch SIGTERM, which usually comes before it"
        )
    return found


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal without a name
        return f"signal {number}"


def _written(numbers: Iterable[int]) -> str:
    if tuple(numbers) == tuple(sorted(DEFAULT_SIGNALS)):
        return ""
    names = {number: _name(number) for number in numbers}
    return ", ".join(f"signal.{name}" if " " not in name else str(number) for number, name in names.items())


def _count(count: int, unit: str) -> str:
    return unit if count == 1 else f"{count:,} {unit}s"


def _in(seconds: float) -> str:
    return f"in {_span(seconds)}" if seconds > 0 else "now"


def _span(seconds: float) -> str:
    """A duration in words: `45 s`, `4 min`, `1.5 h`. Whole up to minutes, and never 0."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h".replace(".0 ", " ")
