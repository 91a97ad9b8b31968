"""Changed boosters: XGBoost's own parsers end the process on many of them; loading by Saver never does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("xgboost")

from xgboost_crashes import PARAMETERS

pytestmark = pytest.mark.xdist_group("xgboost")

CHANGES = 60


@pytest.mark.slow
@pytest.mark.shows("XGBoost", "hostile files tried")
@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_changed_booster_is_refused_or_can_be_used(
    kind: str, record_property: Callable[[str, int], None]
) -> None:
    program = Path(__file__).with_name("xgboost_crashes.py")
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
    record_property("hostile files", CHANGES)
