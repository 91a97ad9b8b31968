"""How fast two processes of JAX save and load together, against Orbax."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.jax_ranks import ORBAX, OURS
from benchmarks.measure import remove
from benchmarks.tables import Row, Table

HOME = Path(__file__).resolve().parents[1]
SIZE = 2


def run(folder: Path, repeat: int, factor: int = 1) -> list[Table]:
    """Tables of a save, and of a load from the disk and from memory."""
    found = measure(folder, repeat, factor)
    seconds, size = found["seconds"], found["bytes"]
    title = f"{SIZE} processes of JAX, {size / 1e9:.2f} GB"
    return [
        Table(
            f"orbax-{kind}", f"{title}: {what}", about,
            tuple(Row(each, tuple(seconds[f"{kind} {each}"])) for each in (OURS, ORBAX)), ORBAX, size=size,
        )
        for kind, what, about in (
            ("save", "save", _SAVE), ("cold", "load, cold", _COLD), ("warm", "load, warm", _WARM),
        )
    ]  # fmt: skip


def measure(folder: Path, repeat: int, factor: int) -> dict[str, Any]:
    """What the processes found, which are new ones."""
    home = folder / "orbax"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    environment = os.environ | {"SAVER_CACHE": str(home / "cache")}
    ranks = [
        subprocess.Popen(
            (
                sys.executable, "-W", "ignore", "-m", "benchmarks.jax_ranks", str(rank), str(SIZE), address,
                str(home), str(repeat), str(factor),
            ),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=HOME, env=environment,
        )
        for rank in range(SIZE)
    ]  # fmt: skip
    errors = [rank.communicate()[1] for rank in ranks]
    for rank, error in zip(ranks, errors, strict=True):
        if rank.returncode:
            raise RuntimeError(f"measuring Orbax failed:\n{error}")
    found: dict[str, Any] = json.loads((home / "found.json").read_text(encoding="utf-8"))
    remove(home)
    return found


_SAVE = (
    "Arrays of JAX whose rows are scattered over two processes, with one device of the CPU each, on one "
    "machine. Every element has changed since the last save. Saver: `save` with `cluster='jax'`, which "
    "hashes all bytes and syncs files and folders. Orbax: StandardCheckpointer, until "
    "`wait_until_finished` returns."
)
_COLD = (
    "Into arrays that are scattered alike, from the disk. Saver has a new store object, and verifies all "
    "bytes. Afterwards, all elements are compared with those that were saved."
)
_WARM = "The same, from the page cache."
