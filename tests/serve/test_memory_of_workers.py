"""Workers share the memory of their model: what a server takes does not grow by a model for each."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from loads import Line, memory, served, workers
from visits import until

import saver
from saver.serve.tokens import add_token

UNITS = 2900
SIZE = UNITS * UNITS * 8
"""Bytes of the layer between two: 67 MB."""


def wide(folder: Path) -> saver.Saver:
    """A store with a network whose numbers are much larger than the process around them."""
    from sklearn.neural_network import MLPRegressor

    random = np.random.default_rng(0)
    rows = random.normal(size=(32, 4))
    model = MLPRegressor(hidden_layer_sizes=(2, 2), max_iter=1000, tol=1).fit(rows, rows[:, 0])
    model.hidden_layer_sizes = (UNITS, UNITS)
    shapes = ((4, UNITS), (UNITS, UNITS), (UNITS, 1))
    model.coefs_ = [random.random(shape) / shape[0] for shape in shapes]
    model.intercepts_ = [np.zeros(shape[1]) for shape in shapes]
    store = saver.Saver(folder)
    store.save("iris", {"model": model}, example=rows[:2], tags=["production"])
    return store


async def ask_at_once(port: int, token: str, many: int) -> list[int]:
    """So many requests at the same time, so that each worker predicts."""
    lines = [Line(port, token) for _ in range(many)]
    body = json.dumps({"rows": [[1.0, 2.0, 3.0, 4.0]]}).encode()
    found = await asyncio.gather(*(line.ask("/predict/iris", body) for line in lines))
    for line in lines:
        line.close()
    return [status for status, _ in found]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_four_workers_take_little_more_than_one(tmp_path: Path) -> None:
    store = wide(tmp_path / "store")
    file = tmp_path / "tokens.json"
    token, _ = add_token(file, "good", ["predict:iris"])
    options = ("--workers", "4", "--limit", "batch_rows=1", "--tokens", str(file))
    with served(store, tmp_path / "log", *options) as (port, server):
        until(lambda: len(workers(server)) == 4)
        assert set(asyncio.run(ask_at_once(port, token, 32))) == {200}
        found = workers(server)
        assert all(memory(each, "Rss") > SIZE for each in found), "each has read the whole model"
        own = [memory(each, "Private_Dirty") for each in found]
        assert max(own) < SIZE / 2, "none has a copy of its own"
        assert sum(memory(each, "Pss") for each in found) < 3 * SIZE
