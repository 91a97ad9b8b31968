"""A training run that saves itself and resumes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Literal

import msgspec

from saver.arguments import allowing
from saver.callers import warn
from saver.checkpoints import arguments, ending, unmet
from saver.checkpoints import progress as progress_line
from saver.checkpoints.events import (
    Ended,
    Event,
    Listener,
    Resumed,
    SaveDue,
    SaveSkipped,
    SignalArrived,
    SignalServed,
    Started,
    StepDone,
    StepTaken,
    Stream,
)
from saver.checkpoints.history import History
from saver.checkpoints.listeners import of_every_run
from saver.checkpoints.objects import Objects
from saver.checkpoints.progress import Progress
from saver.checkpoints.reported import Reported, numbers
from saver.checkpoints.saving import Saving
from saver.checkpoints.signals import Caught
from saver.details import fingerprints_of
from saver.errors import CannotSaveError
from saver.line import line
from saver.policy import Moment, Policy, Retention
from saver.repo.repository import Repository
from saver.training_log import TrainingLog


class Checkpoints:
    """A run: `with run:`, `run.resume()` before the loop, `run.step(step, loss=…)` in it. See
    Saver.checkpoints.
    """

    def __init__(
        self,
        repo: Repository,
        model: str,
        objects: Mapping[str, Any],
        *,
        every: Policy,
        keep: Retention | None = None,
        busy: Literal["wait", "skip"] = "wait",
        staging: int | str | None = None,
        grace: float = 30.0,
        data: Any = None,
        labels: Mapping[str, str] | None = None,
        notes: str = "",
        total: int | None = None,
        progress: bool | None = None,
    ) -> None:
        arguments.check(every, keep, objects, busy, grace, total)
        self.model = model
        self.log = TrainingLog()
        self.progress = Progress()
        self.objects = Objects(objects)
        self._repo = repo
        self._every, self._keep = every, keep
        self._skip = busy == "skip"
        self._grace = grace
        self._total, self._wanted = total, progress
        self._history = History(repo, model, keep)
        details = {"labels": labels or {}, "notes": notes, "data": fingerprints_of(data)}
        self._emit = Stream()
        self._saving = Saving(
            repo, model, self.objects, self.log, self._history, staging, details, self._emit
        )
        self._caught = Caught(every.signals)
        self._guests: list[tuple[Listener, tuple[type[Event], ...]]] = []
        self._aside: Listener | None = None
        self._saves = True
        self._reported = Reported(model)
        self._begun = False  # whether this is known to continue an earlier run, if there was one

    # The frame around the loop

    def __repr__(self) -> str:
        saved = f", saved {self.progress.saved}" if self.progress.saved is not None else ""
        return f"<run {self.model} in {self._repo.storage}: step {self.progress.step}{saved}>"

    def __enter__(self) -> Checkpoints:
        if self._saving.is_open:
            raise CannotSaveError(f"{self.model}: the run is already open; leave its `with` block first")
        self._add_listeners()
        if not self._caught.install(self._on_signal):
            warn(
                f"{self.model}: signals reach the main thread only, and this run is in another one, so "
                "OnSignal() will not save it; open the run in the main thread",
            )
        self._saving.open()
        ending.opened(self, self.flush)
        self._emit(Started(self._reported.last))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer, raised, failed = self._saving.finish(), error, True
        try:
            if error is None or not ending.is_failure(error):
                writer.raise_failure()
                self._saving.raise_given_up()
                if not self._saving.forked:
                    self._warn_of_policies()
                failed = False
            elif writer.failed:
                try:
                    writer.raise_failure()
                except BaseException as failure:
                    error.add_note(f"and the last save failed: {failure}")
        except BaseException as failure:
            raised = failure
            raise
        finally:
            self._close(raised, failed)

    def _close(self, raised: BaseException | None, failed: bool) -> None:
        ending.closed(self)
        with ExitStack() as last_first:  # runs each of these, even if others raise
            last_first.callback(self._caught.pass_all_on, raised)
            last_first.callback(self._emit.clear)  # listeners may hold references to the run
            last_first.callback(self._emit, Ended(self._reported.last, failed))
            last_first.callback(self._caught.remove)
            last_first.callback(self._saving.close)

    def _warn_of_policies(self) -> None:
        saved = self.progress.saved is not None or not self._saves
        for what in unmet.complaints(self._every, self._keep, self._reported, self.log.metrics, saved):
            warn(f"{self.model}: {what}")

    # Training

    def resume(self, *, trust: Iterable[str] = (), classes: Mapping[str, Any] | None = None) -> int:
        """Restore the newest version that verifies. Returns the step to continue with: 0, or the one after
        the last saved. Warns if it had to use an older version, and says why. `trust` and `classes` are
        as in `load`; the classes of the run's objects are trusted anyway.
        """
        _ = self._saving.writer  # is the run open?
        found = self.objects.resume(self._repo, self.model, allowing(trust, classes))
        if found is None and self._reported.last >= 0:
            raise CannotSaveError(
                f"{self.model}: there is no version to resume, and the objects have been trained up to step "
                f"{self._reported.last}; create the objects and the run again"
            )
        self._begun = True
        if found is None:
            return 0
        version, log, place = found
        self.log.replace(log)
        self._history.read()
        self._saving.ranges = place.ranges
        self._reported.resumed(place)
        self._saving.since = time.monotonic()
        self._emit(Resumed(place.step, version))
        return place.step + 1

    def step(self, step: int, *, epoch: float | None = None, **metrics: Any) -> bool:
        """Report that a step is finished, with all its metrics: numbers, or None. Saves if a save is due,
        and returns whether it did. Raises errors of saves in the background.
        """
        step = arguments.number_of_step(self.model, step, epoch)
        if self._aside is not None:
            self._aside(StepTaken(step, Moment(step=step, epoch=epoch, metrics=numbers(metrics), since=0.0)))
            return False
        saving, writer = self._saving, self._saving.writer
        self._reported.check(step, metrics)
        self.log.append(step, epoch, **metrics)
        self._reported.last = step
        moment = Moment(
            step=step, previous=self._reported.previous, epoch=epoch, previous_epoch=self._reported.epoch,
            metrics=numbers(metrics), ranges=saving.ranges, signals=frozenset(self._caught.arrived),
            since=time.monotonic() - saving.since, cost=saving.cost(),
        )  # fmt: skip
        self._emit(StepTaken(step, moment))
        writer.raise_failure()  # the step is in the log; the next step decides whether a save is due
        self._refuse_to_begin_again()
        reason = self._every.due(moment, self._history.saved) or saving.again
        saved = bool(reason) and self._begin(step, epoch, moment.metrics, reason)
        self._reported.finished(step, epoch)  # only now: a save that is due stays due if it fails
        self._obey(moment.signals)
        self._emit(StepDone(step))
        return saved

    def _refuse_to_begin_again(self) -> None:
        """Refuse to start a run from the beginning that has versions: its versions and its log would be lost,
        one after the other.
        """
        newest = None if self._begun else self.objects.newest(self._repo, self.model)
        if newest is not None:
            raise CannotSaveError(
                f"{self.model}: {newest} of step {newest.step} exists already; begin the loop with "
                "`for step in range(run.resume(), ...)`, or give this run another name"
            )
        self._begun = True

    def save(self, reason: str = "requested") -> None:
        """Save now, regardless of the policy: the state after the last finished step."""
        arguments.check_reason(self.model, reason)
        self._saving.writer.raise_failure()
        self._refuse_to_begin_again()
        self._begin(self._reported.last, self._reported.epoch, {}, reason, wait=True)

    def flush(self) -> None:
        """Wait until everything is on disk. Raises the error of a save that failed."""
        self._saving.flush()

    def stop_saving(self) -> None:
        """Save nothing from now on, so that the newest version stays the newest."""
        self._saves = False

    def listen(self, listener: Listener, *kinds: type[Event]) -> None:
        """Call `listener` with events of these kinds; without kinds, with all. See
        saver.checkpoints.events. Call this before the run is entered.
        """
        arguments.check_listener(self.model, listener, kinds)
        self._guests.append((listener, kinds))

    @contextmanager
    def aside(self, listener: Listener) -> Iterator[Objects]:
        """A context for steps that do not count: `step` logs and saves nothing, and only `listener` gets
        its events. The objects stay as these steps leave them.

        Yields the objects of the run. Raises CannotSaveError for a loader whose loop has begun.
        """
        if self._saving.is_open:
            self.flush()
        if self._reported.trained:
            self.objects.refuse_iterators()
        self._saving.release()
        log, self._aside = self.log.snapshot(), listener
        try:
            yield self.objects
        finally:
            self._aside = None
            self.log.replace(log)

    # Signals

    def _obey(self, signals: Iterable[int]) -> None:
        """Once the save that signals requested is on disk, let them take their normal effect."""
        for number in sorted(signals):
            if self._caught.works(number):
                self.flush()
                self._emit(SignalServed(self._reported.last, number, self._caught.ends(number)))
            self._caught.pass_on(number)

    def _on_signal(self, number: int) -> None:
        self._emit(SignalArrived(self._reported.last, number))

    # Listeners

    def _add_listeners(self) -> None:
        """Add the listeners of every run, and after them those of the caller."""
        self._emit.clear()
        grace = self._grace if self._caught.ending else None
        for own in of_every_run(self.progress, self.log, grace, line(self._wanted), self._status):
            self._emit.add(own, *own.kinds)
        for guest, kinds in self._guests:
            self._emit.add(guest, *kinds)

    def _status(self, moment: Moment) -> tuple[str, ...]:
        """The pieces of the status line."""
        saving, saved = self._saving, self._history.saved
        since = time.monotonic() - saving.since
        now = msgspec.structs.replace(moment, since=since, ranges=saving.ranges, cost=saving.cost())
        due = self._every.next_due(now, saved)
        return progress_line.status(self.model, self.progress, self._total, due, len(saved), time.time())

    # Saving

    def _begin(
        self, step: int, epoch: float | None, metrics: Mapping[str, float], reason: str, wait: bool = False
    ) -> bool:
        """Save. False if nothing was saved: the previous save is still being written and this one may be
        skipped, the snapshot was torn, or saving was stopped.
        """
        writer = self._saving.writer
        if not self._saves:
            return False
        if writer.busy and self._skip and not wait and not self._caught.arrived:
            self._emit(SaveSkipped(step))
            return False
        self._emit(SaveDue(step, reason))
        return self._saving.begin(step, epoch, dict(metrics), reason)
