"""The saves of a run: each is a snapshot of its objects, which is written while training continues."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from msgspec.structs import replace

from saver import callers, encoding, forks, framework, policy
from saver.checkpoints.events import Blocked, Listener, SaveFailed, SaveWritten, SnapshotTaken, SnapshotTorn
from saver.checkpoints.history import History
from saver.checkpoints.objects import Objects
from saver.checkpoints.pieces import of_pieces, pieces_of
from saver.checkpoints.position import Position
from saver.checkpoints.progress import Cost
from saver.checkpoints.ranks import Ranks
from saver.checkpoints.share import Share
from saver.checkpoints.writer import Writer
from saver.distributed.describing import everything
from saver.errors import CannotSaveError, CannotWriteError, CommitUnknownError, is_full
from saver.git import Git
from saver.logger import logger
from saver.policy.arguments import size_of
from saver.repo.draft import Draft, Encoded
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.version import Version
from saver.staging import Snapshot, Staging
from saver.tensors import TensorData
from saver.torn import Torn
from saver.training_log import TrainingLog

Ranges = Mapping[str, tuple[float, float]]
Commit: TypeAlias = Callable[[], Version]
Beside: TypeAlias = Callable[[Callable[[], None]], None]


class Saving:
    """Takes snapshots and lets the writer thread write them, one at a time, between `open` and `close`.

    `since` is when the last one began; `ranges` is the range of each metric over all of them, as in a
    `Moment`; `again` says why a snapshot must be taken again, if it must.
    """

    def __init__(
        self, repo: Repository, model: str, objects: Objects, log: TrainingLog, history: History,
        staging: int | str | None, details: Mapping[str, Any], emit: Listener, ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        self.since = 0.0
        self.ranges: Ranges = {}
        self.again = ""
        self.cost = Cost()
        self._repo, self._model, self._details = repo, model, details
        self._objects, self._log, self._history = objects, log, history
        self._emit, self._ranks = emit, ranks
        self._bounded = staging is not None
        self._staging = Staging(size_of("checkpoints", "staging", staging) if staging is not None else None)
        self._writer: Writer | None = None
        self._snapshot: Snapshot | None = None
        self._waits = False
        """Whether training must wait until a snapshot is written: it is of the tensors themselves."""
        self._unhook: Callable[[], None] | None = None
        self._unwatch: Callable[[], None] | None = None
        self.forked = False
        """Whether this is a forked child, to which the run does not belong."""
        forks.begin_anew(self, Saving._in_child)

    def _in_child(self) -> None:
        """In a forked child, the threads that copy and write are gone: nothing may wait for them."""
        self.forked, self._snapshot, self.again = True, None, ""

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    @property
    def writer(self) -> Writer:
        """The thread that writes. Raises CannotSaveError if the run is not open, RuntimeError in a child that
        was forked meanwhile."""
        if self._writer is None:
            raise CannotSaveError(f"{self._model}: the run is not open; write `with run:` around the loop")
        if self.forked:
            raise RuntimeError(
                f"{self._model}: this run belongs to the process that opened it; train and save there, or "
                "create another run in the child"
            )
        return self._writer

    def open(self) -> None:
        """Start the thread that writes."""
        self._writer, self.forked = Writer(self._model.rpartition("/")[2]), False
        self._unwatch = framework.watch(self._objects.live)
        self.since = time.monotonic()

    def finish(self) -> Writer:
        """Finish the save in progress and start no more. Returns the writer, which knows whether it
        failed."""
        writer = self._writer if self._writer is not None else self.writer
        self._writer = None
        writer.close()
        return writer

    def close(self) -> None:
        """Release hooks and memory."""
        self.release()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._staging.close()
        self._snapshot = None

    def flush(self) -> None:
        """Wait until everything is on disk. Raises the error of a save that failed."""
        self.writer.wait()
        self.writer.raise_failure()
        self.raise_given_up()

    def raise_given_up(self) -> None:
        """Raise CannotSaveError if the last snapshot was torn, and was not taken again."""
        if self.again:
            raise CannotSaveError(
                f"{self._model}: the last save was given up, to be taken {self.again}; change weights only "
                "in the step of an optimizer, or call flush() before"
            )

    def begin(
        self, step: int, epoch: float | None, metrics: dict[str, float], reason: str, soon: bool = False
    ) -> bool:
        """Take a snapshot, once the previous one is written, and start to write it. False if it was torn.
        `soon` as in Session.

        Ranks begin it also if the previous one failed, or if this one cannot take its snapshot: then the save
        fails in all of them. The writer has the error then.
        """
        writer = self.writer
        self.cost.begin()
        with self._blocking(step):
            writer.wait()
            earlier = writer.taken()
            if earlier is not None and self._ranks is None:
                raise earlier
            self.release()
            before = self.ranges
            place = Position(step, epoch, reason, policy.widened(before, metrics))
            self._waits = False
            try:
                commit, beside = self._prepared(place, metrics, soon)
            except Torn as error:
                self._give_up(error, step)
                return False
            self.since, self.ranges, self.again = time.monotonic(), place.ranges, ""
            beside(lambda: writer.begin(lambda: self._write(commit, step, before)))
            if self._waits:
                writer.wait()
            writer.keep(earlier)
            if self._waits and self._ranks is None:
                writer.raise_failure()
        self._emit(SnapshotTaken(step, self._staging.bytes))
        return True

    def _prepared(self, place: Position, metrics: dict[str, float], soon: bool) -> tuple[Commit, Beside]:
        """What commits a snapshot, in the background; and what starts that, and takes the snapshot if it has
        to wait for ranks."""
        if self._ranks is not None:
            return self._shared(self._ranks.saves(self._repo, place.step, soon), self._ranks, place, metrics)
        encoded = self._objects.encode(self._log.snapshot(), place)
        draft = self._draft(encoded, place, metrics)
        snapshot = self._take(encoded, place.step)
        copied = replace(draft, encoded=of_pieces(encoded, snapshot.tensors))
        return partial(self._commit, snapshot, copied), lambda save: save()

    def _shared(
        self, save: Callable[..., Version], ranks: Ranks, place: Position, metrics: dict[str, float]
    ) -> tuple[Commit, Beside]:
        """The same in one of many ranks. If it fails here, it fails in all."""
        try:
            encoded = self._objects.encode(self._log.snapshot(), place)
            draft = self._draft(encoded, place, metrics)
            known = everything(encoded) if ranks.alike else ranks.known_task(encoded)
        except Exception as error:
            self._waits = True
            return partial(save, _failing(error)), lambda save: save()
        share = Share(self._model, encoded, lambda chosen: self._take(chosen, place.step), known)

        def commit() -> Version:
            try:
                if ranks.alike and known is not None:  # each rank hashes all that it holds
                    return save(lambda: replace(draft, encoded=share.of(known)))
                return save(lambda: draft, share.of)
            finally:
                share.give_up()

        return commit, share.copy_beside

    def _draft(self, encoded: Encoded, place: Position, metrics: dict[str, float]) -> Draft:
        return encoding.draft(
            self._model, encoded, Git(), author=self._repo.author,
            step=place.step if place.step >= 0 else None, metrics=metrics, **self._details,
        )  # fmt: skip

    @contextmanager
    def _blocking(self, step: int) -> Iterator[None]:
        """A context in which training stands still for a save."""
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.cost.add(took)
            self._emit(Blocked(step, took))

    def _take(self, encoded: Encoded, step: int) -> Snapshot:
        """Copy the tensors, which are those of `encoded`; those that only optimizers change are copied in the
        background until the next step, but in ranks, whose saves would all fail if one changed. If there is
        not enough memory, they stay in place, and training must wait until they are written."""
        tensors = pieces_of(encoded)
        room = self._staging.room(tensors)
        if room < 0:
            return self._in_place(tensors, f"{-room / 1e9:.2f} GB too little", warn=not self._bounded)
        steps, later = self._objects.unchanged(encoded) if self._ranks is None else (None, set[str]())
        try:
            snapshot = self._staging.take(tensors, later)
        except MemoryError as error:  # this process may be limited, though the system has memory
            return self._in_place(tensors, str(error), warn=True)
        if later and steps is not None:
            self._snapshot = snapshot
            self._unhook = steps.before(lambda: self._hold(step))
        return snapshot

    def _in_place(self, tensors: Mapping[str, TensorData], why: str, warn: bool) -> Snapshot:
        """A snapshot of the tensors themselves: training waits while they are written."""
        self._waits = True
        if warn:
            callers.warn(
                f"{self._model}: not enough memory for a snapshot ({why}), so training waits while it is "
                "written; free memory, or bound its use with staging=...",
            )
        return Snapshot(tensors)

    def _hold(self, step: int) -> None:
        """Called before weights change: waits until they are copied."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            with self._blocking(step):
                snapshot.hold()

    def release(self) -> None:
        """Remove the hook from the optimizers' steps."""
        if self._unhook is not None:
            self._unhook()
            self._unhook = None

    def _give_up(self, error: Torn, step: int) -> None:
        self.again = f"again, because {error} changed while it was copied at step {step}"
        self._objects.restless.update(error.names)
        self._emit(SnapshotTorn(step, error.names))

    def _write(self, commit: Commit, step: int, ranges: Ranges) -> None:
        """In the background: commit the snapshot, then drop versions that need not be kept. If the commit
        fails, `ranges` is reset: a best value that is not on disk must still be saved."""
        try:
            version = commit()
        except BaseException as error:
            self.ranges = ranges
            if isinstance(error, CommitUnknownError):
                self._history.lose_count()
            if not isinstance(error, Torn):
                self._emit(SaveFailed(step, error))
                raise
            self._give_up(error, step)
            return
        self._emit(SaveWritten(step, version, time.monotonic() - self.since))
        if self._ranks is None or self._ranks.leads:
            self._history.add(version)

    def _commit(self, snapshot: Snapshot, draft: Draft) -> Version:
        """Commit; if the disk is full, free the bytes of dropped versions and try once more."""
        snapshot.wait()
        try:
            return save_version(self._repo, draft)
        except CannotWriteError as error:
            if not is_full(error) or not self._history.make_room():
                raise
            logger.warning(
                "%s: the disk was full; what was dropped is freed, and the save is tried again", self._model
            )
            return save_version(self._repo, draft)


def _failing(error: Exception) -> Callable[[], Draft]:
    """In the place of a draft that could not be made."""

    def fail() -> Draft:
        raise error

    return fail
