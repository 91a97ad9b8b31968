"""Reports the events of a run to a rehearsal, as lines of a file: see `saver rehearse`."""

from __future__ import annotations

import os
import time
from typing import Literal, TypeAlias

import msgspec

from saver.checkpoints.events import (
    Ended,
    Event,
    Resumed,
    SaveWritten,
    SignalArrived,
    SignalServed,
    Started,
    StepTaken,
)

VARIABLE = "SAVER_REHEARSAL"
"""The environment variable that names the file of the reports; without it, nothing is reported."""

BURST = 1000
"""Steps that are reported per second, or at once after a pause, so that the last step before a long one is
reported. A report takes 5 µs."""

Kind: TypeAlias = Literal["started", "resumed", "step", "signal", "saved", "flushed", "recorded", "ended"]


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event of a run, a line of JSON. `at` is from the monotonic clock, which all processes share.

    `started`: the run was entered. `resumed`: from the version `ref`, saved at `step`. `step`: finished.
    `signal`: it arrived while `step` was the last finished step. `saved`: `ref`, the state at `step`, is on
    disk. `flushed`: every save that the signals requested is on disk. `recorded`: the state after training
    from `ref` is in the requested file. `ended`: the run was left.
    """

    kind: Kind
    at: float
    process: int
    run: str
    step: int = -1
    ref: str = ""
    signal: int = 0


class Reporter:
    """Listens to a run and appends its events to the file at `path`, each with one write, so that several
    threads and processes can report. Raises OSError if the file cannot be opened.
    """

    def __init__(self, run: str, path: str) -> None:
        self._run = run
        flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | flags, 0o600)
        self._last = 0.0
        self._left = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case StepTaken(step=step):
                self.report("step", step)
            case SaveWritten(step=step, version=version):
                self.report("saved", step, str(version))
            case SignalArrived(step=step, number=number):
                self.report("signal", step, signal=number)
            case SignalServed(step=step):
                self.report("flushed", step)
            case Resumed(step=step, version=version):
                self.report("resumed", step, str(version))
            case Started():
                self.report("started")
            case Ended(step=step):
                self.report("ended", step)

    def report(self, kind: Kind, step: int = -1, ref: str = "", signal: int = 0) -> None:
        """Append an event; for steps, at most BURST per second."""
        now = time.monotonic()
        if kind == "step":
            self._left = min(BURST, self._left + (now - self._last) * BURST)
            self._last = now
            if self._left < 1:
                return
            self._left -= 1
        event = RunEvent(
            kind=kind, at=now, process=os.getpid(), run=self._run, step=step, ref=ref, signal=signal
        )
        os.write(self._file, msgspec.json.encode(event) + b"\n")


def read(data: bytes) -> list[RunEvent]:
    """The events of a file, except a line still being written. Raises ValueError if one is invalid."""
    whole = data[: data.rfind(b"\n") + 1]
    return msgspec.json.Decoder(RunEvent).decode_lines(whole)
