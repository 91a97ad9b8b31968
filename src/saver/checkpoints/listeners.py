"""The listeners of every run: its counters, the marks in its log, a warning, the status line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from saver.callers import warn
from saver.checkpoints.events import (
    Blocked,
    Ended,
    Event,
    Listener,
    Resumed,
    SaveSkipped,
    SaveWritten,
    SignalServed,
    SnapshotTaken,
    Started,
    StepDone,
    StepTaken,
    Stream,
)
from saver.checkpoints.history import History
from saver.checkpoints.progress import Pace, Progress, status
from saver.checkpoints.saving import Saving
from saver.line import Line, line
from saver.logger import logger
from saver.policy import Moment, Policy
from saver.training_log import TrainingLog


class Counts:
    """Keeps a `Progress` up to date."""

    kinds = (StepTaken, Blocked, SnapshotTaken, SaveWritten, SaveSkipped, Resumed)

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pace = Pace()

    def __call__(self, event: Event) -> None:
        progress = self._progress
        match event:
            case StepTaken(step=step):
                progress.step = step
                progress.steps_per_second = self._pace(step, time.monotonic())
            case Blocked(seconds=seconds):
                progress.blocked_seconds += seconds
            case SnapshotTaken(memory=memory):
                progress.saves += 1
                progress.staging_bytes = memory
            case SaveWritten(version=version):
                progress.saved = version
            case SaveSkipped():
                progress.skipped += 1
            case Resumed(step=step, version=version):
                progress.step, progress.saved = step, version


class Marks:
    """Marks in the log at which steps the run was saved and resumed."""

    kinds = (SaveWritten, Resumed)

    def __init__(self, log: TrainingLog) -> None:
        self._log = log

    def __call__(self, event: Event) -> None:
        match event:
            case SaveWritten(step=step, version=version):
                self._log.mark("saved", max(step, 0), str(version))
            case Resumed(step=step, version=version):
                self._log.mark("resumed", max(step, 0), str(version))
                logger.info("%s: resumed at step %d", version, step)


class Grace:
    """Warns about a save that took longer than the `seconds` that the process has after a signal."""

    kinds = (SaveWritten,)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, event: Event) -> None:
        if isinstance(event, SaveWritten) and event.seconds > self._seconds:
            warn(
                f"{event.version} took {event.seconds:.1f} s to save, but after a signal the process has "
                f"{self._seconds:g} s, so a save that starts then may be killed; save more often, or allow "
                "more time and pass it as grace=",
            )


class Watch:
    """Shows the status line of a run; `words` gives its text for the moment of the last step."""

    kinds = (StepTaken, StepDone, Started, SignalServed, Ended)

    def __init__(self, line: Line, words: Callable[[Moment], Iterable[str]]) -> None:
        self._line: Line | None = line
        self._words = words
        self._moment: Moment | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case StepTaken(moment=moment):
                self._moment = moment
            case StepDone() if self._line is not None and self._line.is_due(time.monotonic()):
                self._show(self._line)
            case Started() if self._line is not None:
                self._line.open()
            case Ended() | SignalServed(ends=True):
                self._end()

    def _show(self, shown: Line) -> None:
        if self._moment is not None:
            shown.show(self._words(self._moment))

    def _end(self) -> None:
        """Show the line a last time, when the run ends."""
        shown, self._line = self._line, None
        if shown is not None:
            self._show(shown)
            shown.close()


class Status:
    """What the status line of a run says."""

    def __init__(
        self, model: str, every: Policy, progress: Progress, saving: Saving, history: History,
        total: int | None,
    ) -> None:  # fmt: skip
        self._model, self._every, self._total = model, every, total
        self._progress, self._saving, self._history = progress, saving, history

    def __call__(self, moment: Moment) -> tuple[str, ...]:
        saving, saved = self._saving, self._history.saved
        since = time.monotonic() - saving.since
        now = replace(moment, since=since, ranges=saving.ranges, cost=saving.cost())
        due = self._every.next_due(now, saved)
        return status(self._model, self._progress, self._total, due, len(saved), time.time())


class Audience:
    """The listeners of a run: those of every run, and after them its `guests`. `wanted` says whether it has a
    status line (None: on a terminal)."""

    def __init__(self, progress: Progress, log: TrainingLog, words: Status, wanted: bool | None) -> None:
        self.guests: list[tuple[Listener, tuple[type[Event], ...]]] = []
        self._progress, self._log, self._words, self._wanted = progress, log, words, wanted

    def gather(self, stream: Stream, grace: float | None) -> None:
        """Let all of them listen, and nobody else. `grace` are the seconds that the run has after a signal,
        None if no signal ends it."""
        stream.clear()
        for own in self._own(grace, line(self._wanted)):
            stream.add(own, *own.kinds)
        for guest, kinds in self.guests:
            stream.add(guest, *kinds)

    def _own(self, grace: float | None, shown: Line | None) -> Iterator[Counts | Marks | Grace | Watch]:
        yield Counts(self._progress)
        yield Marks(self._log)
        if grace is not None:
            yield Grace(grace)
        if shown is not None:
            yield Watch(shown, self._words)
