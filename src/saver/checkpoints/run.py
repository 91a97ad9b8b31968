"""A training run that saves itself and resumes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from types import GeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from saver import environment, frameworks, parts, policy
from saver.checkpoints import progress as telling
from saver.checkpoints.progress import Line, Pace
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
    from saver.checkpoints.proof import Proof, Told
    from saver.saver import Saver

LOG, RANDOM, RUN = "log", "random", "run"
RESERVED = (LOG, RANDOM, RUN)
"""Parts that a run saves beside the caller's objects."""

RETENTION_GRACE = 60.0
"""Seconds that dropped versions are left to who is loading them."""

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
        self._data, self._notes = data, notes
        self._total, self._wanted = total, progress
        self._pace = Pace()
        self._line: Line | None = None
        self._proving: list[Told] | None = None
        self._staging = Staging()
        self._writer: Writer | None = None
        self._caught = Caught(every.signals)
        self._saved: list[Saved] = []
        self._ranges: dict[str, tuple[float, float]] = {}
        self._cost: float | None = None
        self._previous: int | None = None
        self._previous_epoch: float | None = None
        self._since = 0.0
        self._retake = ""
        self._unhook: Callable[[], None] | None = None
        self._snapshot: Snapshot | None = None

    # The frame around the loop

    def __enter__(self) -> Checkpoints:
        self._writer = Writer(self.model.rpartition("/")[2])
        self._caught.install()
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
        try:
            writer.close()
            if error is None:
                writer.raise_failure()
            elif writer.failed:
                try:
                    writer.raise_failure()
                except BaseException as failure:
                    error.add_note(f"and the last save failed: {failure}")
        finally:
            self._end_line()
            self._close()

    def _close(self) -> None:
        self._release()
        ending = self._caught.ending()
        self._caught.remove()
        self._staging.close()
        self._snapshot = None
        if ending is not None:
            self._caught.pass_on(ending)

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
            self.log.mark("resumed", step, str(version))
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
        values = {name: float(value) for name, value in metrics.items() if value is not None}
        if self._proving is not None:
            self._proving += [Told(step, name, value) for name, value in values.items()]
            return False
        writer = self._inside()
        writer.raise_failure()
        self.log.append(step, epoch, **metrics)
        now = time.monotonic()
        moment = Moment(
            step=step, previous=self._previous, epoch=epoch, previous_epoch=self._previous_epoch,
            metrics=values, ranges=self._ranges, signals=frozenset(self._caught.arrived),
            since=now - self._since, cost=self._cost,
        )  # fmt: skip
        reason = self._every.due(moment, self._saved) or self._retake
        self._previous = step
        self._previous_epoch = epoch if epoch is not None else self._previous_epoch
        self.progress.step = step
        self.progress.steps_per_second = self._pace(step, now)
        saved = bool(reason) and self._begin(step, epoch, values, reason)
        ending = self._caught.ending()
        if ending is not None:
            self.flush()
            self._caught.pass_on(ending)
        self._caught.forget()
        if self._line is not None and self._line.is_due(now):
            self._moment = moment
            self._show(self._line)
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
        self._ranges = policy.widened(self._ranges, metrics)
        self._retake = ""
        encoded = parts.encode(
            {name: _sayable(obj) for name, obj in self._objects.items()}
            | {
                LOG: self.log.snapshot(),
                RANDOM: frameworks.random_states(),
                RUN: {
                    "step": step,
                    "epoch": epoch,
                    "reason": reason,
                    "ranges": {n: list(r) for n, r in self._ranges.items()},
                },
            }
        )
        steps = frameworks.steps(self._objects.values())  # anew: an optimizer makes its state when it steps
        later = _unchanged(encoded, steps) if steps is not None else set()
        snapshot = self._staging.take(encoded.tensors, later)
        if later and steps is not None:
            self._snapshot = snapshot
            self._unhook = steps.before(self._hold)
        draft = Draft(
            model=self.model,
            parts={n: DraftPart(p.tree, p.batches, p.packages, p.tensors) for n, p in encoded.parts.items()},
            tensors=snapshot.tensors, whole=True, time=time.time(),
            environment=environment.describe(encoded.packages, encoded.seeds, git),
            author=self._repo.author, step=step, metrics=metrics, notes=self._notes,
        )  # fmt: skip
        self._since = time.monotonic()
        writer.begin(lambda: self._write(draft, snapshot))
        blocked = time.perf_counter() - started
        self.progress.blocked_seconds += blocked
        self.progress.saves += 1
        self._cost = blocked if self._cost is None else (1 - SMOOTHING) * self._cost + SMOOTHING * blocked
        return True

    def _write(self, draft: Draft, snapshot: Snapshot) -> None:
        """In the background: commit the snapshot, then drop what need not be kept."""
        try:
            snapshot.wait()
        except Torn as error:
            self._retake = f"again, for {error} changed while it was copied at step {draft.step}"
            return
        version = self._repo.commit(draft)
        self.progress.saved = version
        self.log.mark("saved", draft.step or 0, str(version))
        self._know()
        doomed = policy.doomed(self._saved, self._keep, version.number) if self._keep is not None else []
        if doomed:
            self._repo.append(lambda: Delete(self.model, tuple(doomed)))
            collect(self._repo, RETENTION_GRACE)
            self._know()


def _unchanged(encoded: parts.Encoded, steps: frameworks.Steps) -> set[str]:
    """The tensors that stay the same until an optimizer's next step: they are copied beside what comes first."""
    return {
        name
        for name, data in encoded.tensors.items()
        if data.changes is not None and not callable(data.data) and data.data.ctypes.data in steps.addresses
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


def _sayable(obj: Any) -> Any:
    """The object itself, or its `state_dict()` where no codec knows it."""
    if codec_for(type(obj)) is None and hasattr(obj, "state_dict") and hasattr(obj, "load_state_dict"):
        return obj.state_dict()
    return obj
