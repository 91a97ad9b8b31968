"""Lives of processes, begun, watched and judged from the tests. `acting.py` says what they do."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

Line: TypeAlias = dict[str, Any]

PATIENCE = 60.0
"""Seconds for which nothing may happen, before a process is said to hang."""


class Life(NamedTuple):
    """What a process reported, and how it ended, as `os.waitpid` says it."""

    heard: list[Line]
    status: int

    @property
    def killed(self) -> bool:
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    def failures(self) -> list[Line]:
        return [line for line in self.heard if line["what"] == "failed"]

    def done(self, act: str) -> list[Line]:
        return [line for line in self.heard if line["what"] == "done" and line["act"] == act]


class Hangs(AssertionError):
    """A process does nothing any more."""


class Lives:
    """A process that forks for each life: nothing is imported in it, and nothing is open."""

    def __init__(self, cache: Path, environment: dict[str, str] | None = None) -> None:
        self.cache = cache
        here = Path(__file__).parent
        self._process = subprocess.Popen(
            [sys.executable, str(here / "acting.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd="/", bufsize=0,
            env={
                **os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
                "OPENBLAS_NUM_THREADS": "1", "SAVER_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1",
                **(environment or {}),
            },
        )  # fmt: skip
        self._rest = b""
        line = self.hear()
        assert line["what"] == "ready", line

    def hear(self) -> Line:
        """The next line."""
        assert self._process.stdout is not None
        end = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            if not select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise Hangs(f"nothing was reported for {PATIENCE} s")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError("the process that forks has ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        found: Line = json.loads(line)
        return found

    def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")

    def live(self, task: dict[str, Any], heard: Callable[[Line], None] | None = None) -> Life:
        """One life. `heard` is called with each line as it comes."""
        self.say(json.dumps({"cache": str(self.cache), **task}))
        lines: list[Line] = []
        try:
            while (line := self.hear())["what"] != "ended":
                lines.append(line)
                if heard is not None:
                    heard(line)
        except Hangs:
            for line in lines[:1]:
                os.kill(line["pid"], signal.SIGKILL)
            self.hear()
            raise
        return Life([line for line in lines if line["what"] not in ("begun", "waits")], line["status"])

    def judged(self, folder: Path, before: dict[str, int], life: Life) -> list[str]:
        """What is not as promised in a store, seen by a process that never had anything to do with it."""
        task = {"judge": True, "folder": str(folder), "before": before, "heard": life.heard}
        found = self.live(task)
        wrong = [line["wrong"] for line in found.heard if line["what"] == "judged"]
        if not wrong:
            return [f"the judge ended with {found.status}: {found.heard}"]
        broken = [line["error"] for line in life.heard if line["what"] == "broken"]
        return [*wrong[0], *broken]

    def end(self) -> None:
        """No more lives."""
        self._process.kill()
        self._process.communicate()
