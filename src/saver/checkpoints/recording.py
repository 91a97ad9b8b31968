"""What a run does when its training is to be proved in a process of its own: see `saver rehearse --prove`."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import msgspec

from saver.checkpoints.objects import LOG, Objects
from saver.checkpoints.rehearsal import Teller
from saver.encoding import encode
from saver.repo import manifest as manifests
from saver.repo.manifest import Manifest
from saver.training_log import TrainingLog

if TYPE_CHECKING:
    from saver.checkpoints.proof import Trained

VARIABLE = "SAVER_RECORDING"
"""Holds an `Asked` as JSON; without it, runs record nothing."""

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
    """Does what the environment asks of a run, and otherwise nothing."""

    def __init__(self, run: str, objects: Objects, log: TrainingLog, teller: Teller) -> None:
        self._run, self._objects, self._log, self._teller = run, objects, log, teller
        self._asked: Asked | None = None
        self._saves = 0
        self._ref = ""
        """The version that is trained from."""

        self._steps = 0

    def open(self) -> None:
        """See what is asked for. Raises msgspec.DecodeError for what is nothing."""
        text = os.environ.get(VARIABLE)
        asked = msgspec.json.decode(text, type=Asked) if text else None
        self._asked = asked if asked is not None and asked.run in ("", self._run) else None

    @property
    def counts_saves(self) -> bool:
        """Whether it must be told of saves, each before the next step."""
        return self._asked is not None and not self._ref

    @property
    def forbids_saves(self) -> bool:
        """Whether nothing may be saved, so that the version that is trained from stays the newest."""
        return bool(self._ref)

    def saved(self, ref: str) -> None:
        """A version is on disk that holds what is in memory now."""
        self._saves += 1
        if self._asked is not None and self._saves == self._asked.saves:
            self._ref = ref

    def resumed(self, ref: str) -> None:
        """What a version holds is in memory now."""
        if self._asked is not None and not self._asked.saves:
            self._ref = ref

    def step(self) -> None:
        """A step is finished and in the log."""
        if self._asked is not None and self._ref:
            self._steps += 1
            if self._steps == self._asked.steps:
                self._record(self._asked)

    def end(self) -> None:
        """The training is over."""
        if self._asked is not None and self._ref:
            self._record(self._asked)

    def _record(self, asked: Asked) -> None:
        """Does not return: what the script would do next is for no one."""
        from saver import file
        from saver.checkpoints.proof import comparable

        encoded = encode(comparable(self._objects) | {LOG: self._log.snapshot()})
        document = Manifest(format=manifests.FORMAT, parts={}, time=time.time())
        file.write_file(asked.path, document, encoded)
        self._teller.tell("recorded", ref=self._ref)
        time.sleep(LINGER)
        os.kill(os.getpid(), signal.SIGKILL)


def read(path: str | os.PathLike[str], step: int) -> Trained:
    """What was recorded of the steps after `step`. Raises what opening a single file does."""
    from saver.checkpoints.proof import Told, Trained
    from saver.file import open_file

    state = open_file(path)
    log: TrainingLog = state.load((), [LOG])[LOG]
    state = state.without(LOG)
    rows = [row for row in log.rows() if row["step"] > step]
    told = [
        Told(row["step"], name, float(value))
        for row in rows
        for name, value in row.items()
        if name not in ("step", "time")
    ]
    return Trained(list(dict.fromkeys(row["step"] for row in rows)), state, told)
