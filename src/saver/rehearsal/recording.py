"""Records the state of a run for a proof in separate processes: see `saver rehearse --prove`."""

from __future__ import annotations

import os
import time

import msgspec

from saver.checkpoints import Checkpoints
from saver.checkpoints.events import Ended, Event, Resumed, SnapshotTaken, StepTaken
from saver.checkpoints.objects import LOG
from saver.encoding import encode
from saver.file import write_file
from saver.opening import open_file
from saver.rehearsal.proof import Number, Trained, comparable
from saver.rehearsal.reporting import Reporter
from saver.rehearsal.script import KILL
from saver.repo import manifest as manifests
from saver.repo.manifest import Manifest
from saver.repo.version import Version
from saver.training_log import TrainingLog

VARIABLE = "SAVER_RECORDING"
"""The environment variable that holds an `Asked` as JSON; without it, nothing is recorded."""

LINGER = 60.0
"""Seconds after which a run that has recorded ends itself, in case the rehearsal is gone."""


class Asked(msgspec.Struct, frozen=True):
    """A request: train `steps` steps from a version, write the state to the file at `path`, and stop.

    The version is that of the `saves`th save after the start; for 0, the one from which the run resumes.
    The request is for the `run` of this name; for "", for any run.
    """

    path: str
    steps: int
    saves: int = 0
    run: str = ""

    def variables(self) -> dict[str, str]:
        """The environment variables that pass the request to a process."""
        return {VARIABLE: msgspec.json.encode(self).decode()}


class Recording:
    """Listens to a run and carries out the request `asked`."""

    def __init__(self, run: Checkpoints, asked: Asked, reporter: Reporter) -> None:
        self._run, self._asked, self._reporter = run, asked, reporter
        self._saves = 0
        self._ref = ""
        """The version from which the steps are trained."""

        self._steps = 0

    def __call__(self, event: Event) -> None:
        match event:
            case SnapshotTaken() if not self._ref:
                self._run.flush()  # before the next step, so that memory holds what was saved
                self._saves += 1
                if self._saves == self._asked.saves:
                    self._train_from(self._run.progress.saved)
            case Resumed(version=version) if not self._asked.saves:
                self._train_from(version)
            case StepTaken() if self._ref:
                self._steps += 1
                if self._steps == self._asked.steps:
                    self._record()
            case Ended(failed=False) if self._ref:  # the training ended before
                self._record()

    def _train_from(self, version: Version | None) -> None:
        """Start counting: memory holds the state of this version. Nothing newer is saved from now on."""
        self._ref = str(version)
        self._run.stop_saving()

    def _record(self) -> None:
        """Write the state. Does not return, since nobody needs what the script would do next."""
        encoded = encode(comparable(self._run.objects) | {LOG: self._run.log.snapshot()})
        document = Manifest(format=manifests.FORMAT, parts={}, time=time.time())
        write_file(self._asked.path, document, encoded)
        self._reporter.report("recorded", ref=self._ref)
        time.sleep(LINGER)
        os.kill(os.getpid(), KILL)


def read(path: str | os.PathLike[str], step: int) -> Trained:
    """The recorded result of the steps after `step`. Raises what opening a single file raises."""
    state = open_file(path)
    log: TrainingLog = state.load((), [LOG])[LOG]
    state = state.without(LOG)
    rows = [row for row in log.rows() if row["step"] > step]
    reported = [
        Number(row["step"], name, float(value))
        for row in rows
        for name, value in row.items()
        if name not in ("step", "time")
    ]
    return Trained(list(dict.fromkeys(row["step"] for row in rows)), state, reported)
