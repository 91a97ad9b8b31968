"""A training run that saves itself and resumes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Any, Literal

from saver.arguments import Sharing, allowing, comparing, sharing
from saver.callers import warn
from saver.checkpoints import arguments, ending, events, unmet
from saver.checkpoints.deciding import Alone
from saver.checkpoints.history import History
from saver.checkpoints.listeners import Audience, Status
from saver.checkpoints.objects import Objects
from saver.checkpoints.progress import Progress
from saver.checkpoints.ranks import Ranks
from saver.checkpoints.reported import Reported, numbers
from saver.checkpoints.saving import Saving
from saver.checkpoints.signals import Caught
from saver.cluster import Cluster
from saver.details import fingerprints_of
from saver.distributed.session import Session
from saver.errors import CannotSaveError
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
        every: Policy, keep: Retention | None = None, busy: Literal["wait", "skip"] = "wait",
        staging: int | str | None = None, grace: float = 30.0, data: Any = None,
        labels: Mapping[str, str] | None = None, notes: str = "",
        total: int | None = None, progress: bool | None = None,
        cluster: Cluster | None = None, per_rank: Iterable[str] = (), compare_replicas: bool = False,
    ) -> None:  # fmt: skip
        arguments.check(every, keep, objects, busy, grace, total)
        own = arguments.check_per_rank(per_rank, cluster is not None, objects)
        self.model, self.log = model, TrainingLog()
        self.progress = Progress()
        alike, waits = comparing(compare_replicas, cluster), busy == "wait"
        self._ranks = Ranks(cluster, model, every, waits, alike) if cluster is not None else None
        self._leads = self._ranks is None or self._ranks.leads
        """Whether this process decides, keeps and prunes."""
        self.objects = Objects(objects, self._ranks, own)
        self._repo = repo
        self._every, self._keep, self._skip, self._grace = every, keep, busy == "skip", grace
        self._history = History(repo, model, keep)
        details = {"labels": labels or {}, "notes": notes, "data": fingerprints_of(data)}
        self._emit = events.Stream()
        saving = self._saving = Saving(
            repo, model, self.objects, self.log, self._history, staging, details, self._emit, self._ranks
        )
        self._deciding = self._ranks or Alone(every, lambda: saving.again)
        self._caught = Caught(every.signals)
        status = Status(model, every, self.progress, saving, self._history, total)
        self._audience = Audience(
            self.progress, self.log, status, progress if self._leads else bool(progress)
        )
        self._aside: events.Listener | None = None
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
        if self._ranks is not None:
            self._ranks.open(self._repo, self._caught.arrived)
        self._audience.gather(self._emit, self._grace if self._caught.ending else None)
        if not self._caught.install(self._on_signal):
            warn(
                f"{self.model}: signals reach the main thread only, and this run is in another one, so "
                "OnSignal() will not save it; open the run in the main thread",
            )
        self._saving.open()
        ending.opened(self, self.flush)
        self._emit(events.Started(self._reported.last))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clean = error is None or not ending.is_failure(error)
        raised, failed = error, True
        try:
            try:
                if clean:
                    self._complete()
            finally:
                writer = self._saving.finish()
            if clean:
                writer.raise_failure()
                self._saving.raise_given_up()
                if not self._saving.forked:
                    self._warn_of_policies()
                failed = False
            elif writer.failed and error is not None:
                error.add_note(f"and the last save failed: {writer.taken()}")
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
            last_first.callback(self._emit, events.Ended(self._reported.last, failed))
            last_first.callback(self._caught.remove)
            last_first.callback(self._saving.close)
            if self._ranks is not None and not self._saving.forked:
                last_first.callback(self._ranks.close, raised)

    def _complete(self) -> None:
        """Save what all ranks were to save after a step that did not come."""
        found = self._ranks.complete() if self._ranks is not None and not self._saving.forked else None
        if found is not None:
            self._caught.join(found.signals)
            self._begin(self._reported.last, self._reported.epoch, {}, found.reason)

    def _warn_of_policies(self) -> None:
        saved = self.progress.saved is not None or not self._saves
        for what in unmet.complaints(self._every, self._keep, self._reported, self.log.metrics, saved):
            warn(f"{self.model}: {what}")

    # Training

    def resume(
        self, *, trust: Iterable[str] = (), classes: Mapping[str, Any] | None = None, shared: Sharing = None
    ) -> int:
        """Restore the newest version that verifies. Returns the step to continue with: 0, or the one after
        the last saved. Warns if it had to use an older version, and says why. `trust` and `classes` are
        as in `load`; the classes of the run's objects are trusted anyway. `shared` is as in `restore`.
        """
        self._saving.writer.wait()
        allowed, how = allowing(trust, classes), sharing(shared, self._ranks)
        with self._together("resume", how) as session:
            found = self.objects.resume(self._repo, self.model, allowed, session, how)
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
        if self._leads:
            self._history.read()
        self._saving.ranges = place.ranges
        self._reported.resumed(place)
        self._saving.since = time.monotonic()
        self._emit(events.Resumed(place.step, version))
        return place.step + 1

    def step(self, step: int, *, epoch: float | None = None, **metrics: Any) -> bool:
        """Report that a step is finished, with all its metrics: numbers, or None. Saves if a save is due,
        and returns whether it did. Raises errors of saves in the background.
        """
        step = arguments.number_of_step(self.model, step, epoch)
        if self._aside is not None:
            self._aside(
                events.StepTaken(step, Moment(step=step, epoch=epoch, metrics=numbers(metrics), since=0.0))
            )
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
        self._emit(events.StepTaken(step, moment))
        if self._ranks is None:
            writer.raise_failure()  # the step is in the log; the next step decides whether a save is due
        self._refuse_to_begin_again()
        due = self._deciding.due(moment, self._history.saved, self._skips)
        saved = bool(due.reason) and self._begin(step, epoch, moment.metrics, due.reason)
        self._reported.finished(step, epoch)  # only now: a save that is due stays due if it fails
        self._obey(self._caught.join(due.signals))
        self._emit(events.StepDone(step))
        if self._ranks is not None:
            writer.raise_failure()  # only now: what ranks save does not depend on who hears first of an error
        return saved

    def _refuse_to_begin_again(self) -> None:
        if not self._begun:
            with self._together("start") as session:
                if self._leads:
                    self.objects.refuse_to_begin(self._repo, self.model)
                if session is not None:
                    session.agree("begins", True, bool)
            self._begun = True

    def _together(self, what: str, how: str | None = None) -> AbstractContextManager[Session | None]:
        """What all ranks do now, if there are ranks."""
        return nullcontext() if self._ranks is None else self._ranks.session(what, how)

    def save(self, reason: str = "requested") -> None:
        """Save now, regardless of the policy: the state after the last finished step."""
        arguments.check_reason(self.model, reason)
        if self._ranks is None:
            self._saving.writer.raise_failure()
        self._refuse_to_begin_again()
        self._begin(self._reported.last, self._reported.epoch, {}, reason, soon=True)
        if self._ranks is not None:
            self._saving.writer.raise_failure()

    def flush(self) -> None:
        """Wait until everything is on disk. Raises the error of a save that failed."""
        self._saving.flush()

    def stop_saving(self) -> None:
        """Save nothing from now on, so that the newest version stays the newest."""
        self._saves = False

    def listen(self, listener: events.Listener, *kinds: type[events.Event]) -> None:
        """Call `listener` with events of these kinds; without kinds, with all. See
        saver.checkpoints.events. Call this before the run is entered.
        """
        arguments.check_listener(self.model, listener, kinds)
        self._audience.guests.append((listener, kinds))

    @contextmanager
    def aside(self, listener: events.Listener) -> Iterator[Objects]:
        """A context for steps that do not count: `step` logs and saves nothing, and only `listener` gets
        its events. The objects stay as these steps leave them.

        Yields the objects of the run. Raises CannotSaveError for a loader whose loop has begun.
        """
        if self._ranks is not None:
            raise CannotSaveError(f"{self.model}: prove works in one process; leave out `cluster`")
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
                self._emit(events.SignalServed(self._reported.last, number, self._caught.ends(number)))
            if self._ranks is not None:
                self._ranks.served(number)
            self._caught.pass_on(number)

    def _on_signal(self, number: int) -> None:
        self._emit(events.SignalArrived(self._reported.last, number))

    # Saving

    def _skips(self) -> bool:
        """Whether a save that is due is left out, as the previous one is still being written."""
        skips = self._skip and self._saves and self._saving.writer.busy and not self._caught.arrived
        if skips:
            self._emit(events.SaveSkipped(self._reported.last))
        return skips

    def _begin(
        self, step: int, epoch: float | None, metrics: Mapping[str, float], reason: str, soon: bool = False
    ) -> bool:  # fmt: skip
        """Save. False if nothing was saved: the snapshot was torn, or saving was stopped."""
        if not self._saves:
            return False
        self._emit(events.SaveDue(step, reason))
        return self._saving.begin(step, epoch, dict(metrics), reason, soon)
