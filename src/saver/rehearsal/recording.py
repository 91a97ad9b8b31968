"""What is done to a run whose training is proved in a process of its own: see `saver rehearse --prove`."""

from __future__ import annotations

import os
import signal
import time

import msgspec

from saver.checkpoints import Checkpoints
from saver.checkpoints.events import Ended, Event, Resumed, SnapshotTaken, StepTaken
from saver.checkpoints.objects import LOG
from saver.encoding import encode
from saver.file import open_file, write_file
from saver.rehearsal.proof import Number, Trained, comparable
from saver.rehearsal.reporting import Reporter
from saver.repo import manifest as manifests
from saver.repo.manifest import Manifest
from saver.repo.version import Version
from saver.training_log import TrainingLog

VARIABLE = "SAVER_RECORDING"
"""Holds an `Asked` as JSON; without it, nothing is recorded of runs."""

LINGER = 60.0
"""Seconds until a run that has recorded ends itself: then whoever asked for it is gone."""


class Asked(msgspec.Struct, frozen=True):
    """Train so many `steps` on from a version, write the state to the file at `path`, and train no more.

    The version is the one of the `saves`th save after the start; for 0 the one that the run resumes from.
    Asked of the run of this name; for "" of any.
    """

    path: str
    steps: int
    saves: int = 0
    run: str = ""

    def variables(self) -> dict[str, str]:
        """How a process is asked."""
        return {VARIABLE: msgspec.json.encode(self).decode()}


class Recording:
    """Listens to a run and does what is `asked` of it."""

    def __init__(self, run: Checkpoints, asked: Asked, reporter: Reporter) -> None:
        self._run, self._asked, self._reporter = run, asked, reporter
        self._saves = 0
        self._ref = ""
        """The version that is trained from."""

        self._steps = 0

    def __call__(self, event: Event) -> None:
        match event:
            case SnapshotTaken() if not self._ref:
                self._run.flush()  # before the next step: then what is in memory is what was saved
                self._saves += 1
                if self._saves == self._asked.saves:
                    self._train_from(self._run.progress.saved)
            case Resumed(version=version) if not self._asked.saves:
                self._train_from(version)
            case StepTaken() if self._ref:
                self._steps += 1
                if self._steps == self._asked.steps:
                    self._record()
            case Ended(failed=False) if self._ref:  # the training was over before
                self._record()

    def _train_from(self, version: Version | None) -> None:
        """What this version holds is in memory now; it stays the newest."""
        self._ref = str(version)
        self._run.stop_saving()

    def _record(self) -> None:
        """Does not return: what the script would do next is for no one."""
        encoded = encode(comparable(self._run.objects) | {LOG: self._run.log.snapshot()})
        document = Manifest(format=manifests.FORMAT, parts={}, time=time.time())
        write_file(self._asked.path, document, encoded)
        self._reporter.tell("recorded", ref=self._ref)
        time.sleep(LINGER)
        os.kill(os.getpid(), signal.SIGKILL)


def read(path: str | os.PathLike[str], step: int) -> Trained:
    """What was recorded of the steps after `step`. Raises what opening a single file does."""
    state = open_file(path)
    log: TrainingLog = state.load((), [LOG])[LOG]
    state = state.without(LOG)
    rows = [row for row in log.rows() if row["step"] > step]
    told = [
        Number(row["step"], name, float(value))
        for row in rows
        for name, value in row.items()
        if name not in ("step", "time")
    ]
    return Trained(list(dict.fromkeys(row["step"] for row in rows)), state, told)
