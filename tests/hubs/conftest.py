"""What the tests of hubs share: a cache of their own, and a store with a few versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import saver
from registries import WEIGHTS, Fake, fake
from saver.storages.memory import MemoryStorage


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of this machine's user is read or written, and no request waits to be repeated."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def registry() -> Iterator[Fake]:
    pytest.importorskip("oras", reason="needs oras")
    with fake() as server:
        yield server


@pytest.fixture
def here() -> saver.Saver:
    """A store with versions 1, 3 and 4 of a model, which share most of their bytes, and another model."""
    store = saver.Saver(MemoryStorage("here"), author="ann")
    for number in range(1, 5):
        store.save(
            "team/m", {"w": WEIGHTS, "head": np.full(9, float(number)), "settings": {"lr": number}},
            step=number * 10, metrics={"auc": number / 7}, tags=[f"t{number}"], labels={"owner": "ann"},
            notes=f"note {number}", data=WEIGHTS[:9],
        )  # fmt: skip
    store.delete("team/m@2", tags=True)
    store.tag("team/m@3", "production")
    store.save("secret", {"x": np.arange(900.0)})
    return store
