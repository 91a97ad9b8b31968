"""Ranks that are processes pass bytes on: one is killed or stopped at each moment of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sampling import sampled

import saver

torch = pytest.importorskip("torch")

RANK = Path(__file__).parent / "passing_rank.py"
SIZE = 3

CASES = [
    (rank, moment, kind)
    for kind in ("kill", "stop")
    for rank in range(SIZE)
    for moment in ("connecting", "reading", "sent", "received")
]
SAMPLE = {(1, "sent", "kill"), (0, "reading", "stop")}


@pytest.mark.parametrize(("struck", "moment", "kind"), sampled(CASES, SAMPLE))
def test_all_others_name_it_soon_and_change_nothing(
    tmp_path: Path, struck: int, moment: str, kind: str
) -> None:
    store, notes = tmp_path / "models", tmp_path / "notes"
    saver.Saver(store).save("m", {"a": torch.arange(300_000.0).reshape(300, 1000), "b": torch.ones(7)})
    processes = [
        subprocess.Popen(
            [
                sys.executable, str(RANK), str(notes), str(store), str(rank), str(SIZE),
                moment if rank == struck else "never", kind,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(SIZE)
    ]  # fmt: skip
    try:
        for rank, process in enumerate(processes):
            if rank == struck:
                continue
            out, err = process.communicate(timeout=60)
            assert out, err
            found = json.loads(out)
            assert found["error"] == "LostRankError", found
            assert found["rank"] == struck, found
            assert f"rank {struck} (process " in found["message"], found
            assert not found["changed"]
            assert found["took"] < 2 + 1 + 1, "lost_after, one second, and what two busy processors take"
    finally:
        for process in processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout and process.stdout.close()
            process.stderr and process.stderr.close()
