"""The demo's second half: a training run that is killed, resumed, and compared to an uninterrupted one."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saver import Saver, Version, dump
from saver.cli import Failure, Finding, program
from saver.cli._killed import EVERY, REPORTED, STEPS

if TYPE_CHECKING:
    from saver.cli._digits import Digits
    from saver.cli.demo import Tour

KILLED_AFTER = 200
"""The step whose report is followed by SIGKILL, at a random moment before the next report."""

LOOP = f"""\
run = store.checkpoints("killed", objects, every=Every(steps={EVERY}), keep=keep)
with run:
    for step in range(run.resume(), {STEPS}):
        loss = train_step(step)
        run.step(step, loss=loss)
"""

PACKAGES = {"torch": "PyTorch", "numpy": "NumPy"}


class Training:
    """A process that trains and reports its progress."""

    def __init__(self, store: Path, name: str, data: Path, kind: str, read_along: bool) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-P", "-m", "saver.cli._killed", str(store), name, str(data), kind),
            env=variables(),
            stdin=subprocess.PIPE if read_along else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.number = self._process.pid

    def reports(self) -> Iterator[dict[str, Any]]:
        """Its reports, to the end; the process waits until the next one is requested. Raises Failure."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield json.loads(line)
            self.proceed()
        self.finish()

    def proceed(self) -> None:
        """Let it continue if it waits; do nothing if it has ended."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write("\n")
                self._process.stdin.flush()

    def finish(self) -> None:
        """Wait for its end. Raises Failure if its exit code is not 0."""
        process = self._process
        errors = process.communicate()[1]
        if process.returncode != 0:
            last = errors.strip().rpartition("\n")[2]
            raise Failure(f"the training process ended with code {process.returncode}: {last}")

    def kill(self) -> None:
        """Send SIGKILL, which no process can catch; do nothing if it has ended."""
        self._process.kill()
        self._process.communicate()


def variables() -> dict[str, str]:
    """Environment variables with which another Python imports from the same places as this one."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def show(digits: Digits, folder: Path, tour: Tour) -> None:
    """Kill a training run, resume it, compare it, and look at what the store in `folder` contains."""
    address = folder / "runs"
    kind = "torch" if find_spec("torch") is not None else "numpy"
    with (
        tempfile.TemporaryDirectory(prefix="saver-demo-") as exchange,
        _cache(exchange),
        ExitStack() as stack,
    ):
        data = Path(exchange, "data.saver")
        dump(digits.scaled(), data)
        store = Saver(address)
        whole, killed = _names(store)
        other = Training(address, whole, data, kind, read_along=False)
        stack.callback(other.kill)
        _kill(Training(address, killed, data, kind, read_along=True), kind, tour, stack)
        _resume(Training(address, killed, data, kind, read_along=True), tour, stack)
        other.finish()
        _compare(store, whole, killed, tour)
        _look(address, whole, killed, folder, tour)


@contextmanager
def _cache(folder: str) -> Iterator[None]:
    """Keep the index of the demo's store, which is a cache, out of the user's own cache."""
    before = os.environ.get("SAVER_CACHE")
    os.environ["SAVER_CACHE"] = os.path.join(folder, "cache")
    try:
        yield
    finally:
        del os.environ["SAVER_CACHE"]
        if before is not None:
            os.environ["SAVER_CACHE"] = before


def _names(store: Saver) -> tuple[str, str]:
    """Free names for the two runs: the folder may hold those of an earlier demo."""
    taken = set(store.models() if store.exists() else ())
    number = 1
    while not taken.isdisjoint(names := [name + f"-{number}" * (number > 1) for name in ("whole", "killed")]):
        number += 1
    return names[0], names[1]


def _kill(training: Training, kind: str, tour: Tour, stack: ExitStack) -> None:
    stack.callback(training.kill)
    tour.step(
        "Kill it in the middle of training",
        f"A small network in {PACKAGES[kind]} learns the same digits for {STEPS} steps, with dropout.",
        f"Every {EVERY} steps it is saved in the background: weights, optimizer, random states, log.",
    )
    tour.on.code(LOOP.splitlines())
    before = time.monotonic()
    for report in training.reports():
        if "start" in report:
            tour.on.say(f"Is that enough to resume? rehearsal.prove: {report['proof']}.")
            tour.on.say(f"Process {training.number} trains:")
            continue
        _bar(report, tour)
        passed, before = time.monotonic() - before, time.monotonic()
        if report["step"] + 1 == KILLED_AFTER:
            training.proceed()
            time.sleep(random.SystemRandom().uniform(0, passed))
            break
    training.kill()
    tour.on.say(
        f"SIGKILL: process {training.number} is gone, at a random moment after step {KILLED_AFTER} "
        f"and before step {KILLED_AFTER + REPORTED + 1}."
    )


def _resume(training: Training, tour: Tour, stack: ExitStack) -> None:
    stack.callback(training.kill)
    tour.step(
        "Continue as if nothing had happened",
        "A new process runs the same code; run.resume() loads the newest whole version.",
        "The steps after that version were lost with the process, and are trained again.",
    )
    for report in training.reports():
        if "start" in report:
            ref, start = report["ref"], report["start"]
            tour.on.say(f"Process {training.number} resumes from {ref}, after step {start}:")
        else:
            _bar(report, tour)


def _bar(report: dict[str, Any], tour: Tour) -> None:
    step, accuracy = f"{report['step'] + 1:>{len(str(STEPS))}}", report["held_out_accuracy"]
    tour.on.bar(f"step {step}   loss {report['loss']:.4f}   accuracy {accuracy:6.1%}", accuracy)


def _compare(store: Saver, whole: str, killed: str, tour: Tour) -> None:
    """Raises Finding unless both runs ended with the same bits."""
    tour.step(
        "The same bits",
        f"Meanwhile another process trained all {STEPS} steps and was never killed. The hashes of both:",
    )
    ends = store.version(whole), store.version(killed)
    names = [name for name in ends[0].parts if name not in ("log", "run")]
    hashes = [[_hash(end, name) for end in ends] for name in names]
    tour.on.table(("part", whole, killed), [(name, *both) for name, both in zip(names, hashes, strict=True)])
    losses = [store.load(str(end), parts=["log"])["log"]["loss"][1] for end in ends]
    size = min(map(len, losses))
    same = int((losses[0][:size].view("u8") == losses[1][:size].view("u8")).sum())
    tour.on.say(f"{same} of the {len(losses[0])} losses in the log are equal, to the last bit.")
    if any(one != other for one, other in hashes) or not same == len(losses[0]) == len(losses[1]) == STEPS:
        raise Finding(
            f"{store.storage}: {killed} did not end with the bits of {whole}; "
            f"please report this with the output of `saver diff {ends[0]} {ends[1]}`"
        )


def _hash(version: Version, part: str) -> str:
    return version.parts[part].hash[:16] if part in version.parts else "-"


def _look(address: Path, whole: str, killed: str, folder: Path, tour: Tour) -> None:
    tour.step("What is stored", "A folder of plain files, and commands to look at it:")
    store = ("--store", str(address))
    versions = Saver(address).versions(killed)
    _command(tour, "ls", killed, *store)
    _command(tour, "diff", str(versions[0]), str(versions[-1]), "-n", "4", *store)
    _command(tour, "plot", killed, "-m", "loss", *store)
    if find_spec("matplotlib") is not None:
        _command(tour, "plot", whole, killed, "-o", str(folder / "runs.png"), *store)


def _command(tour: Tour, *arguments: str) -> None:
    """Show a command and its output."""
    tour.on.code(["", shlex.join(("saver", *arguments))])
    program.main(list(arguments), prog_name="saver", standalone_mode=False)
