"""One read that fails is no reason to resume from an older step than the newest that was acknowledged."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import saver
from saver import Every
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.testing import READ_KINDS, every_fault


def train(store: Storage, steps: int) -> int:
    """The step that it resumed with."""
    weights = np.zeros(300)
    run = saver.Saver(store).checkpoints(
        "run", {"model": {"w": weights}}, every=Every(steps=1), progress=False
    )
    with run:
        start = run.resume()
        for step in range(start, start + steps):
            weights[:] = step + 0.5
            run.step(step, loss=1.0)
            run.flush()
    return start


@pytest.fixture(scope="module")
def trained() -> MemoryStorage:
    store = MemoryStorage()
    train(store, 3)
    return store


def test_a_read_that_fails_once_is_no_reason_to_go_back(trained: MemoryStorage) -> None:
    """Whatever it is a read of: the log, the manifest, the bytes."""
    tried = 0
    for case in every_fault(trained.copy, lambda store: train(store, 0), READ_KINDS):
        if str(case).endswith("from then on"):  # damage that stays is a reason
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            struck: Any = case.strike()
        assert struck.error is not None or struck.result == 3, str(case)
        tried += 1
    assert tried > 40
