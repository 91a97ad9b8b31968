"""The cost of saving for a training run: the time it waits, the speed it loses, the memory it keeps."""

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

from benchmarks.loops import BATCH, DCP, LIMIT, SAVINGS, Saving, Training
from benchmarks.measure import remove, rounds
from benchmarks.tables import Row, Table

HOME = Path(__file__).resolve().parents[1]
ROUNDS = 5
SAVES, STEPS = 2, 8
"""How often each process saves, and how many steps it trains per save."""

STAGING = "for snapshots, of the state"


@dataclass(frozen=True, slots=True)
class Found:
    """The results of one process: seconds for which a save stopped the training; seconds of a step with
    saving and without; bytes of the state, bytes by which the process had grown once the first save was
    written, and bytes of those that are for snapshots, if known."""

    blocked: float
    saving: float
    bare: float
    state: int
    kept: int
    staging: int


def run(
    folder: Path, repeat: int = ROUNDS, factor: int = 1, saves: int = SAVES, steps: int = STEPS
) -> list[Table]:
    """The tables `checkpoints`, of the blocking time, and `checkpoints-steps`, of the speed of training."""
    found: dict[str, list[Found]] = defaultdict(list)

    def turn(what: str) -> Callable[[], None]:
        return lambda: found[what].append(measure(what, folder, factor, saves, steps, not found[what]))

    rounds(repeat, [turn(what) for what in SAVINGS])
    return _tables(found, steps)


def measure(what: str, folder: Path, factor: int, saves: int, steps: int, check: bool) -> Found:
    """Measure one way to save in a new process, without the memory or threads of another.

    With `check`, it also verifies that a save can be loaded.
    """
    home = folder / "checkpoints"
    home.mkdir()
    arguments = (what, str(home), str(factor), str(saves), str(steps), str(int(check)))
    command = (sys.executable, "-W", "ignore", "-m", "benchmarks.checkpoints", *arguments)
    environment = os.environ | {"SAVER_CACHE": str(home / "cache"), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOME, env=environment)
    if done.returncode:
        raise RuntimeError(f"measuring {what} failed:\n{done.stderr}")
    remove(home)
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def _measure(what: str, folder: Path, factor: int, saves: int, steps: int, check: int) -> Found:
    """Save once, so that all memory is allocated; then measure."""
    training = Training(factor)
    before = _resident()
    saving = SAVINGS[what](training, folder)
    saving.save()
    training.step()
    saving.wait()
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
    staging = saving.staging()
    if check:
        compare(what, saving)
    saving.close()
    state = sum(array.nbytes for array in training.arrays())
    return Found(median(blocked), median(with_saving), median(bare), state, max(0, kept), staging)


def _seconds_of_step(training: Training, steps: int) -> float:
    begin = time.perf_counter()
    for _ in range(steps):
        training.step()
    return (time.perf_counter() - begin) / max(1, steps)


def compare(what: str, saving: Saving) -> None:
    """Save, and train while it is written. Raises AssertionError unless the load gives the saved state."""
    then = [array.copy() for array in saving.training.arrays()]
    saving.save()
    saving.training.step()
    saving.wait()
    loaded = saving.load()
    if loaded is not None and not (len(loaded) == len(then) and all(map(np.array_equal, loaded, then))):
        raise AssertionError(f"{what}: the loaded state differs from the saved state")


def _resident() -> int:
    """Bytes of memory of the process that are not mapped from files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return sum(int(sizes[name].split()[0]) for name in ("RssAnon", "RssShmem")) * 1024


def _tables(found: dict[str, list[Found]], steps: int) -> list[Table]:
    size = next(iter(found.values()))[0].state
    title = f"a training run of {size / 1e9:.2f} GB saves itself"
    rows, staged = [], []
    for what, several in found.items():
        kept = () if what == LIMIT else tuple(one.kept for one in several)
        rows.append(Row(what, tuple(one.blocked for one in several), bytes=kept))
        staging = max(one.staging for one in several)
        staged.append((f"{staging / size:.2f}" if staging else "",))
    blocked = Table(
        "checkpoints", f"{title}: it stands still", _BLOCKED, tuple(rows), DCP, LIMIT, size, "ms",
        extra=(STAGING,), cells=tuple(staged), bytes_are="MB kept",
    )  # fmt: skip
    paces = {what: several for what, several in found.items() if what != LIMIT}
    pace = Table(
        "checkpoints-steps",
        f"{title}: seconds a step",
        _STEPS.format(steps),
        tuple(Row(what, tuple(one.saving for one in several)) for what, several in paces.items()),
        extra=("steps/s", "without saving", "speed that is left"),
        cells=tuple(_speeds(several) for several in paces.values()),
    )
    return [blocked, pace]


def _speeds(several: list[Found]) -> tuple[str, ...]:
    """Steps per second with saving and without, and their ratio, in the same process."""
    saving, bare = (median(times) for times in ([o.saving for o in several], [o.bare for o in several]))
    return f"{1 / saving:.2f}", f"{1 / bare:.2f}", f"{median(one.bare / one.saving for one in several):.2f}"


_BLOCKED = (
    "A PyTorch model and its AdamW on the CPU, each row in a separate process in each round. The time is how "
    "long a save stops the training: in the call that saves, and in the next step of the optimizer if it "
    "has to wait. Each process had saved once before, so memory that is kept is warm. “Saver” gets state "
    "dicts and copies them at once; with “optimizer waits”, the copy runs during the next forward and "
    f"backward pass (of {BATCH} rows). The training, and copies by PyTorch, have half of the processors; "
    "Saver copies with two threads beside the training, and with the thread that waits. DCP has a "
    "DefaultStager, which keeps its memory; Lightning's plugin runs without its trainer; Orbax gets NumPy "
    "arrays. “MB kept” is how much the whole process had grown after the first save."
)
_STEPS = (
    "Forward, backward and the optimizer's step, with a save every {} steps, until that is written: work in "
    "the background takes processors from the training. “Without saving”, and the “speed that is left”, "
    "were measured in the same process, which trained as many steps before each save."
)


if __name__ == "__main__":
    way, place, *numbers = sys.argv[1:]
    print(json.dumps(asdict(_measure(way, Path(place), *map(int, numbers)))))
