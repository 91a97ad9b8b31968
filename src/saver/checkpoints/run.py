"""A training run that saves itself and resumes."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from saver.checkpoints import arguments, ending
from saver.checkpoints import progress as telling
from saver.checkpoints.history import History
from saver.checkpoints.objects import Objects
from saver.checkpoints.progress import Line, Pace, Progress
from saver.checkpoints.recording import Recording
from saver.checkpoints.rehearsal import Teller
from saver.checkpoints.saving import Saving
from saver.checkpoints.signals import Caught
from saver.errors import CannotSaveError
from saver.policy import Moment, Policy, Retention
from saver.repo.version import Version
from saver.training_log import TrainingLog

if TYPE_CHECKING:
    from saver.checkpoints.proof import Proof
    from saver.saver import Saver


class Checkpoints:
    """A run: `with run:`, `run.resume()` before the loop, `run.step(step, loss=…)` in it. See
    Saver.checkpoints.
    """

    def __init__(
        self,
        store: Saver,
        model: str,
        objects: Mapping[str, Any],
        *,
        every: Policy,
        keep: Retention | None = None,
        busy: Literal["wait", "skip"] = "wait",
        staging: int | str | None = None,
        grace: float = 30.0,
        data: Any = None,
        notes: str = "",
        total: int | None = None,
        progress: bool | None = None,
    ) -> None:
        arguments.check(every, keep, objects, busy, grace, total)
        self.model = model
        self.log = TrainingLog()
        self.progress = Progress()
        self._store, self._repo = store, store._repo
        self._objects = Objects(objects)
        self._every, self._keep = every, keep
        self._skip = busy == "skip"
        self._grace = grace
        self._total, self._wanted = total, progress
        self._history = History(self._repo, model, keep)
        details = {"notes": notes, "data": _fingerprints(data) if data is not None else {}}
        self._saving = Saving(
            self._repo, model, self._objects, self.log, self._history, self.progress, staging, details
        )
        self._teller = Teller(model)
        self._recording = Recording(model, self._objects, self.log, self._teller)
        self._caught = Caught(every.signals)
        self._pace = Pace()
        self._told = -1
        """The step that was told last, or resumed from."""

        self._begun = False
        """Whether this is known to go on where the run was, if there was one."""

        self._trained = False
        """Whether a step was told since the start or the resume."""

        self._previous: int | None = None
        self._previous_epoch: float | None = None
        # while the run is open
        self._line: Line | None = None
        self._moment: Moment | None = None
        self._proving: Callable[[int, dict[str, float]], None] | None = None

    # The frame around the loop

    def __repr__(self) -> str:
        saved = f", saved {self.progress.saved}" if self.progress.saved is not None else ""
        return f"<run {self.model} in {self._store.storage}: step {self.progress.step}{saved}>"

    def __enter__(self) -> Checkpoints:
        if self._saving.is_open:
            raise CannotSaveError(f"{self.model}: the run is open already; leave its `with` block first")
        self._teller.open()
        self._recording.open()
        if not self._caught.install(self._hear):
            warnings.warn(
                f"{self.model}: signals reach the main thread only, and this run is in another one, so "
                "OnSignal() will not save it; open the run in the main thread",
                RuntimeWarning,
                stacklevel=2,
            )
        self._saving.open(self._saved)
        ending.opened(self, self.flush)
        self._teller.tell("started")
        self._line = telling.line(self._wanted)
        if self._line is not None:
            self._line.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer, raised = self._saving.finish(), error
        try:
            if error is None or _is_no_failure(error):
                writer.raise_failure()
                self._saving.raise_given_up()
                self._warn_of_policies()
                self._recording.end()
            elif writer.failed:
                try:
                    writer.raise_failure()
                except BaseException as failure:
                    error.add_note(f"and the last save failed: {failure}")
        except BaseException as failure:
            raised = failure
            raise
        finally:
            self._end_line()
            self._close(raised)

    def _close(self, raised: BaseException | None) -> None:
        ending.closed(self)
        self._saving.close()
        self._caught.remove()
        self._teller.tell("ended", self.progress.step)
        self._teller.close()
        arrived = sorted(filter(self._caught.works, self._caught.arrived))
        if arrived and raised is not None:
            traceback.print_exception(raised)  # for the process may end here
        for number in arrived:
            self._caught.pass_on(number)
        self._caught.arrived.clear()

    def _warn_of_policies(self) -> None:
        """A metric that policies wait for, and that never came, is likely called something else; and who
        trains to the end and saves nothing has likely meant to.
        """
        if not self._trained:
            return
        told = set(self.log.metrics) | ({"epoch"} if self._previous_epoch is not None else set())
        wanted = self._every.metrics | (self._keep.metrics if self._keep is not None else frozenset())
        missing = sorted(wanted - told)
        if missing:
            self._warn(
                f"no step told {', '.join(missing)}, which `every` or `keep` wait for; what was told: "
                f"{', '.join(sorted(told)) or 'nothing'}"
            )
        asks = any(not policy.signals for policy in self._every.members)
        if self.progress.saved is None and asks and not self._recording.forbids_saves:
            self._warn(
                f"it ended after step {self._told} and nothing was saved, for {self._every!r} was never due; "
                "call run.save() at the end of the block"
            )

    def _warn(self, what: str) -> None:
        warnings.warn(f"{self.model}: {what}", RuntimeWarning, stacklevel=4)

    # Training

    def resume(self, *, trust: Any = ()) -> int:
        """Restore the newest version that verifies. Returns the step to go on with: 0, or the one after
        the last saved.

        Warns when it had to go back, and says why.
        """
        _ = self._saving.writer  # is the run open?
        found = self._objects.resume(self._store, self.model, trust)
        if found is None and self._told >= 0:
            raise CannotSaveError(
                f"{self.model}: nothing was saved yet, and the objects have been trained up to step "
                f"{self._told}; make them and the run anew"
            )
        self._begun = True
        if found is None:
            return 0
        version, log, place = found
        self.log.replace(log)
        self.log.mark("resumed", max(place.step, 0), str(version))
        self._history.read()
        self._saving.ranges = place.ranges
        self._previous, self._previous_epoch = place.step if place.step >= 0 else None, place.epoch
        self._told, self._trained = place.step, False
        self.progress.saved, self.progress.step = version, place.step
        self._teller.tell("resumed", place.step, str(version))
        self._recording.resumed(str(version))
        self._saving.since = time.monotonic()
        return place.step + 1

    def step(self, step: int, *, epoch: float | None = None, **metrics: Any) -> bool:
        """Say that a step is finished, with all its metrics: numbers, or None. Saves if that is due: True
        then. Raises what went wrong in the background.
        """
        step = arguments.number_of_step(self.model, step)
        if self._proving is not None:
            self._proving(step, _numbers(metrics))
            return False
        saving, writer = self._saving, self._saving.writer
        self._check_order(step, metrics)
        self.log.append(step, epoch, **metrics)
        values = _numbers(metrics)
        self.progress.step = self._told = step
        self._teller.tell("step", step)
        self._recording.step()
        writer.raise_failure()  # the step is in the log by now, and whether it is due is decided at the next
        self._refuse_to_begin_again()
        now = time.monotonic()
        signals = frozenset(self._caught.arrived)
        moment = Moment(
            step=step, previous=self._previous, epoch=epoch, previous_epoch=self._previous_epoch,
            metrics=values, ranges=saving.ranges, signals=signals,
            since=now - saving.since, cost=saving.cost(),
        )  # fmt: skip
        reason = self._every.due(moment, self._history.saved) or saving.again
        self.progress.steps_per_second = self._pace(step, now)
        saved = bool(reason) and self._begin(step, epoch, values, reason)
        self._previous, self._trained = step, True  # now only: what is due stays so when it fails
        self._previous_epoch = epoch if epoch is not None else self._previous_epoch
        self._moment = moment
        self._obey(signals)
        if self._line is not None and self._line.is_due(now):
            self._show(self._line, moment)
        return saved

    def _check_order(self, step: int, metrics: Mapping[str, Any]) -> None:
        if step <= self._told:
            before = f"step {step} was told already" if step == self._told else f"{step} after {self._told}"
            raise CannotSaveError(
                f"{self.model}: {before}; tell each step once, in order, with all its metrics (None for what "
                "it does not have); to go back, make the objects and the run anew, and begin with resume()"
            )
        if "time" in metrics:
            raise CannotSaveError(
                f"{self.model}: time: the log has a column of this name, of its own; call it seconds"
            )

    def _refuse_to_begin_again(self) -> None:
        """A run that has versions is gone on with: if it began again, its versions and its log would be lost,
        one after the other.
        """
        newest = None if self._begun else self._objects.newest(self._store, self.model)
        if newest is not None:
            raise CannotSaveError(
                f"{self.model}: there is {newest} of step {newest.step} already; begin the loop with "
                "`for step in range(run.resume(), ...)`, or give this training another name"
            )
        self._begun = True

    def save(self, reason: str = "asked for") -> None:
        """Save now, whatever the policy says, after the step that was finished last."""
        self._saving.writer.raise_failure()
        self._refuse_to_begin_again()
        self._begin(self.progress.step, self._previous_epoch, {}, reason, wait=True)

    def flush(self) -> None:
        """Wait until everything is on disk. Raises what went wrong."""
        self._saving.flush()

    def prove(self, train_step: Callable[[int], Any], *, steps: int = 3) -> Proof:
        """Whether training goes on to the bit from what this run saves; see `Proof`, whose text says why not.

            print(run.prove(train_step, steps=10))

        Trains so many steps from here, puts what would be saved back into the objects, and trains the same
        steps once more: `train_step(step)` does what the loop does, and may return its loss. Afterwards the
        objects, the random states and the log are put back, so training goes on as if nothing had happened;
        `run.step` saves nothing meanwhile. Takes memory for three copies of the state, and nothing of the
        store.
        """
        from saver.checkpoints.proof import Told, prove

        if self._saving.is_open:
            self.flush()
        if self._trained:
            self._objects.refuse_iterators()
        self._saving.release()
        log, told = self.log.snapshot(), list[Told]()
        self._proving = lambda step, values: told.extend(Told(step, *item) for item in values.items())
        try:
            return prove(self._objects, train_step, self.progress.step + 1, steps, told)
        finally:
            self._proving = None
            self.log.replace(log)

    # Signals

    def _obey(self, signals: Iterable[int]) -> None:
        """Signals asked for the save that was begun: once it is on disk, let them do their work."""
        for number in sorted(signals):
            if self._caught.works(number):
                self.flush()
                self._teller.tell("flushed", self.progress.step)
            if self._caught.ends(number):
                self._end_line()
            self._caught.pass_on(number)

    def _hear(self, number: int) -> None:
        self._teller.tell("signal", self.progress.step, signal=number)

    # Telling

    def _show(self, line: Line, moment: Moment) -> None:
        """Tell a person how far it is."""
        since = time.monotonic() - self._saving.since
        saving = self._saving
        now = msgspec.structs.replace(moment, since=since, ranges=saving.ranges, cost=saving.cost())
        saved = self._history.saved
        due = self._every.next_due(now, saved)
        line.show(telling.told(self.model, self.progress, self._total, due, len(saved), time.time()))

    def _end_line(self) -> None:
        """Leave the line as the run ended."""
        line, self._line = self._line, None
        if line is not None:
            if self._moment is not None:
                self._show(line, self._moment)
            line.close()

    # Saving

    def _begin(
        self, step: int, epoch: float | None, metrics: dict[str, float], reason: str, wait: bool = False
    ) -> bool:
        """Save. False when that had to be left out: the one before is still being written and may be skipped,
        it was not whole, or nothing may be saved now.
        """
        writer = self._saving.writer
        if self._recording.forbids_saves:
            return False
        if writer.busy and self._skip and not wait and not self._caught.arrived:
            self.progress.skipped += 1
            return False
        saved = self._saving.begin(step, epoch, metrics, reason)
        if saved and self._recording.counts_saves:
            self.flush()
            self._recording.saved(str(self.progress.saved))
        return saved

    def _saved(self, version: Version, step: int, took: float) -> None:
        """In the background: a version is on disk."""
        self._teller.tell("saved", step, str(version))
        if self._caught.ending and took > self._grace:
            warnings.warn(
                f"{version} took {took:.1f} s to save, and after a signal there are {self._grace:g} s: what "
                "is saved then may come too late; save more often, or grant more time and say so with grace=",
                RuntimeWarning,
                stacklevel=1,
            )


def _is_no_failure(error: BaseException) -> bool:
    """Whether a process that is left with this ends with exit code 0."""
    return isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and error.code in (None, 0))


def _fingerprints(data: Any) -> dict[str, Any]:
    from saver.fingerprint import fingerprints

    return fingerprints(data)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics that the log has taken, as numbers; None is none."""
    return {
        name: float(value.item() if hasattr(value, "item") else value)
        for name, value in metrics.items()
        if value is not None
    }
