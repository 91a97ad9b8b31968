"""How fast the ranks of a training run save and load together, against torch.distributed.checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import remove
from benchmarks.ranks import DCP, FSDP, HSDP, MEMCPY, OURS
from benchmarks.tables import Row, Table

HOME = Path(__file__).resolve().parents[1]
SIZES = (2, 4)
SHARE, BALANCE, COORDINATION = "beside writing", "most of a rank", "coordination"


def run(
    folder: Path,
    repeat: int,
    factor: int = 1,
    sizes: tuple[int, ...] = SIZES,
    meshes: tuple[str, ...] = (FSDP, HSDP),
) -> list[Table]:
    """For each mesh, tables of a save, of a load from the disk and from memory, and of how long a save in the
    background stops the training."""
    return [
        table
        for size in sizes
        for mesh in meshes
        for table in _tables(mesh, size, measure(mesh, size, folder, repeat, factor))
    ]


def name_of(mesh: str, size: int) -> str:
    """With what the names of the tables of so many ranks begin."""
    return f"distributed-{size}-{mesh.lower()}"


def measure(mesh: str, size: int, folder: Path, repeat: int, factor: int) -> dict[str, Any]:
    """What the ranks found, which are new processes."""
    home = folder / "distributed"
    home.mkdir()
    ranks = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size))
    measuring = ("-m", "benchmarks.ranks", mesh, str(home), str(repeat), str(factor))
    command = (sys.executable, "-W", "ignore", *ranks, *measuring)
    environment = os.environ | {"SAVER_CACHE": str(home / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOME, env=environment)
    if done.returncode:
        raise RuntimeError(f"measuring {mesh} with {size} ranks failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads((home / "found.json").read_text(encoding="utf-8"))
    remove(home)
    return found


def _tables(mesh: str, ranks: int, found: dict[str, Any]) -> list[Table]:
    seconds, size, name = found["seconds"], found["bytes"], name_of(mesh, ranks)
    title = f"{ranks} ranks, {mesh}, {size / 1e9:.2f} GB"

    def rows(kind: str, *names: str) -> tuple[Row, ...]:
        return tuple(Row(each, tuple(seconds[f"{kind} {each}"])) for each in names)

    together = {OURS: f"{median(found['coordination'][OURS]):.1%}", DCP: ""}
    cells = [
        (f"{median(found['share'][each]):.0%}", f"{max(found['balance'][each]):.2f}", together[each])
        for each in (OURS, DCP)
    ]
    return [
        Table(
            f"{name}-save", f"{title}: save", _SAVE, rows("save", OURS, DCP), DCP, size=size,
            extra=(SHARE, BALANCE, COORDINATION), cells=tuple(cells),
        ),
        Table(f"{name}-cold", f"{title}: load, cold", _COLD, rows("cold", OURS, DCP), DCP),
        Table(f"{name}-warm", f"{title}: load, warm", _WARM, rows("warm", OURS, DCP), DCP),
        Table(
            f"{name}-blocked", f"{title}: it stands still", _BLOCKED, rows("async", MEMCPY, OURS, DCP), DCP,
            MEMCPY, unit="ms",
        ),
    ]  # fmt: skip


_SAVE = (
    "Layers of a transformer and their AdamW, on the CPU, over gloo; all ranks on one machine, started by "
    "torchrun. Every element has changed since the last save. Saver gets the model and the optimizer, DCP "
    "their state dicts. Both return in all ranks once everything is durable: DCP syncs its files, but not "
    "their folder. “Beside writing” is the part of the time in which not even the slowest rank hashes or "
    "writes; “most of a rank” is how many bytes a rank wrote at most, divided by the mean of all. "
    "“Coordination” is what is left without encoding the objects and without the commit (of two small files, "
    "which are synced), too: the ranks exchange notes, or wait for a processor."
)
_COLD = (
    "Into the tensors of the same mesh, from the disk. Saver has a new store object, and verifies all bytes; "
    "DCP verifies none. Afterwards, all elements are compared with those that were saved."
)
_WARM = "The same, from the page cache."
_BLOCKED = (
    "How long the training stands still until it may change what is saved. DCP: async_save with a "
    "DefaultStager, which keeps its memory. Saver: the step of a run after which it saves. Each rank copies "
    "only what it writes of what several have; DCP copies all. The limit: each rank copies as many bytes as "
    "it writes at best, with one thread."
)
