from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import Any

# Tests run in one process for each processor; threads within them would only wait for each other.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pytest

import saver
from saver.single import open_view


@pytest.fixture(scope="session")
def roundtrip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Saves an object to a file and loads it again."""
    path = tmp_path_factory.mktemp("roundtrip") / "roundtrip.saver"

    def run(obj: Any, **options: Any) -> Any:
        saver.dump(obj, path)
        return saver.load(path, **options)

    return run


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Any]:
    """Saves an object to a file of its own and opens that."""
    folder, numbers = tmp_path_factory.mktemp("saved"), count()

    def run(obj: Any) -> Any:
        path = folder / f"{next(numbers)}.saver"
        saver.dump(obj, path)
        return open_view(path)

    return run


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trust policy and the cache of whoever runs the tests stay out of them."""
    monkeypatch.setenv("SAVER_CONFIG", str(tmp_path_factory.getbasetemp() / "no-config.toml"))
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
