"""Models of Keras come back, on each of its backends and from one to another."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("keras") is None:
    pytest.skip("could not import 'keras'", allow_module_level=True)

pytestmark = pytest.mark.slow  # each in a process of its own

BACKENDS = ("tensorflow", "jax", "torch")
HERE = Path(__file__).parent
PYTEST = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "ignore")


def run(backend: str, *arguments: str) -> None:
    """Run Python on a backend, which a process chooses once: Keras is imported there only."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"could not import {backend!r}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    settings = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=kept | settings,
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.shows("Keras", "save", "load", "restore", "resume to the bit")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", BACKENDS)
def test_models_come_back_on_each_backend(backend: str) -> None:
    run(backend, *PYTEST, "keras_checks.py")


@pytest.mark.shows("Keras", "hostile files tried")
@pytest.mark.timeout(600)
def test_hostile_files_run_nothing(record_property: Any) -> None:
    record_property("hostile files", 300)
    run("tensorflow", *PYTEST, "keras_attacks.py")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_of_one_backend_loads_on_the_others(backend: str, tmp_path: Path) -> None:
    run(
        backend, "-c", f"import pathlib, keras_models; keras_models.save_all(pathlib.Path({str(tmp_path)!r}))"
    )
    for other in BACKENDS:
        if other != backend:
            program = (
                f"import pathlib, keras_models; keras_models.check_near(pathlib.Path({str(tmp_path)!r}))"
            )
            run(other, "-c", program)
