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
"""Seconds that the tests of one mutant may take; they take a few. One that hangs is caught."""

MEMORY = 6 << 30
"""Bytes of address space for one process: without its limits, Saver may allocate all memory."""


class Result(NamedTuple):
    """`caught` says whether the mutant was noticed: by a test, a hang or a signal, as `by` says. None if
    the mutant is equivalent, or its tests could not be run; then `by` gives the reason."""

    name: str
    caught: bool | None
    by: str
    seconds: float


def run(mutant: Mutant) -> Result:
    """Apply a mutation to a copy, and find out whether its tests notice."""
    if mutant.equivalent:
        return Result(mutant.name, None, f"equivalent: {mutant.equivalent}", 0.0)
    started = time.monotonic()
    with _folder() as folder:
        _copied(folder, mutant)
        caught, by = _judged(*_tested(folder / "run", folder, mutant.tests, stop=True))
    return Result(mutant.name, caught, by, time.monotonic() - started)


def sound(mutants: Iterable[Mutant], jobs: int) -> str:
    """The output of those of their tests that fail without any mutation; empty if all pass, as they must. The
    tests of each file run in a process of their own, so that none depends on what another left behind."""
    files: dict[str, dict[str, None]] = {}
    for test in (test for mutant in mutants if not mutant.equivalent for test in mutant.tests):
        files.setdefault(test.partition("::")[0], {})[test] = None
    with _folder() as folder, ThreadPoolExecutor(jobs) as pool:
        _copied(folder, None)
        runs = pool.map(
            lambda file: _tested(folder / file.replace("/", "-"), folder, files[file], False), files
        )
        return "\n".join(output or "the tests hang" for code, output in runs if code != 0)


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
    """The exit status of pytest (None if it took too long) and its output. Its files are in a new folder."""
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
        with suppress(ProcessLookupError):  # and the processes that the tests started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _judged(code: int | None, output: str) -> tuple[bool | None, str]:
    """Whether a test noticed, and which; None if the tests themselves could not be run."""
    if code is None:
        return True, f"nothing in {PATIENCE} seconds: it hangs"
    if code < 0 and code != -signal.SIGKILL:  # SIGKILL may have come from anyone
        return True, f"{signal.Signals(-code).name} ended the process"
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+?::\S.*?)(?: - .*)?$", output, re.MULTILINE)
    if code == 1 and failed:
        return True, failed[1]
    if code == 0:
        return False, ""
    return None, f"the tests could not be run: {output.strip()[-300:]}"
