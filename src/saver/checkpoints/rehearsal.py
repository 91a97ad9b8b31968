"""What a run tells of itself when it is rehearsed: see `saver rehearse`."""

from __future__ import annotations

import os
import time
from typing import Literal, TypeAlias

import msgspec

VARIABLE = "SAVER_REHEARSAL"
"""Names the file to which runs append; without it they tell nothing."""

BURST = 1000
"""Steps that are told in a second, or at once after a pause: the last one before a long one is among them.
Telling one takes 5 µs."""

Kind: TypeAlias = Literal["started", "resumed", "step", "signal", "saved", "flushed", "recorded", "ended"]


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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


class Teller:
    """Appends events to the file, each with one write, so that several threads and processes may."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._file = -1
        self._last = 0.0
        self._left = 0.0

    def open(self) -> None:
        """Begin to tell, if the environment names a file. Raises OSError when there is no writing to it."""
        path = os.environ.get(VARIABLE)
        if path and self._file < 0:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def tell(self, kind: Kind, step: int = -1, ref: str = "", signal: int = 0) -> None:
        """Append an event; of steps, no more than BURST a second."""
        if self._file < 0:
            return
        now = time.monotonic()
        if kind == "step":
            self._left = min(BURST, self._left + (now - self._last) * BURST)
            self._last = now
            if self._left < 1:
                return
            self._left -= 1
        event = Told(kind=kind, at=now, process=os.getpid(), run=self._run, step=step, ref=ref, signal=signal)
        os.write(self._file, msgspec.json.encode(event) + b"\n")

    def close(self) -> None:
        """Tell no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read(data: bytes) -> list[Told]:
    """The events of a file, without the line that is being written. Raises ValueError for what is none."""
    whole = data[: data.rfind(b"\n") + 1]
    return msgspec.json.Decoder(Told).decode_lines(whole)
