"""What Saver itself costs where there is next to nothing to save or load: microseconds of one call."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import saver
from benchmarks.measure import rounds
from benchmarks.tables import Row, Table
from saver.repo import manifest as manifests
from saver.repo.manifest import Manifest, Part, ShardForm, TensorForm

EACH = 50
"""Calls in a row, of which the fastest counts: this is about work, and others disturb it."""

TENSORS = 20_000


def run(folder: Path, repeat: int, tensors: int = TENSORS) -> list[Table]:
    """One table, `small`."""
    seconds: dict[str, list[float]] = defaultdict(list)
    calls = _calls(folder / "small", tensors)
    rounds(repeat, [_turn(what, call, seconds) for what, call in calls.items()])
    shutil.rmtree(folder / "small")
    rows = tuple(Row(what, tuple(seconds[what])) for what in calls)
    about = (
        f"The fastest of {EACH} calls in each round (5 for the manifest). The object is a dict of a 16 KB "
        "array, three small ones and some numbers, in three parts. Saves sync their files."
    )
    return [Table("small", "small loads and saves", about, rows, unit="µs")]


def _calls(folder: Path, tensors: int) -> dict[str, Callable[[], Any]]:
    folder.mkdir()
    path, numbers = folder / "a.saver", count()
    store = saver.Saver(folder / "store")
    saver.dump(_object(0), path)
    store.save("iris", _object(0))
    large = _manifest(tensors)
    text = manifests.encode(large)
    return {
        "load": lambda: saver.load(path),
        "dump": lambda: saver.dump(_object(0), path),
        "store.load": lambda: store.load("iris"),
        "Saver(…).load": lambda: saver.Saver(folder / "store").load("iris"),
        "store.save": lambda: store.save("iris", _object(next(numbers))),
        "Saver(…).save": lambda: saver.Saver(folder / "store").save("iris", _object(next(numbers))),
        f"encode a manifest of {tensors:,} tensors": lambda: manifests.encode(large),
        f"decode a manifest of {tensors:,} tensors": lambda: manifests.decode(text, "here"),
    }


def _turn(what: str, call: Callable[[], Any], seconds: dict[str, list[float]]) -> Callable[[], None]:
    def turn() -> None:
        found = []
        for _ in range(5 if "manifest" in what else EACH):
            begin = time.perf_counter()
            call()
            found.append(time.perf_counter() - begin)
        seconds[what].append(min(found))

    return turn


def _object(number: int) -> dict[str, Any]:
    weights = np.arange(4096, dtype=np.float32).reshape(64, 64)
    scaler = {"mean": np.full(8, number + 0.25), "scale": np.ones(8)}
    return {"model": {"w": weights, "b": np.zeros(64), "lr": 0.5}, "log": [1.0, 2.5, 3], "scaler": scaler}


def _manifest(tensors: int) -> Manifest:
    shards = (ShardForm(hash=f"{at:064x}", extents=((0, 4096 + 256 * at, 256),)) for at in range(tensors))
    forms = {f"m/layers.{at:06}.weight": TensorForm("F32", (64,), (s,)) for at, s in enumerate(shards)}
    part = Part(hash="0" * 64, tree=msgspec.Raw(b"null"))
    return Manifest(format=1, parts={"m": part}, whole=True, packs=("p",), tensors=forms)
