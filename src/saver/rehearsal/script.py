"""A training script in a separate process, which reports the events of its runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeAlias, TypeVar

from saver.errors import SaverError
from saver.rehearsal.reporting import VARIABLE, RunEvent, read
from saver.storage import Progress

T = TypeVar("T")

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""The signal that ends a process at once. On Windows any does that which is sent to another process."""

INTERVAL = 0.02
"""Seconds between two reads of its reports."""

PATIENCE = "wait longer with --patience"

Waiting: TypeAlias = Callable[[str], AbstractContextManager[Progress | None]]
"""Shows the user what the rehearsal is waiting for, until the end of its `with` block."""


class RehearsalError(SaverError, RuntimeError):
    """A rehearsal had no result: the script ended too early, or took too long."""

    code = "rehearsal"


class Script:
    """A script that runs in its own session until the end of the `with` block, which kills all its processes.

    Its output goes to a file in `folder`, which is created. `variables` are added to its environment.
    """

    def __init__(self, command: Sequence[str], folder: Path, variables: Mapping[str, str] = {}) -> None:
        self.command = command
        self._variables = {VARIABLE: str(folder / "events"), **variables}
        self.events: list[RunEvent] = []
        self.began = 0.0
        self._reports, self._output = folder / "events", folder / "output"
        self._read = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Script:
        self._reports.parent.mkdir()
        self._reports.touch()
        _signals.delay()
        try:
            with self._output.open("wb") as output:
                self.began = time.monotonic()
                self._process = subprocess.Popen(
                    self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True, env=os.environ | self._variables,
                )  # fmt: skip
        except BaseException:
            _signals.deliver()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.kill()
        finally:
            _signals.deliver()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Its first process."""
        assert self._process is not None
        return self._process

    def send(self, number: int, group: bool = False) -> None:
        """Send a signal to its first process, or also to all processes that it has started."""
        if group:
            with suppress(ProcessLookupError):
                self._send_to_all(number)
        else:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL to it and to all processes that it started, such as the workers of data loaders."""
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses if all have ended
            self._send_to_all(KILL)
        self.process.wait()
        self.look()

    def _send_to_all(self, number: int) -> None:
        """Windows has no groups of processes: there, it reaches the first one."""
        if hasattr(os, "killpg"):
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def look(self) -> None:
        """Read the events that it has reported since the last look."""
        with self._reports.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        self.events += read(whole)

    def wait_for(
        self, what: str, find: Callable[[list[RunEvent]], T | None], patience: float, advice: str = PATIENCE
    ) -> T:
        """Wait for a result of `find` from its events, for `patience` seconds. Raises RehearsalError if the
        script ends first, or takes longer; then, if a run has begun, the error ends with `advice`.
        """
        end = time.monotonic() + patience
        while True:
            _signals.check()
            ended = self.process.poll() is not None
            self.look()
            found = find(self.events)
            if found is not None:
                return found
            if ended:
                raise RehearsalError(f"the script ended ({self.status}) before {what}; {self._last_words()}")
            if time.monotonic() > end:
                known = advice if self.events else _NO_RUN
                raise RehearsalError(f"{patience:g} s passed before {what}; {known}")
            time.sleep(INTERVAL)

    def end(self, seconds: float) -> bool:
        """Wait until it has ended, for at most `seconds`; False if it has not."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            _signals.check()
            time.sleep(min(INTERVAL, max(0.0, end - time.monotonic())))
        return self.process.poll() is not None

    @property
    def status(self) -> str:
        """How it ended: `exit code 0`, or the name of the signal that ended it."""
        code = self.process.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:  # a real-time signal without a name
            return f"signal {-code}"

    def _last_words(self) -> str:
        lines = self._output.read_bytes()[-4096:].decode(errors="replace").split("\n")
        last = [line.strip() for line in lines if line.strip()]
        return f"its last output: {last[-1]}" if last else "it had no output"


_NO_RUN = "it has not entered a run; write `with store.checkpoints(...) as run:`"


@contextmanager
def ended_like_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the rehearsal as Ctrl-C does, so that the script is ended too."""
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _signals.arrived)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # otherwise it is ignored, as by nohup
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _signals.arrived)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Signals:
    """Ctrl-C and SIGTERM while a script runs: they raise KeyboardInterrupt where the rehearsal waits, and
    nowhere else.

    At any instant it could be one at which the script is left running, or one within `subprocess.Popen`:
    its `poll` takes a lock without a `with`, and then no `wait` ever returns.
    """

    def __init__(self) -> None:
        self._delays = self._arrived = False

    def arrived(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        if not self._delays:
            raise KeyboardInterrupt
        self._arrived = True

    def delay(self) -> None:
        """Delay what arrives from here on."""
        self._delays, self._arrived = True, False

    def check(self) -> None:
        """Raise KeyboardInterrupt if something arrived."""
        if self._arrived:
            raise KeyboardInterrupt

    def deliver(self) -> None:
        """Delay nothing more, and raise KeyboardInterrupt if something arrived."""
        self._delays = False
        self.check()


_signals = _Signals()
