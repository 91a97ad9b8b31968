"""What is told of a run while it is rehearsed, as lines of a file: see `saver rehearse`."""

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
"""Names the file to which it is appended; without it, nobody listens to runs."""

BURST = 1000
"""Steps that are told in a second, or at once after a pause: the last one before a long one is among them.
Telling one takes 5 µs."""

Kind: TypeAlias = Literal["started", "resumed", "step", "signal", "saved", "flushed", "recorded", "ended"]


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event in a run, a line of JSON. `at` is of the system's monotonic clock, which all processes share.

    `started`: the run was entered. `resumed`: from the version `ref`, saved at `step`. `step`: finished.
    `signal`: noted while `step` was the last one finished. `saved`: `ref`, the state at `step`, is on disk.
    `flushed`: so is everything that the signals asked for. `recorded`: so is the state that training
    came to from `ref` on, in the file that was asked for. `ended`: the run was left.
    """

    kind: Kind
    at: float
    process: int
    run: str
    step: int = -1
    ref: str = ""
    signal: int = 0


class Reporter:
    """Listens to a run and appends what happens to the file at `path`, each event with one write, so that
    several threads and processes may. Raises OSError when it cannot be opened.
    """

    def __init__(self, run: str, path: str) -> None:
        self._run = run
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._last = 0.0
        self._left = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case StepTaken(step=step):
                self.tell("step", step)
            case SaveWritten(step=step, version=version):
                self.tell("saved", step, str(version))
            case SignalArrived(step=step, number=number):
                self.tell("signal", step, signal=number)
            case SignalServed(step=step):
                self.tell("flushed", step)
            case Resumed(step=step, version=version):
                self.tell("resumed", step, str(version))
            case Started():
                self.tell("started")
            case Ended(step=step):
                self.tell("ended", step)

    def tell(self, kind: Kind, step: int = -1, ref: str = "", signal: int = 0) -> None:
        """Append an event; of steps, no more than BURST a second."""
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
    """The events of a file, without the line that is being written. Raises ValueError for what is none."""
    whole = data[: data.rfind(b"\n") + 1]
    return msgspec.json.Decoder(RunEvent).decode_lines(whole)
