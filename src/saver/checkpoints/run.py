"""A training run that saves itself and resumes."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from saver import environment, parts, policy
from saver.checkpoints import ending
from saver.checkpoints import progress as telling
from saver.checkpoints.history import History
from saver.checkpoints.objects import Objects, Place
from saver.checkpoints.progress import Cost, Line, Pace, Progress
from saver.checkpoints.rehearsal import Teller
from saver.checkpoints.signals import Caught
from saver.checkpoints.writer import Writer
from saver.environment import Git
from saver.errors import CannotSave
from saver.policy import Moment, Policy, Retention
from saver.policy.arguments import size_of
from saver.repo.commit import Draft
from saver.staging import Snapshot, Staging, Torn
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
        self.model = model
        self.log = TrainingLog()
        self.progress = Progress()
        self._store, self._repo = store, store._repo
        self._objects = Objects(objects)
        self._every, self._keep = every, keep
        self._skip = busy == "skip"
        self._grace = grace
        self._data = _fingerprints(data) if data is not None else {}
        self._notes = notes
        self._total, self._wanted = total, progress
        self._history = History(self._repo, model, keep)
        self._bounded = staging is not None
        self._staging = Staging(size_of("checkpoints", "staging", staging) if staging is not None else None)
        self._teller = Teller(model)
        self._caught = Caught(every.signals, self._hear)
        self._pace, self._cost = Pace(), Cost()
        self._ranges: Mapping[str, tuple[float, float]] = {}
        self._previous: int | None = None
        self._previous_epoch: float | None = None
        self._since = 0.0
        self._retake = ""
        # while the run is open
        self._writer: Writer | None = None
        self._line: Line | None = None
        self._moment: Moment | None = None
        self._snapshot: Snapshot | None = None
        self._unhook: Callable[[], None] | None = None
        self._proving: Callable[[int, dict[str, float]], None] | None = None

    # The frame around the loop

    def __enter__(self) -> Checkpoints:
        self._teller.open()
        if not self._caught.install():
            warnings.warn(
                f"{self.model}: signals reach the main thread only, and this run is in another one, so "
                "OnSignal() will not save it; open the run in the main thread",
                RuntimeWarning,
                stacklevel=2,
            )
        self._writer = Writer(self.model.rpartition("/")[2])
        ending.opened(self, self.flush)
        self._teller.tell("started")
        self._since = time.monotonic()
        self._line = telling.line(self._wanted)
        if self._line is not None:
            self._line.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer, self._writer = self._writer, None
        assert writer is not None
        raised = error
        try:
            writer.close()
            if error is None or _is_no_failure(error):
                writer.raise_failure()
                self._raise_given_up()
                self._warn_of_metrics()
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
        self._release()
        self._caught.remove()
        self._staging.close()
        self._snapshot = None
        self._teller.tell("ended", self.progress.step)
        self._teller.close()
        arrived = sorted(filter(self._caught.works, self._caught.arrived))
        if arrived and raised is not None:
            traceback.print_exception(raised)  # for the process may end here
        for number in arrived:
            self._caught.pass_on(number)
        self._caught.arrived.clear()

    def _warn_of_metrics(self) -> None:
        """A metric that policies wait for, and that never came, is likely called something else."""
        wanted = self._every.metrics | (self._keep.metrics if self._keep is not None else frozenset())
        missing = sorted(wanted.difference(self.log.metrics))
        if missing and self._previous is not None:
            warnings.warn(
                f"{self.model}: no step told {', '.join(missing)}, which `every` or `keep` wait for; what "
                f"was told: {', '.join(self.log.metrics) or 'nothing'}",
                RuntimeWarning,
                stacklevel=3,
            )

    def _inside(self) -> Writer:
        if self._writer is None:
            raise CannotSave(f"{self.model}: the run is not open; write `with run:` around the loop")
        return self._writer

    # Training

    def resume(self, *, trust: Any = ()) -> int:
        """Restore the newest version that verifies. Returns the step to go on with: 0, or the one after
        the last saved.

        Warns when it had to go back, and says why.
        """
        self._inside()
        found = self._objects.resume(self._store, self.model, trust)
        if found is None:
            return 0
        version, log, place = found
        self.log.replace(log)
        self.log.truncate(place.step)
        self.log.mark("resumed", max(place.step, 0), str(version))
        self._history.read()
        self._ranges, self._previous, self._previous_epoch = place.ranges, None, place.epoch
        self.progress.saved, self.progress.step = version, place.step
        self._teller.tell("resumed", place.step, str(version))
        self._since = time.monotonic()
        return place.step + 1

    def step(self, step: int, *, epoch: float | None = None, **metrics: Any) -> bool:
        """Say that a step is finished. Saves if that is due: True then. Raises what went wrong in the
        background.
        """
        if self._proving is not None:
            self._proving(step, _numbers(metrics))
            return False
        writer = self._inside()
        self.log.append(step, epoch, **metrics)
        values = _numbers(metrics)
        self.progress.step = step
        self._teller.tell("step", step)
        writer.raise_failure()  # the step is in the log by now, and whether it is due is decided at the next
        now = time.monotonic()
        signals = frozenset(self._caught.arrived)
        moment = Moment(
            step=step, previous=self._previous, epoch=epoch, previous_epoch=self._previous_epoch,
            metrics=values, ranges=self._ranges, signals=signals,
            since=now - self._since, cost=self._cost(),
        )  # fmt: skip
        reason = self._every.due(moment, self._history.saved) or self._retake
        self.progress.steps_per_second = self._pace(step, now)
        saved = bool(reason) and self._begin(step, epoch, values, reason)
        self._previous = step  # now only: what is due stays so when it fails
        self._previous_epoch = epoch if epoch is not None else self._previous_epoch
        self._moment = moment
        self._obey(signals)
        if self._line is not None and self._line.is_due(now):
            self._show(self._line, moment)
        return saved

    def save(self, reason: str = "asked for") -> None:
        """Save now, whatever the policy says, after the step that was finished last."""
        self._inside().raise_failure()
        self._begin(self.progress.step, self._previous_epoch, {}, reason, wait=True)

    def flush(self) -> None:
        """Wait until everything is on disk. Raises what went wrong."""
        writer = self._inside()
        writer.wait()
        writer.raise_failure()
        self._raise_given_up()

    def _raise_given_up(self) -> None:
        if self._retake:
            raise CannotSave(
                f"{self.model}: the last save was given up, to be taken {self._retake}; let weights change "
                "in the step of an optimizer only, or call flush() before"
            )

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

        if self._writer is not None:
            self.flush()
        self._release()
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
        since = time.monotonic() - self._since
        now = msgspec.structs.replace(moment, since=since, ranges=self._ranges, cost=self._cost())
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

    @contextmanager
    def _blocking(self) -> Iterator[None]:
        """While training stands still for a save."""
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.progress.blocked_seconds += took
            self._cost.add(took)

    def _begin(
        self, step: int, epoch: float | None, metrics: dict[str, float], reason: str, wait: bool = False
    ) -> bool:
        """Take a snapshot, and have it written. False when the one before is still being written and may
        be skipped.
        """
        writer = self._inside()
        if writer.busy and self._skip and not wait and not self._caught.arrived:
            self.progress.skipped += 1
            return False
        self._cost.begin()
        with self._blocking():
            writer.wait()
            writer.raise_failure()
            self._release()
            self._retake = ""
            git, before = Git(), self._ranges
            place = Place(step, epoch, reason, policy.widened(before, metrics))
            encoded = self._objects.encode(self.log.snapshot(), place)
            try:
                snapshot = self._take(encoded)
            except Torn as error:
                self._give_up(error, step)
                return False
            draft = Draft(
                model=self.model,
                parts=encoded.drafted(),
                tensors=snapshot.tensors, whole=True, time=time.time(),
                environment=environment.describe(encoded.packages, encoded.seeds, git),
                author=self._repo.author, step=step if step >= 0 else None, metrics=metrics,
                notes=self._notes, data=self._data,
            )  # fmt: skip
            self._since, self._ranges = time.monotonic(), place.ranges
            writer.begin(lambda: self._write(draft, snapshot, step, before))
            if snapshot.tensors is encoded.tensors:
                writer.wait()
                writer.raise_failure()
        self.progress.saves += 1
        return True

    def _take(self, encoded: parts.Encoded) -> Snapshot:
        """Copy the tensors; those that only optimizers change, beside what comes until their next step.
        Without memory for that they stay where they are, and training must wait until they are written."""
        room = self._staging.room(encoded.tensors)
        if room < 0:
            if not self._bounded:
                warnings.warn(
                    f"{self.model}: there is no memory for a snapshot, {-room / 1e9:.2f} GB are missing, so "
                    "training waits while it is written; free memory, or accept that with staging=...",
                    RuntimeWarning,
                    stacklevel=5,
                )
            return Snapshot(encoded.tensors)
        steps, later = self._objects.unchanged(encoded)
        snapshot = self._staging.take(encoded.tensors, later)
        self.progress.staging_bytes = self._staging.bytes
        if later and steps is not None:
            self._snapshot = snapshot
            self._unhook = steps.before(self._hold)
        return snapshot

    def _hold(self) -> None:
        """Called before weights change: wait until they are copied."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            with self._blocking():
                snapshot.hold()

    def _release(self) -> None:
        """Take the hook away: optimizers are saved without it."""
        if self._unhook is not None:
            self._unhook()
            self._unhook = None

    def _give_up(self, error: Torn, step: int) -> None:
        self._retake = f"again, for {error} changed while it was copied at step {step}"
        self._objects.restless.update(error.names)

    def _write(
        self, draft: Draft, snapshot: Snapshot, step: int, ranges: Mapping[str, tuple[float, float]]
    ) -> None:
        """In the background: commit the snapshot, then drop what need not be kept. If that fails, what the
        metrics reached goes back to `ranges`: a best value that is not on disk is to be saved yet."""
        try:
            snapshot.wait()
            version = self._repo.commit(draft)
        except BaseException as error:
            self._ranges = ranges
            if not isinstance(error, Torn):
                raise
            self._give_up(error, step)
            return
        took = time.monotonic() - self._since
        self._teller.tell("saved", step, str(version))
        self.progress.saved = version
        self.log.mark("saved", max(step, 0), str(version))
        self._history.add(version)
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
