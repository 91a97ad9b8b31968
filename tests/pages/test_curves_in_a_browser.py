"""Comparisons and curves in a real Chromium: no error in its console, nothing axe finds, live, by keyboard.

With $SAVER_PICTURES, a folder, pictures of the pages are made there.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from browsing import found_by
from charting import visiting

import saver
from saver.training_log import TrainingLog

pytestmark = pytest.mark.slow

EVIL = "</script><img src=x onerror=alert(1)>'\"&"
PAGES = {
    "compare": "/compare/m@1?with=m@2", "heat": "/compare/m@1?with=m@2&layer=net/w", "form": "/compare",
    "curves": "/curves/run-7?with=evil", "none": "/curves", "empty": "/curves/empty",
}  # fmt: skip


def filled(path: Path) -> saver.Saver:
    """A store with something of everything that is drawn, also what should not be."""
    store, random = saver.Saver(path), np.random.default_rng(0)
    for turn in range(2):
        table = random.standard_normal((64, 96)) * (turn + 1)
        parts = {"net": {"w": table, f"{EVIL}\u202e": table[:2], "bad": np.array([np.nan, 1.0, np.inf])}}
        store.save("m", parts, metrics={"loss": 0.5, "nan": float("nan")}, notes=EVIL)
    for name in ("run-7", "evil", "live"):
        store.save(name, {"log": grown(TrainingLog(), 300, name)}, step=299)
    store.save("empty", {"log": TrainingLog()})
    return store


def grown(log: TrainingLog, count: int, name: str) -> TrainingLog:
    first = log.last.get("step", -1) + 1
    for step in range(first, first + count):
        value = float("nan") if step == 50 else 2 / (step + 1)
        log.append(step, loss=value, val_loss=value, **({EVIL: -step} if name == "evil" else {}))
    log.mark("resumed", first, EVIL)
    return log


class Training:
    """Saves the run `live` again and again, until it is left."""

    def __init__(self, path: Path) -> None:
        self._store, self._ended = saver.Saver(path), threading.Event()
        self._thread = threading.Thread(target=self._train)

    def _train(self) -> None:
        log = self._store.load("live")["log"]
        while not self._ended.wait(0.3):
            self._store.save("live", {"log": grown(log, 7, "live")})

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def test_people_compare_and_follow_runs(tmp_path: Path) -> None:
    with visiting(filled(tmp_path)) as visitor, Training(tmp_path):
        pictures = os.environ.get("SAVER_PICTURES", "")
        address = f"http://{visitor.host}:{visitor.port}/"
        found = found_by("browse_charts.py", address, PAGES, pictures=pictures)
        assert found["troubles"] == [], found["troubles"]
        assert found["layers"] == 3
        path = found["shared"].partition(f":{visitor.port}")[2]
        seen = visitor.document(path)  # what was seen can be shared
        assert seen["low"] is not None
        assert seen["high"] > seen["low"]
