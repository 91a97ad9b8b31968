"""A node of one kind where one of another is expected is an error of Saver, or the object that it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]


def swapped(*options: str) -> str:
    """What `tests.attacks.swapped_kinds` prints. Fails if it found anything, or a file ended the process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.attacks.swapped_kinds", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_arrays_and_dates_take_no_node_of_another_family() -> None:
    said = swapped(
        "--samples", "base", "plain", "--hosts", "numpy.array", "numpy.scalar", "stdlib.date", "scipy.sparse"
    )
    assert int(said.rpartition("incompatible ")[2].partition(",")[0].replace(",", "")) > 300


@pytest.mark.long
def test_no_kind_of_node_stands_for_another() -> None:
    """All pairs of the kinds of all libraries that are installed: some 44,000, in ten minutes."""
    print(swapped())
