"""Ranks that are processes: one is killed, stopped, or ends, at each moment of a save."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampling import sampled

import saver

RANK = Path(__file__).parent / "rank.py"
SIZE = 3
MOMENTS = ["encoding", "describing", "staging", "staged", "committing"]
OF_THE_FIRST = ["reported", "before the record", "after the record"]

CASES = [
    (rank, moment, kind)
    for kind in ("kill", "stop", "end")
    for rank in range(SIZE)
    for moment in (*MOMENTS, *(OF_THE_FIRST if rank == 0 else ()))
]
SAMPLE = {
    (0, "staging", "stop"), (0, "before the record", "stop"), (0, "after the record", "kill"),
    (1, "staging", "stop"), (2, "staged", "kill"), (0, "before the record", "end"), (1, "describing", "end"),
}  # fmt: skip


def started(folder: Path, struck: int, moment: str, kind: str) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [
                sys.executable, str(RANK), str(folder / "notes"), str(folder / "models"), str(rank),
                str(SIZE), moment if rank == struck else "never", kind,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(SIZE)
    ]  # fmt: skip


def is_stopped(process: subprocess.Popen[str]) -> bool:
    return "\nState:\tT" in Path(f"/proc/{process.pid}/status").read_text()


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
@pytest.mark.parametrize(("struck", "moment", "kind"), sampled(CASES, SAMPLE))
def test_the_others_hear_soon_and_agree_what_was_saved(
    tmp_path: Path, struck: int, moment: str, kind: str
) -> None:
    processes = started(tmp_path, struck, moment, kind)
    try:
        others = [ended(process) for rank, process in enumerate(processes) if rank != struck]
        versions = [str(version) for version in saver.Saver(tmp_path / "models").versions("m")]
        assert len({"version" in found for found in others}) == 1, others
        for found in others:
            if "version" in found:
                assert found["version"] == "m@2" == versions[-1]
            else:
                assert found["error"] == "LostRankError", found
                assert found["rank"] == struck, found
                assert f"rank {struck} (process " in found["message"]
                assert found["took"] < 30
                assert versions == ["m@1"]
        if kind == "stop":
            assert is_stopped(processes[struck])
            processes[struck].send_signal(signal.SIGCONT)
            late = ended(processes[struck])
            assert late.get("version", "m@2") == "m@2"
            if "version" in late:
                assert versions[-1] == "m@2", "it knows of a version that the others do not"
        store = saver.Saver(tmp_path / "models")
        assert [str(version) for version in store.versions("m")] == versions, (
            "who wakes up late changes nothing"
        )
        assert store.check().sound
        for version in versions:
            number = int(version[2:])
            np.testing.assert_array_equal(store.load(version)["a"], np.full((600, 1000), float(number)))
        store.gc(grace=0, everything=True)
        assert str(store.save("m", {"a": [3]})) == f"m@{len(versions) + 1}"
    finally:
        for process in processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout and process.stdout.close()
            process.stderr and process.stderr.close()
