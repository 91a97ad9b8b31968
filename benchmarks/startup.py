"""The time to import Saver, and to run `saver show` and `saver --help`: whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

import saver
from benchmarks.measure import rounds
from benchmarks.tables import Row, Table

NUMPY = "import numpy"
OURS = "import saver"
SHOW = "saver show FILE"
HELP = "saver --help"
OTHERS = "import numpy, msgspec, click, blake3"
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    NUMPY: ("-c", NUMPY),
    OURS: ("-c", OURS),
    "import safetensors.numpy": ("-c", "import safetensors.numpy"),
    "import joblib": ("-c", "import joblib"),
    "import torch": ("-c", "import torch"),
    OTHERS: ("-c", OTHERS),
    HELP: ("-m", "saver", "--help"),
}


def run(folder: Path, repeat: int) -> list[Table]:
    """One table, `startup`."""
    path = folder / "show.saver"
    generator = np.random.default_rng(0)
    layers = {f"layers.{number}.weight": generator.random((100, 100)) for number in range(20)}
    saver.dump({"model": layers, "scaler": {"mean": generator.random(100)}}, path)
    commands = {**COMMANDS, SHOW: ("-m", "saver", "show", str(path))}
    seconds: dict[str, list[float]] = defaultdict(list)
    for arguments in commands.values():
        process(arguments)
    rounds(repeat, [_turn(what, arguments, seconds) for what, arguments in commands.items()])
    path.unlink()
    rows = tuple(Row(what, tuple(seconds[what])) for what in commands)
    about = (
        "Each is a new process, from start to end, with warm caches and compiled bytecode. The file shown "
        f"has two parts and 21 tensors. `{SHOW}` cannot take less than `{OTHERS}`, which it needs."
    )
    return [Table("startup", "import and command line", about, rows, NUMPY, "python -c pass", unit="ms")]


def _turn(what: str, arguments: tuple[str, ...], seconds: dict[str, list[float]]) -> Callable[[], None]:
    return lambda: seconds[what].append(process(arguments))


def process(arguments: tuple[str, ...]) -> float:
    """Seconds of a whole process of this Python, which keeps what it compiles. Raises RuntimeError if it
    fails."""
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    done = subprocess.run(
        (sys.executable, *arguments), capture_output=True, text=True, check=False, env=compiled
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{done.stderr}")
    return seconds
