"""What saving costs a training run: the seconds it stands still, the speed it loses, the memory that is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.loops import DCP, LIMIT, SAVINGS, Saving, Training
from benchmarks.measure import remove, rounds
from benchmarks.tables import Row, Table

HOME = Path(__file__).resolve().parents[1]
ROUNDS = 5
SAVES, STEPS = 2, 8
"""How often a process saves, and how many steps it trains for each save."""

BARE = "without saving"


@dataclass(frozen=True, slots=True)
class Found:
    """What one process found. Seconds for which a save stopped the training; seconds of a step with saving and
    without; bytes of the state, and by which the process had grown once the first save was written."""

    blocked: float
    saving: float
    bare: float
    state: int
    kept: int


def run(folder: Path, repeat: int = ROUNDS, factor: int = 1, saves: int = SAVES, steps: int = STEPS) -> list[Table]:
    """The tables `checkpoints`, of what blocks, and `checkpoints-steps`, of the speed of the training."""
    found: dict[str, list[Found]] = defaultdict(list)

    def turn(what: str) -> Callable[[], None]:
        return lambda: found[what].append(measure(what, folder, factor, saves, steps))

    rounds(repeat, [turn(what) for what in SAVINGS])
    return _tables(found, steps)


def measure(what: str, folder: Path, factor: int, saves: int, steps: int) -> Found:
    """One way to save, in a new process, so that no one finds another's memory or threads."""
    home = folder / "checkpoints"
    home.mkdir()
    arguments = (what, str(home), str(factor), str(saves), str(steps))
    command = (sys.executable, "-W", "ignore", "-m", "benchmarks.checkpoints", *arguments)
    environment = os.environ | {"SAVER_CACHE": str(home / "cache"), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOME, env=environment)
    if done.returncode:
        raise RuntimeError(f"measuring {what} failed:\n{done.stderr}")
    remove(home)
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def _measure(what: str, folder: Path, factor: int, saves: int, steps: int) -> Found:
    """Save once, so that all memory is there, and compare what can be loaded; then count."""
    training = Training(factor)
    arrays = training.arrays()
    before = _resident()
    saving = SAVINGS[what](training, folder)
    _check(what, saving)
    kept = _resident() - before
    bare, with_saving, blocked = [], [], []
    for _ in range(saves):
        bare.append(_seconds_of_step(training, steps))
        begin, held = time.perf_counter(), saving.held
        training.step()
        saved = time.perf_counter()
        saving.save()
        saved = time.perf_counter() - saved
        _seconds_of_step(training, steps - 1)
        saving.wait()
        with_saving.append((time.perf_counter() - begin) / steps)
        blocked.append(saved + saving.held - held)
    saving.close()
    state = sum(array.nbytes for array in arrays)
    return Found(median(blocked), median(with_saving), median(bare), state, max(0, kept))


def _seconds_of_step(training: Training, steps: int) -> float:
    begin = time.perf_counter()
    for _ in range(steps):
        training.step()
    return (time.perf_counter() - begin) / max(1, steps)


def _check(what: str, saving: Saving) -> None:
    """Save, train on while it is written, and raise AssertionError unless the moment of the save comes back."""
    arrays = saving.training.arrays()
    then = [array[..., :1].copy() for array in arrays]
    saving.save()
    saving.training.step()
    saving.wait()
    loaded = saving.load()
    if loaded is not None and not all(
        np.array_equal(one[..., :1], other) for one, other in zip(loaded, then, strict=True)
    ):
        raise AssertionError(f"{what}: what was loaded is not what was saved")


def _resident() -> int:
    """Bytes of memory of the process that are no file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return sum(int(sizes[name].split()[0]) for name in ("RssAnon", "RssShmem")) * 1024


def _tables(found: dict[str, list[Found]], steps: int) -> list[Table]:
    some = next(iter(found.values()))
    size = some[0].state
    rows, paces = [], []
    for what, several in found.items():
        kept = () if what == LIMIT else tuple(one.kept for one in several)
        rows.append(Row(what, tuple(one.blocked for one in several), bytes=kept))
        if what != LIMIT:
            paces.append(Row(what, tuple(one.saving for one in several)))
    bare = [median(one.bare for one in turn) for turn in zip(*found.values(), strict=True)]
    paces.insert(0, Row(BARE, tuple(bare)))
    rates = tuple((f"{1 / median(row.seconds):.2f}",) for row in paces)
    title = f"a training run of {size / 1e9:.2f} GB saves itself"
    blocked = Table(
        "checkpoints", f"{title}: it stands still", _BLOCKED, tuple(rows), DCP, LIMIT, size, "ms", kept="MB kept"
    )
    pace = Table(
        "checkpoints-steps", f"{title}: seconds a step", _STEPS.format(steps), tuple(paces), "", BARE,
        extra=("steps/s",), cells=rates,
    )  # fmt: skip
    return [blocked, pace]
