"""Signals that ask a run to save before it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any

ENDING = frozenset(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGXCPU")
    if hasattr(signal, name)
)
"""Signals that end a process; after others it goes on."""


class Caught:
    """Notes signals while it is in place, instead of what they would do; `pass_on` lets one do its work."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = sorted(numbers)
        self._before: dict[int, Any] = {}
        self.arrived: set[int] = set()

    def install(self) -> None:
        """Catch the signals. Only the main thread can: elsewhere this does nothing, and says so by
        `installed`.
        """
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                self._before[number] = signal.signal(number, self._note)

    @property
    def installed(self) -> bool:
        """Whether signals are caught."""
        return bool(self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in self.arrived and number in ENDING:
            self.pass_on(number)  # asked twice: whoever asks means it
        self.arrived.add(number)

    def ending(self) -> int | None:
        """A signal that arrived and ends the process, if one did."""
        return next(iter(sorted(self.arrived & ENDING)), None)

    def forget(self) -> None:
        """The save that was asked for is done."""
        self.arrived.clear()

    def pass_on(self, number: int) -> None:
        """Let the signal do what it would have done without us."""
        self.remove()
        os.kill(os.getpid(), number)

    def remove(self) -> None:
        """Put back what was there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}
