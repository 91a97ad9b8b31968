"""Runs a soak; see the package."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.stateful.soak.journal import Workspace
from tests.stateful.soak.judge import judge
from tests.stateful.soak.sabotage import sabotage
from tests.stateful.soak.watch import Watch
from tests.stateful.soak.worker import live

PATIENCE = 120.0
"""Seconds in which a worker stops once it should, or hangs."""


class Role(NamedTuple):
    """A worker: what it does, whether it is killed, and whether its file operations fail."""

    role: str
    mortal: bool
    faulty: bool


ROLES = {
    "saver-1": Role("save", False, False),
    "saver-2": Role("save", True, False),
    "saver-3": Role("save", False, True),
    "saver-4": Role("save", True, True),
    "run-1": Role("train", True, False),
    "run-2": Role("train", True, True),
    "run-3": Role("train", False, False),
    "tagger": Role("tag", True, True),
    "deleter-1": Role("delete", False, False),
    "deleter-2": Role("delete", True, True),
    "collector-1": Role("collect", False, False),
    "collector-2": Role("collect-late", True, True),
    "collector-3": Role("collect", True, True),
    "checker-1": Role("check", False, False),
    "checker-2": Role("check", True, True),
    "reader-1": Role("read", False, False),
    "reader-2": Role("read", True, True),
}


class Soak:
    """All processes of a soak."""

    def __init__(self, workspace: Workspace, seed: int, seconds: float) -> None:
        self._workspace, self._seconds = workspace, seconds
        self._chance = random.Random(seed)
        self._watch = Watch(workspace)
        self._pids: dict[str, int] = {}
        self._lives = dict.fromkeys(ROLES, 0)
        self._stopped: dict[str, float] = {}
        self._done: dict[str, int] = {}
        self.problems: list[str] = []

    def run(self) -> None:
        """Until the time is over, or something is wrong."""
        begin = time.monotonic()
        pause = begin + max(12.0, self._seconds / 10)
        measured = 0.0
        try:
            for name in ROLES:
                self._start(name)
            while not self.problems and (now := time.monotonic()) < begin + self._seconds:
                self._disturb(now)
                self._bury()
                if now - measured > max(0.5, self._seconds / 400):
                    self._watch.measure({n: p for n, p in self._pids.items() if not ROLES[n].mortal})
                    measured = now
                if now > pause:
                    self._pause()
                    pause = time.monotonic() + max(12.0, self._seconds / 10)
                time.sleep(0.03)
            self._end()
        finally:
            for pid in self._pids.values():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self._judge(final=True)
        self.problems += self._watch.problems()
        print(self._watch.table())
        print(", ".join(f"{count} times {what}" for what, count in sorted(self._done.items())))

    def _start(self, name: str) -> None:
        role, self._lives[name] = ROLES[name], self._lives[name] + 1
        number, life = [*ROLES].index(name) + 1, self._lives[name]
        self._pids[name] = _forked(lambda: live(role.role, name, number, life, self._workspace, role.faulty))

    def _disturb(self, now: float) -> None:
        """Kill, stop, let go on, break."""
        for name in [name for name, until in self._stopped.items() if now > until]:
            del self._stopped[name]
            os.kill(self._pids[name], signal.SIGCONT)
        draw = self._chance.random()
        name = self._chance.choice([*ROLES])
        if draw < 0.06 and ROLES[name].mortal:
            self._stopped.pop(name, None)
            os.kill(self._pids[name], signal.SIGKILL)
            self._count("killed")
        elif draw < 0.12 and name not in self._stopped:
            os.kill(self._pids[name], signal.SIGSTOP)
            self._stopped[name] = now + self._chance.uniform(0.02, 2.0)
            self._count("stopped")
        elif draw < 0.2:
            self._count(sabotage(self._workspace, self._chance))

    def _count(self, what: str) -> None:
        self._done[what] = self._done.get(what, 0) + 1

    def _bury(self) -> None:
        """Workers that were killed live again; none dies by itself."""
        for name, pid in [*self._pids.items()]:
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                continue
            self._stopped.pop(name, None)
            if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                self.problems.append(f"{name} ended by itself: {status}")
            self._start(name)

    def _pause(self) -> None:
        """Stop all where they are, and let a judge look."""
        for pid in self._pids.values():
            os.kill(pid, signal.SIGSTOP)
        while not all(map(_stands_still, self._pids.values())):
            time.sleep(0.01)
        self._judge(final=False)
        for pid in self._pids.values():
            os.kill(pid, signal.SIGCONT)
        self._stopped.clear()
        self._count("pauses")

    def _judge(self, final: bool) -> None:
        """In a process of its own: this one only ever forks."""
        told = self._workspace.folder / "judged.json"
        pid = _forked(lambda: told.write_text(json.dumps(judge(self._workspace, final))) and 0)
        _, status = os.waitpid(pid, 0)
        if status:
            self.problems.append(f"the judge ended with {status}")
            return
        found, line = json.loads(told.read_text())
        print(line, flush=True)
        self.problems += found

    def _end(self) -> None:
        """Tell all to stop; one that cannot hangs."""
        self._workspace.stop.touch()
        for pid in self._pids.values():
            os.kill(pid, signal.SIGCONT)
        until = time.monotonic() + PATIENCE
        while self._pids and time.monotonic() < until:
            for name, pid in [*self._pids.items()]:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    del self._pids[name]
                    if status not in (0, signal.SIGKILL):
                        self.problems.append(f"{name} ended by itself: {status}")
            time.sleep(0.02)
        self.problems += [f"{name} hangs" for name in self._pids]


def _forked(act: Callable[[], object]) -> int:
    """A process that does something, and ends with what that returns; with its parent at latest."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with suppress(OSError, AttributeError):  # other systems have no such thing
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        code = int(act() or 0)  # type: ignore[call-overload]
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(code)


def _stands_still(pid: int) -> bool:
    """Whether a process is stopped, or dead."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] in "TZ"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stateful.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="of what is killed, stopped and broken when")
    parser.add_argument("--store", type=Path, help="a new folder; its parent gets the journals")
    parser.add_argument("--sync", action="store_true", help="wait for the disk, as users do")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=options.store.parent if options.store else None))
    workspace = Workspace(folder, options.store or folder / "store", options.sync)
    workspace.journals.mkdir()
    soak = Soak(workspace, options.seed, options.minutes * 60)
    soak.run()
    for problem in soak.problems[:20]:
        print(f"WRONG: {problem}")
    if soak.problems:
        print(f"{len(soak.problems)} promises were broken; all is in {folder}, seed {options.seed}")
        return 1
    shutil.rmtree(folder)
    print("All promises were kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
