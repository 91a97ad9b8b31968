"""Signals that ask a run to save before it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

ENDING = frozenset(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGBREAK")
    if hasattr(signal, name)
)
"""Signals that end a process; after others, it continues."""


class Caught:
    """Records signals while it is installed, instead of their normal effect; `pass_on` lets one take that
    effect.

    Python runs handlers in the main thread, between two of its instructions: a signal that arrives during
    native code is recorded when that code returns.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = sorted(numbers)
        self._listener: Callable[[int], None] | None = None
        self._before: dict[int, Any] = {}
        self._process = 0
        self._due: set[int] = set()
        self.arrived: set[int] = set()

    def install(self, listener: Callable[[int], None] | None = None) -> bool:
        """Catch the signals; `listener` is called with each one. Only the main thread can: in other threads
        this does nothing, and returns False if there are any to catch."""
        if threading.current_thread() is not threading.main_thread():
            return not self._numbers
        self._listener, self._process = listener, os.getpid()
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._note)
        return True

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked child, such as a data loader's worker, has no run
            self._work(number, frame)
            return
        if number in self._due:
            self._due.discard(number)
            self.arrived.discard(number)
            self._work(number, frame)
            return
        if self._listener is not None:
            self._listener(number)
        if number in self.arrived and number in ENDING:
            self._work(number, frame)  # a second signal is deliberate: it takes effect at once
        self.arrived.add(number)

    @property
    def ending(self) -> bool:
        """Whether one of the signals to catch ends the process."""
        return bool(ENDING.intersection(self._numbers))

    def join(self, numbers: Iterable[int]) -> frozenset[int]:
        """Signals that arrived in any rank: as if they had here. Returns those that are caught here."""
        found = frozenset(self._before).intersection(numbers)
        self.arrived |= found
        return found

    def ends(self, number: int) -> bool:
        """Whether `pass_on` ends the process: the caller has no handler for it."""
        return self.works(number) and not callable(self._before.get(number))

    def works(self, number: int) -> bool:
        """Whether `pass_on` does anything: the signal ends the process, or the caller has a handler."""
        before = self._before.get(number)
        return callable(before) or (number in ENDING and before is not signal.SIG_IGN)

    def pass_on(self, number: int) -> None:
        """Let a signal that arrived take its normal effect: call the previous handler, or end the process.

        Without such a handler, a signal that is not in ENDING has no further effect.
        """
        if not self.works(number):
            self.arrived.discard(number)
        elif threading.current_thread() is threading.main_thread():
            self.arrived.discard(number)
            self._work(number, sys._getframe())
        else:
            self._due.add(number)
            _send_here(number)  # again, for the main thread

    def pass_all_on(self, raised: BaseException | None) -> None:
        """Let all signals that arrived take their normal effect. `raised` is what would end the process
        otherwise; it is printed first."""
        arrived = sorted(filter(self.works, self.arrived))
        if arrived and raised is not None:
            traceback.print_exception(raised)  # since the process may end here
        for number in arrived:
            self.pass_on(number)
        self.arrived.clear()

    def _work(self, number: int, frame: FrameType | None) -> None:
        """The effect that the signal would have without this class."""
        before = self._before.get(number)
        if callable(before):
            before(number, frame)
        elif before is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def remove(self) -> None:
        """Restore the previous handlers, except where someone has installed another one since."""
        self._listener = None
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _send_here(number: int) -> None:
    """Send this process a signal. On Windows `os.kill` would end it at once, whatever handlers it has."""
    if sys.platform == "win32":
        signal.raise_signal(number)
    else:
        os.kill(os.getpid(), number)
