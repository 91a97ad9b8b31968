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
def index_in(folder: Path) -> Iterator[None]:
    """Saver keeps its indexes in `folder`, and the user's cache stays as it is."""
    before = os.environ.get("SAVER_CACHE")
    os.environ["SAVER_CACHE"] = str(folder)
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

    It holds what `Saver.save` leaves, byte for byte; but that saved in memory, and the files were not
    fsynced one by one: 100,000 versions take a minute or two, and not half an hour.
    """
    memory = MemoryStore()
    with index_in(Path(os.devnull) / "none"):  # where no folder can be: nothing is looked up, nothing noted
        store = Saver(memory)
        for step in range(versions):
            metrics = {"loss": 1 / (step + 1)}
            for number in range(models):
                store.save(model_name(number), small_model(step), step=step, metrics=metrics)
    made = set()
    for key in memory.list(""):
        home, name = os.path.split(folder / key)
        if home not in made:
            os.makedirs(home, exist_ok=True)
            made.add(home)
        _write(f"{home}/{name}", memory.read(key))


def _write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def allocated(folder: Path) -> int:
    """Bytes that the files in a folder take on disk, in whole blocks, as `du` counts them."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
