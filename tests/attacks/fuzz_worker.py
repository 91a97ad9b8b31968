"""The process in which hostile files are loaded: forked, limited, watched, and expendable."""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import mutations
from forge import File, dumps
from fuzz_uses import use
from fuzz_watch import Watch

import saver
from saver import registry

ROOM = 4 << 30
"""Address space for what a file makes, beyond that of the libraries; a budget is at least 64 MiB."""

MEMORY, SECONDS, SMALL = 1 << 30, 10.0, 1 << 20
"""A file of less than SMALL bytes must not take as much memory or processor time to load."""

STEP_SECONDS, USE_SECONDS = 1.5, 8.0


class TooLong(BaseException):
    """A step took longer than anyone waits in a fuzzer."""


class Notes:
    """Where a process is, in memory that outlives it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)

    def write(self, **facts: Any) -> None:
        text = json.dumps(facts).encode()[:4000]
        self._memory[: len(text) + 1] = text + b"\0"

    def read(self) -> dict[str, Any]:
        return json.loads(bytes(self._memory[:]).partition(b"\0")[0] or b"{}")


class Worker:
    """Loads files one after another and says what came of each."""

    def __init__(self, watch: Watch, notes: Notes, folder: Path) -> None:
        self.watch, self.notes, self.folder = watch, notes, folder
        self.slow: list[str] = []
        self.case: dict[str, Any] = {}
        self._until = 0.0

    def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        left = self._until - time.monotonic()
        if left <= 0:
            return None
        self.notes.write(**self.case, phase="use", step=name)
        self.watch.begin("use", name)
        try:
            signal.setitimer(signal.ITIMER_REAL, min(STEP_SECONDS, left))
            return function(*arguments)
        except TooLong:
            self.slow.append(name)
        except Exception:
            pass  # an object of odd state may fail, in Python's way
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.watch.end()
        return None

    def load_and_use(self, path: Path) -> tuple[str, dict[str, str]]:
        """ "loaded" or the error's code, and what should not have happened."""
        self.watch.path, self.watch.found, self.slow = str(path), {}, []
        self._until = time.monotonic() + USE_SECONDS
        memory, began = _peak(), time.process_time()
        self.notes.write(**self.case, phase="load", step="load")
        outcome, obj = "loaded", None
        self.watch.begin("load", "load")
        try:
            obj = saver.load(path)
        except saver.SaverError as error:
            outcome = error.code
        except MemoryError:
            outcome = "MemoryError"
        except BaseException as error:
            self.watch.end()
            outcome = type(error).__name__
            self.watch.found[f"{type(error).__name__} from load"] = _where(error)
        finally:
            self.watch.end()
        self._weigh(path, outcome, _peak() - memory, time.process_time() - began)
        if outcome == "loaded":
            try:
                use(obj, self.step)
            except Exception as error:  # what the uses look at before they take a step
                self.slow.append(f"{type(error).__name__} between steps")
            except BaseException as error:
                self.watch.found[f"{type(error).__name__} in use"] = _where(error)
        return outcome, self.watch.found

    def _weigh(self, path: Path, outcome: str, memory: int, seconds: float) -> None:
        if path.stat().st_size < SMALL:
            if outcome == "MemoryError" or memory > MEMORY:
                self.watch.found["memory in load"] = f"{memory >> 20} MiB more"
            if seconds > SECONDS:
                self.watch.found["time in load"] = f"{seconds:.1f} s"

    def learn(self, path: Path) -> None:
        """Load and use an honest file: what it does, all may do."""
        with quiet():
            self.load_and_use(path)  # imports what is imported when it is first needed
            self.watch.learning = True
            self.load_and_use(path)
            self.watch.learning = False

    def run(self, cases: Iterator[tuple[str, Callable[[Path], list[str]]]], answers: int) -> None:
        """Each case is its name, and what writes its file and tells how that was made. Never returns."""
        self._limit()
        for family in registry.families():
            family.admits("", "")  # its list of classes is read when it is first asked, whatever is loaded
        path = self.folder / "case.saver"
        with quiet():
            for name, make in cases:
                self.case = {"case": name}
                try:
                    self.case["kinds"] = make(path)
                except Exception as error:  # such as JSON that nests too deep for the one who writes it
                    self.answer(answers, case=name, outcome=f"not written: {type(error).__name__}", found={})
                    continue
                outcome, found = self.load_and_use(path)
                self.answer(answers, outcome=outcome, found=found, slow=self.slow, **self.case)
                if found:
                    break  # who knows what it left behind
        self.answer(answers, calls=dict(self.watch.calls))
        os._exit(0)

    def answer(self, answers: int, **facts: Any) -> None:
        data = json.dumps(facts).encode() + b"\n"
        while data:
            data = data[os.write(answers, data) :]

    def _limit(self) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        size = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (1200, 1200))
        self.folder.mkdir(exist_ok=True)
        os.environ["TMPDIR"] = str(self.folder)
        os.chdir(self.folder)
        signal.signal(signal.SIGALRM, _alarm)
        faulthandler.enable((self.folder / "crash.txt").open("w"))


class quiet(warnings.catch_warnings):
    """Without warnings, and with the alarm that ends long steps."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        signal.signal(signal.SIGALRM, _alarm)


def _alarm(*_: Any) -> None:
    raise TooLong


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _where(error: BaseException) -> str:
    found, trace = "", error.__traceback__
    while trace is not None:
        found, trace = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}", trace.tb_next
    return f"{found}: {error}"[:300]


def mutant(file: File, others: mutations.Others, seed: str) -> Callable[[Path], list[str]]:
    """What writes a changed copy of an honest file."""

    def make(path: Path) -> list[str]:
        changed = file.copy()
        kinds = mutations.mutate(changed, Random(seed), others)
        dumps(changed.manifest)
        changed.write(path)
        return kinds

    return make
