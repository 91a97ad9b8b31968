"""Many processes with faults on, for a minute: see tests/stateful/soak, which can go on for hours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not Path("/proc/self/status").exists(),
    reason="needs fork, and /proc to watch what processes take",
)


def test_a_minute_of_many_processes_breaks_no_promise(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stateful.soak", "--minutes", "0.75", "--store", tmp_path / "store"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    print(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "All promises were kept." in done.stdout
