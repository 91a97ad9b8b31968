"""The fuzzer, for some seconds, and on each library that it has samples of; and whether it finds holes that
are made on purpose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]


def fuzz(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.attacks.fuzz", "--corpus", str(folder / "corpus"), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_nothing_is_found_in_a_bounded_run(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seed", "3", "--cases", "1000", "--minutes", "0.4", "--timeout", "120")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "finds: none" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "library",
    [
        pytest.param(
            "category_encoders", marks=pytest.mark.shows("category_encoders", "hostile files tried")
        ),
        pytest.param("feature_engine", marks=pytest.mark.shows("feature-engine", "hostile files tried")),
        pytest.param("imblearn", marks=pytest.mark.shows("imbalanced-learn", "hostile files tried")),
        pytest.param("skorch", marks=pytest.mark.shows("skorch", "hostile files tried")),
        pytest.param("statsmodels", marks=pytest.mark.shows("statsmodels", "hostile files tried")),
        pytest.param("torchmetrics", marks=pytest.mark.shows("TorchMetrics", "hostile files tried")),
    ],
)
def test_nothing_is_found_in_files_of(library: str, tmp_path: Path, record_property: Any) -> None:
    pytest.importorskip(library)
    done = fuzz(tmp_path, "--samples", library, "--cases", "300", "--minutes", "10", "--timeout", "120")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 cases of seed" in done.stdout
    assert "finds: none" in done.stdout
    record_property("hostile files", 300)


HOLES = {
    "door": ("sklearn/StandardScaler-0", "nn/Linear"),
    "budget": ("plain", "base"),
    "sparse": ("scipy",),
    "uses": ("sklearn/FunctionTransformer-0",),
}


MORE = ("sparse", "uses")
"""Those of the same kind as the door, which are tried by hand."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "hole", ["door", "budget", *(pytest.param(each, marks=pytest.mark.long) for each in MORE)]
)
def test_a_hole_made_on_purpose_is_found(hole: str, tmp_path: Path) -> None:
    options = f"--plant {hole} --first --shrink 1 --cases 4000 --minutes 3 --timeout 8 --samples".split()
    done = fuzz(tmp_path, *options, *HOLES[hole])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "kept as" in done.stdout or "too large to keep" in done.stdout, done.stdout
