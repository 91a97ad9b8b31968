"""A store of small models, and a server of its pages in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import saver
from saver.pages.server import Pages


def filled(place: str | Path, **given: Any) -> saver.Saver:
    """Four versions of a model with tags, metrics and notes, and a model that shares tensors with it."""
    store = saver.Saver(place, author="ann", **given)
    weight = np.arange(40_000, dtype="float32").reshape(200, 200)
    for number in range(4):
        net = {"layer.0.weight": weight, "layer.0.bias": np.full(20_000, number, "float32")}
        store.save(
            "team/net", {"model": net, "options": {"rate": 0.1 * number}}, step=100 * number,
            metrics={"auc": 0.7 + 0.05 * number, "loss": 1 / (number + 1)}, labels={"team": "vision"},
            notes=f"try {number}",
        )  # fmt: skip
    store.tag("team/net@2", "production")
    store.tag("team/net@3", "production")
    store.save("tuned", {"model": {"layer.0.weight": weight}}, metrics={"auc": 0.9})
    return store


def pictured() -> saver.Saver:
    """A store for pictures, in the folder `models` of the working directory."""
    store, chance = saver.Saver("models", author="ann"), np.random.default_rng(5)
    names = (
        "churn/forest",
        "churn/net",
        "fraud/boosted",
        "fraud/net",
        "iris",
        "reviews/bert",
        "reviews/small",
    )
    for at, name in enumerate(names):
        auc = 0.68 + 0.01 * at
        for number in range(9 + at):
            auc += float(chance.normal(0.011, 0.012))
            weight = chance.normal(size=(96, 64)).astype("float32")
            net = {"encoder.weight": weight, "encoder.bias": weight[0], "head.weight": weight[:8]}
            store.save(
                name, {"model": net, "options": {"rate": 0.001 * (number + 1)}}, step=500 * number,
                metrics={"auc": round(auc, 4), "loss": round(1.4 - auc, 4)}, labels={"licence": "Apache-2.0"},
                notes="A longer warm-up, and dropout of 0.1." if number % 3 == 2 else "",
            )  # fmt: skip
        store.tag(f"{name}@{3 + at}", "production")
        store.tag(f"{name}@{8 + at}", "candidate")
    store.tag("fraud/net@7", "production")
    return store


class Running:
    """Pages that answer, as `saver ui` runs them."""

    def __init__(self, store: saver.Saver) -> None:
        self.pages = Pages(store)
        self._ready, self._runner = threading.Event(), asyncio.Runner()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def _run(self) -> None:
        with self._runner as runner:
            runner.run(self.pages.run(lambda _: self._ready.set()))

    def stop(self) -> None:
        """End it, as Ctrl-C does; it does so at once."""
        if self._thread.is_alive():
            self._runner.get_loop().call_soon_threadsafe(self.pages.stop)
        self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def running(store: saver.Saver) -> Iterator[Running]:
    """The pages of a store, while they are wanted."""
    one = Running(store)
    try:
        yield one
    finally:
        one.stop()
