"""A training run that saves itself and resumes."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import GeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from saver import environment, frameworks, parts, policy
from saver.checkpoints import progress as telling
from saver.checkpoints.progress import Line, Pace
from saver.checkpoints.rehearsal import Teller
from saver.checkpoints.signals import Caught
from saver.checkpoints.writer import Writer
from saver.codec import codec_for
from saver.environment import Git
from saver.errors import CannotSave, Damaged, NotFound
from saver.policy import Moment, Policy, Retention, Saved
from saver.repo.gc import collect
from saver.repo.log import Delete
from saver.repo.repository import Draft, DraftPart
from saver.repo.version import Version
from saver.staging import Snapshot, Staging, Torn
from saver.training_log import TrainingLog

if TYPE_CHECKING:
    from saver.checkpoints.proof import Proof
    from saver.saver import Saver

LOG, RANDOM, RUN = "log", "random", "run"
RESERVED = (LOG, RANDOM, RUN)
"""Parts that a run saves beside the caller's objects."""

RETENTION_GRACE = 60.0
"""Seconds that dropped versions are left to who is loading them."""

COLLECTING = 15.0
"""Seconds between two collections, at least: each looks at all that is in the store."""

SMOOTHING = 0.3
"""Weight of the newest measurement in the cost of a save."""


class Progress(msgspec.Struct):
    """What a run can tell of itself."""

    step: int = -1
    steps_per_second: float = 0.0
    saved: Version | None = None
    skipped: int = 0
    blocked_seconds: float = 0.0
    saves: int = 0
    staging_bytes: int = 0
    """Memory that is kept for snapshots."""


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
        grace: float = 30.0,
        data: Any = None,
        notes: str = "",
        total: int | None = None,
        progress: bool | None = None,
    ) -> None:
        self.model = model
        self.log = TrainingLog()
        self.progress = Progress()
        self._store = store
        self._repo = store._repo
        self._objects = _checked(objects)
        self._every, self._keep = every, keep
        self._skip = busy == "skip"
        self._grace = grace
        self._data = _fingerprints(data) if data is not None else {}
        self._notes = notes
        self._total, self._wanted = total, progress
        self._pace = Pace()
        self._line: Line | None = None
        self._moment: Moment | None = None
        self._proving: Callable[[int, dict[str, float]], None] | None = None
        self._staging = Staging()
        self._writer: Writer | None = None
        self._teller = Teller(model)
        self._caught = Caught(every.signals, self._hear)
        self._by_state: dict[str, bool] = {}
        self._saved: list[Saved] = []
        self._ranges: dict[str, tuple[float, float]] = {}
        self._cost: float | None = None
        self._previous: int | None = None
        self._previous_epoch: float | None = None
        self._since = 0.0
        self._retake = ""
        self._collected = -COLLECTING
        self._unhook: Callable[[], None] | None = None
        self._snapshot: Snapshot | None = None

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
            if error is None:
                writer.raise_failure()
                self._raise_given_up()
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

    def _hold(self) -> None:
        """Called before weights change: wait until they are copied."""
        snapshot = self._snapshot
        if snapshot is not None:
            started = time.perf_counter()
            snapshot.work.finished.wait()
            self._snapshot = None
            self.progress.blocked_seconds += time.perf_counter() - started

    def _release(self) -> None:
        """Take the hook away: optimizers are saved without it."""
        if self._unhook is not None:
            self._unhook()
            self._unhook = None

    # Resuming

    def resume(self, *, trust: Any = ()) -> int:
        """Restore the newest version that verifies. Returns the step to go on with: 0, or the one after
        the last saved.

        Warns when it had to go back, and says why.
        """
        self._inside()
        if not self._repo.exists():
            return 0
        self._repo.open()
        back: list[str] = []
        for version in self._repo.versions(self.model, reverse=True):
            try:
                step = self._restore(version, trust)
            except (Damaged, NotFound) as error:
                back.append(f"{version} could not be used: {error}")
                continue
            if back:
                warnings.warn(f"resumed from {version}; {'; '.join(back)}", stacklevel=2)
            self._know()
            self.log.mark("resumed", max(step, 0), str(version))
            self._teller.tell("resumed", step, str(version))
            self.progress.saved, self.progress.step = version, step
            self._since = time.monotonic()
            return step + 1
        if back:
            raise Damaged(
                f"{self._store.store}: no version of {self.model} can be resumed from; {'; '.join(back)}"
            )
        return 0

    def _restore(self, version: Version, trust: Any) -> int:
        """Everything of a version goes into the objects, or nothing: all is read and verified before."""
        from saver.restoring import restore

        opened, _ = self._store._open(str(version))
        missing = [name for name in (*self._objects, *RESERVED) if name not in opened.manifest.parts]
        if missing:
            raise NotFound(
                f"{version} has no part {', '.join(missing)}; resume with the objects that were saved"
            )
        opened.tensors.verify()
        own = opened.load((), RESERVED)
        restore(opened, dict(self._objects), trust=trust)
        self.log.replace(own[LOG])
        frameworks.set_random_states(own[RANDOM])
        told = own[RUN]
        self.log.truncate(told["step"])
        self._previous_epoch, self._ranges = (
            None,
            {name: tuple(both) for name, both in told["ranges"].items()},
        )
        return int(told["step"])

    def _know(self) -> None:
        """What the store has of this run."""
        self._saved = [_saved(version) for version in self._repo.versions(self.model)]

    # Training

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
            since=now - self._since, cost=self._cost,
        )  # fmt: skip
        reason = self._every.due(moment, self._saved) or self._retake
        self.progress.steps_per_second = self._pace(step, now)
        saved = bool(reason) and self._begin(step, epoch, values, reason)
        self._previous = step  # now only: what is due stays so when it fails
        self._previous_epoch = epoch if epoch is not None else self._previous_epoch
        self._obey(signals)
        self._moment = moment
        if self._line is not None and self._line.is_due(now):
            self._show(self._line, moment)
        return saved

    def _obey(self, signals: Iterable[int]) -> None:
        """Signals asked for the save that was begun: once it is on disk, let them do their work."""
        for number in sorted(signals):
            if self._caught.works(number):
                self.flush()
                self._teller.tell("flushed", self.progress.step)
            self._caught.pass_on(number)

    def _hear(self, number: int) -> None:
        self._teller.tell("signal", self.progress.step, signal=number)

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

        Trains so many steps from here twice, on the objects themselves: `train_step(step)` does what the loop
        does, and may return its loss. Between and afterwards the objects, the random states and the log are
        put back, so training goes on as if nothing had happened; `run.step` saves nothing meanwhile. Takes
        memory for three copies of the state, and nothing of the store.
        """
        from saver.checkpoints.proof import Told, prove

        if self._writer is not None:
            self.flush()
        self._release()
        log, told = self.log.snapshot(), list[Told]()
        self._proving = lambda step, values: told.extend(Told(step, *item) for item in values.items())
        try:
            return prove(self._objects, self._state, train_step, self.progress.step + 1, steps, told)
        finally:
            self._proving = None
            self.log.replace(log)

    def _state(self) -> dict[str, Any]:
        """What is saved of the objects: themselves, or their `state_dict()` where they have no data form."""
        for name, obj in self._objects.items():
            if name not in self._by_state:
                self._by_state[name] = _goes_by_state(obj)
        return {
            name: obj.state_dict() if self._by_state[name] else obj for name, obj in self._objects.items()
        }

    def _show(self, line: Line, moment: Moment) -> None:
        """Tell a person how far it is."""
        since = time.monotonic() - self._since
        now = msgspec.structs.replace(moment, since=since, ranges=self._ranges, cost=self._cost)
        due = self._every.next_due(now, self._saved)
        line.show(telling.told(self.model, self.progress, self._total, due, len(self._saved), time.time()))

    def _end_line(self) -> None:
        """Leave the line as the run ended."""
        line, self._line = self._line, None
        if line is not None:
            if self._moment is not None:
                self._show(line, self._moment)
            line.close()

    def _inside(self) -> Writer:
        if self._writer is None:
            raise CannotSave(f"{self.model}: the run is not open; write `with run:` around the loop")
        return self._writer

    # Saving

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
        started = time.perf_counter()
        writer.wait()
        writer.raise_failure()
        self._release()
        git = Git()
        before, ranges = self._ranges, policy.widened(self._ranges, metrics)
        self._retake = ""
        encoded = parts.encode(
            self._state()
            | {
                LOG: self.log.snapshot(),
                RANDOM: frameworks.random_states(),
                RUN: {
                    "step": step,
                    "epoch": epoch,
                    "reason": reason,
                    "ranges": {n: list(r) for n, r in ranges.items()},
                },
            }
        )
        steps = frameworks.steps(self._objects.values())  # anew: an optimizer makes its state when it steps
        later = _unchanged(encoded, steps) if steps is not None else set()
        snapshot = self._staging.take(encoded.tensors, later)
        self.progress.staging_bytes = self._staging.bytes
        if later and steps is not None:
            self._snapshot = snapshot
            self._unhook = steps.before(self._hold)
        draft = Draft(
            model=self.model,
            parts={n: DraftPart(p.tree, p.batches, p.packages, p.tensors) for n, p in encoded.parts.items()},
            tensors=snapshot.tensors, whole=True, time=time.time(),
            environment=environment.describe(encoded.packages, encoded.seeds, git),
            author=self._repo.author, step=step if step >= 0 else None, metrics=metrics, notes=self._notes,
            data=self._data,
        )  # fmt: skip
        self._since, self._ranges = time.monotonic(), ranges
        writer.begin(lambda: self._write(draft, snapshot, step, before))
        blocked = time.perf_counter() - started
        self.progress.blocked_seconds += blocked
        self.progress.saves += 1
        self._cost = blocked if self._cost is None else (1 - SMOOTHING) * self._cost + SMOOTHING * blocked
        return True

    def _write(
        self, draft: Draft, snapshot: Snapshot, step: int, ranges: dict[str, tuple[float, float]]
    ) -> None:
        """In the background: commit the snapshot, then drop what need not be kept. If that fails, what the
        metrics reached goes back to `ranges`: a best value that is not on disk is to be saved yet."""
        try:
            snapshot.wait()
            version = self._repo.commit(draft)
        except Torn as error:
            self._ranges = ranges
            self._retake = f"again, for {error} changed while it was copied at step {step}"
            return
        except BaseException:
            self._ranges = ranges
            raise
        took = time.monotonic() - self._since
        self._teller.tell("saved", step, str(version))
        self.progress.saved = version
        self.log.mark("saved", max(step, 0), str(version))
        self._know()
        doomed = policy.doomed(self._saved, self._keep, version.number) if self._keep is not None else []
        if doomed:
            self._repo.append(lambda: Delete(self.model, tuple(doomed)))
            self._know()
        if doomed and time.monotonic() >= self._collected + COLLECTING:
            collect(self._repo, RETENTION_GRACE)
            self._collected = time.monotonic()
        if self._caught.ends and took > self._grace:
            warnings.warn(
                f"{version} took {took:.1f} s to save, and after a signal there are {self._grace:g} s: what "
                "is saved then may come too late; save more often, or grant more time and say so with grace=",
                RuntimeWarning,
                stacklevel=1,
            )


def _unchanged(encoded: parts.Encoded, steps: frameworks.Steps) -> set[str]:
    """The tensors that stay the same until an optimizer's next step: copied beside what comes first."""
    return {
        name
        for name, data in encoded.tensors.items()
        if data.changes is not None and not callable(data.data) and data.data.ctypes.data in steps.addresses
    }


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


def _saved(version: Version) -> Saved:
    return Saved(
        number=version.number, step=version.step, time=version.time, metrics=version.metrics,
        tags=version.tags, bytes=version.bytes, bytes_added=version.bytes_added,
    )  # fmt: skip


def _checked(objects: Mapping[str, Any]) -> dict[str, Any]:
    """The objects of a run. Raises CannotSave for what cannot go on where it was."""
    for name, obj in objects.items():
        if name in RESERVED:
            raise CannotSave(f"{name}: the run itself has a part of this name; call it something else")
        if isinstance(obj, GeneratorType):
            raise CannotSave(
                f"{name}: a generator cannot be resumed, for nobody can tell where it stands; use a loader "
                "with `state_dict` (torchdata's StatefulDataLoader), or an object that counts its steps"
            )
    return dict(objects)


def _goes_by_state(obj: Any) -> bool:
    """Whether an object is saved by its `state_dict()`: no codec knows it, or it holds what has no data form,
    such as the function in an average of weights. It is restored into one that is there, which has that."""
    if not (hasattr(obj, "state_dict") and hasattr(obj, "load_state_dict")):
        return False
    if codec_for(type(obj)) is None:
        return True
    try:
        parts.encode(obj)
    except CannotSave:
        return True
    return False
