"""Stores for the benchmarks: made fast, measured on disk, and with an index of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from saver import Saver
from saver.stores.memory import MemoryStore

_COEFFICIENTS = np.linspace(-1, 1, 1000)


@contextmanager
def own_index(folder: Path) -> Iterator[None]:
    """Indexes are made in `folder`, and the user's cache stays as it is."""
    before = os.environ.get("SAVER_CACHE")
    os.environ["SAVER_CACHE"] = str(folder / "cache")
    try:
        yield
    finally:
        if before is None:
            del os.environ["SAVER_CACHE"]
        else:
            os.environ["SAVER_CACHE"] = before


def model_name(number: int) -> str:
    """The name of a model in a store that `build` made."""
    return f"model-{number:04}"


def small_model(step: int) -> dict[str, Any]:
    """What a version in a store that `build` made is: 8 kB that stay the same, and numbers that do not."""
    return {"model": {"coef": _COEFFICIENTS, "intercept": 0.5, "step": step}}


def build(folder: Path, models: int, versions: int) -> None:
    """Make a store of so many models with so many versions each, saved in turn.

    It is what `Saver.save` leaves, byte for byte; only it was saved in memory, and then copied without
    fsync for every file: 100,000 versions take a minute and not half an hour.
    """
    memory = MemoryStore()
    store = Saver(memory)
    for step in range(versions):
        for number in range(models):
            store.save(model_name(number), small_model(step), step=step, metrics={"loss": 1 / (step + 1)})
    made = set()
    for key in memory.list(""):
        path = folder / key
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(memory.read(key))
    os.sync()


def allocated(folder: Path) -> int:
    """Bytes that the files in a folder take on disk, in whole blocks, as `du` counts them."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
