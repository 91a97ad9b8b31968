"""Runs the tests of one mutant against a copy of the package: nothing in the working tree is touched."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from .mutant import ROOT, SOURCE, Mutant

PATIENCE = 600
"""Seconds that the tests of one mutant may take; they take a few. Who hangs is caught."""

MEMORY = 6 << 30
"""Bytes of address space for one process: without its limits, Saver may want more than there is."""


class Result(NamedTuple):
    """`caught` by the test `by`, or by what is said there; None for what is equivalent, and so was not run,
    or could not be run: `by` says why."""

    name: str
    caught: bool | None
    by: str
    seconds: float


def run(mutant: Mutant) -> Result:
    """Apply a mutation to a copy, and see whether its tests notice."""
    if mutant.equivalent:
        return Result(mutant.name, None, f"equivalent: {mutant.equivalent}", 0.0)
    started = time.monotonic()
    with _folder() as folder:
        _copied(folder, mutant)
        caught, by = _judged(*_tested(folder / "run", folder, mutant.tests, stop=True))
    return Result(mutant.name, caught, by, time.monotonic() - started)


def sound(mutants: Iterable[Mutant], jobs: int) -> str:
    """What fails of all their tests without any mutation; empty when they pass, as they must. Those of each
    file have a process of their own: no test depends on what another one left behind."""
    files: dict[str, dict[str, None]] = {}
    for test in (test for mutant in mutants if not mutant.equivalent for test in mutant.tests):
        files.setdefault(test.partition("::")[0], {})[test] = None
    with _folder() as folder, ThreadPoolExecutor(jobs) as pool:
        _copied(folder, None)
        runs = pool.map(
            lambda file: _tested(folder / file.replace("/", "-"), folder, files[file], False), files
        )
        return "\n".join(output or "they hang" for code, output in runs if code != 0)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="saver-mutant-")
    try:
        yield Path(folder)
    finally:  # a test may have left folders too deep for what removes them in Python
        subprocess.run(["rm", "-rf", folder], check=False)


def _copied(folder: Path, mutant: Mutant | None) -> None:
    shutil.copytree(SOURCE, folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    if mutant is not None:
        (folder / "src" / "saver" / mutant.file).write_text(mutant.changed())


def _tested(folder: Path, copy: Path, tests: Iterable[str], stop: bool) -> tuple[int | None, str]:
    """The exit status of pytest, None when it took too long, and what it said. What it leaves lies in a new
    folder."""
    (folder / "tmp").mkdir(parents=True)
    options = ["-q", "-p", "no:cacheprovider", "-rfE", "--tb=no", f"--basetemp={folder / 'base'}"]
    command = [sys.executable, "-m", "pytest", *options, *(["-x"] if stop else [])]
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy / "src"),
        "TMPDIR": str(folder / "tmp"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "COLUMNS": "1000",
    }
    process = subprocess.Popen(
        [*command, *(f"tests/{test}" for test in tests)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
        output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        with suppress(ProcessLookupError):  # and whatever the tests have begun
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _judged(code: int | None, output: str) -> tuple[bool | None, str]:
    """Whether a test noticed, and which; None when the tests themselves could not be run."""
    if code is None:
        return True, f"nothing in {PATIENCE} seconds: it hangs"
    if code < 0 and code != -signal.SIGKILL:  # which may have come from anybody
        return True, f"the process, which {signal.Signals(-code).name} ended"
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+?::\S.*?)(?: - .*)?$", output, re.MULTILINE)
    if code == 1 and failed:
        return True, failed[1]
    if code == 0:
        return False, ""
    return None, f"the tests could not be run: {output.strip()[-300:]}"
