"""Changed boosters: LightGBM's own parser ends the process on most of them; loading by Saver never does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lightgbm")

from lightgbm_crashes import PARAMETERS

pytestmark = pytest.mark.xdist_group("lightgbm")

CHANGES = 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_changed_booster_is_refused_or_can_be_used(kind: str) -> None:
    program = Path(__file__).with_name("lightgbm_crashes.py")
    done = subprocess.run(
        [sys.executable, str(program), kind, "1", str(CHANGES)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    last = done.stdout.strip().rpartition("\n")[2]
    assert done.returncode == 0, f"change {last}: {done.stderr[-2000:]}"
    assert last.startswith("done")
