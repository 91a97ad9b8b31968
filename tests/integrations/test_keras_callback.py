"""Keras' training, killed at any batch and resumed, ends with the same weights and history."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("keras") is None:
    pytest.skip("could not import 'keras'", allow_module_level=True)

pytestmark = pytest.mark.slow  # each in a process of its own


@pytest.mark.shows("Keras", "resume to the bit", "callback")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_fit_may_be_killed_on_each_backend(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"could not import {backend!r}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    settings = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-W",
        "ignore",
        "keras_fit.py",
    )
    done = subprocess.run(
        command, env=kept | settings, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
