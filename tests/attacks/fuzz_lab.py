"""Where the fuzzer makes its honest files and forks the processes that load hostile ones."""

from __future__ import annotations

import importlib
import json
import os
import re
import select
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import canaries
import fuzz_words as words
from forge import File, forged
from fuzz_samples import makers
from fuzz_watch import Watch
from fuzz_worker import Notes, Worker

from saver import registry

Case = tuple[str, Callable[[Path], list[str]]]
Outcome = dict[str, Any]

PATIENT = ("fit", "partial_fit", "step")
"""What may take as long as the options say that stand in the file: a user who fits it again wants that."""


class Lab:
    """Honest files by the name of their sample, made when first asked for, and forked workers."""

    def __init__(self, wanted: tuple[str, ...], folder: Path, plant: str = "", timeout: float = 20.0) -> None:
        os.environ["SAVER_CONFIG"] = str(folder / "no-config.toml")
        self.folder, self.timeout, self.plant = folder, timeout, plant
        canaries.admit()
        registry.is_installed("nothing")  # reads the entry points of all distributions, once
        if any(name.partition("/")[0] != "plain" for name in wanted) or not wanted:
            preload()
        self.makers = makers(wanted)
        self.watch, self.calls = Watch(), dict[str, int]()
        self.watch.install()
        self._files: dict[str, File | None] = {}
        self._teacher = Worker(self.watch, Notes(), folder)
        self._forks = 0

    @property
    def files(self) -> list[File]:
        return [file for file in self._files.values() if file is not None]

    def file(self, name: str) -> File | None:
        """The honest file of a sample, taken apart; what it does when it is used is allowed from now on."""
        if name not in self._files:
            self._files[name] = self._make(name)
        return self._files[name]

    def _make(self, name: str) -> File | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                folder = Path(tempfile.mkdtemp(dir=self.folder))
                found = forged(folder, self.makers[name]())
            except (
                BaseException
            ) as error:  # one that the libraries here do not make, or that has no data form
                if isinstance(error, KeyboardInterrupt):
                    raise
                print(f"no sample {name}: {type(error).__name__}: {str(error)[:100]}", flush=True)
                return None
        with silence():
            self._teacher.learn(folder / "honest.saver")
        return found

    def fork(self, cases: list[Case]) -> Running:
        self._forks += 1
        folder = self.folder / f"worker-{self._forks % 64}"
        notes, (read, write) = Notes(), os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            try:
                os.close(read)
                null = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(null, stream)
                worker = Worker(self.watch, notes, folder)
                if self.plant:
                    import fuzz_plants

                    fuzz_plants.PLANTS[self.plant]()
                worker.run(iter(cases), write)
            finally:
                os._exit(70)
        os.close(write)
        return Running(pid, read, notes, folder, [name for name, _ in cases], self.timeout)

    def outcomes(self, cases: list[Case]) -> Iterator[tuple[Outcome, Path]]:
        """What comes of each case, and its file, which is there until the next case."""
        while cases:
            running = self.fork(cases)
            for outcome in running.outcomes():
                if "calls" in outcome:
                    for what, count in outcome["calls"].items():
                        self.calls[what] = self.calls.get(what, 0) + count
                else:
                    yield outcome, running.folder / "case.saver"
            cases = cases[running.answered :]

    def alone(self, data: bytes) -> Outcome:
        """What comes of one file in a process of its own."""

        def make(path: Path) -> list[str]:
            path.write_bytes(data)
            return []

        return next(self.outcomes([("alone", make)]))[0]


class Running:
    """A worker, as its parent sees it."""

    def __init__(
        self, pid: int, read: int, notes: Notes, folder: Path, names: list[str], timeout: float
    ) -> None:
        self.folder, self.answered = folder, 0
        self._pid, self._read, self._notes, self._names, self._timeout = pid, read, notes, names, timeout

    def outcomes(self) -> Iterator[Outcome]:
        buffer, hung, ended = b"", False, False
        try:
            while True:
                ready, _, _ = select.select([self._read], [], [], self._timeout)
                if not ready:
                    hung = True
                    break
                data = os.read(self._read, 1 << 16)
                if not data:
                    break
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    outcome = json.loads(line)
                    ended = ended or "calls" in outcome
                    self.answered += "calls" not in outcome
                    yield outcome
        finally:
            if hung or not ended:
                with suppress(ProcessLookupError):
                    if hung:
                        os.kill(self._pid, signal.SIGABRT)  # so that it tells where it is
                        time.sleep(0.3)
                        os.kill(self._pid, signal.SIGKILL)
            _, status = os.waitpid(self._pid, 0)
            os.close(self._read)
        if not ended and self.answered < len(self._names):
            yield self._death(status, hung)

    def _death(self, status: int, hung: bool) -> Outcome:
        """The outcome of the case in which it died."""
        note = self._notes.read()
        phase, step = note.get("phase", "start"), note.get("step", "")
        where = self._crash_site()
        if hung:
            how, kind = "hangs", "hang"
        elif os.WIFSIGNALED(status):
            how, kind = signal.Signals(os.WTERMSIG(status)).name, "crash"
        else:
            how, kind = f"exits with {os.WEXITSTATUS(status)}", "exit"
        case = self._names[self.answered]
        self.answered += 1
        outcome = {"case": case, "kinds": note.get("kinds", []), "outcome": kind, "found": {}, "slow": []}
        if hung and step in PATIENT:
            return {**outcome, "outcome": "loaded", "slow": [step]}
        return {
            **outcome,
            "found": {
                f"{how} in {phase}" + (f" at {where[0]}" if where else ""): f"{step}: " + " < ".join(where)
            },
        }

    def _crash_site(self) -> list[str]:
        """The innermost functions, as faulthandler printed them."""
        with suppress(OSError):
            text = (self.folder / "crash.txt").read_text(errors="replace")
            main = text.rpartition("Current thread")[2]
            found = re.findall(r'File "([^"]*)", line (\d+) in (\S+)', main)
            return [
                f"{'/'.join(Path(path).parts[-2:])}:{name}" for path, _, name in found if "fuzz" not in path
            ][:7]
        return []


class silence:
    """Nothing on the screen from objects that print."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        self._kept = os.dup(1), os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        os.close(null)

    def __exit__(self, *_: Any) -> None:
        sys.stdout.flush()
        for stream, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, stream)
            os.close(kept)


def preload() -> None:
    """Import what files may ask for, so that loading them imports nothing."""
    names = [*words.references(), *(name for names in words.CLASSES.values() for name in names)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in sorted({name.partition(":")[0] for name in names}):
            with suppress(Exception):  # of another version of the library, or one that is not installed
                importlib.import_module(module)
        with suppress(ImportError):
            import torch

            torch.set_num_threads(1)
