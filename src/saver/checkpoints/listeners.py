"""The listeners of every run: its counters, the marks in its log, a warning, the status line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from saver.callers import warn
from saver.checkpoints.events import (
    Blocked,
    Ended,
    Event,
    Resumed,
    SaveSkipped,
    SaveWritten,
    SignalServed,
    SnapshotTaken,
    Started,
    StepDone,
    StepTaken,
)
from saver.checkpoints.progress import Pace, Progress
from saver.line import Line
from saver.logger import logger
from saver.policy import Moment
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


def of_every_run(
    progress: Progress,
    log: TrainingLog,
    grace: float | None,
    line: Line | None,
    words: Callable[[Moment], Iterable[str]],
) -> Iterator[Counts | Marks | Grace | Watch]:
    """The listeners of a run. `grace` are the seconds that it has after a signal, None if no signal ends it;
    `line` is its status line, if it has one."""
    yield Counts(progress)
    yield Marks(log)
    if grace is not None:
        yield Grace(grace)
    if line is not None:
        yield Watch(line, words)
