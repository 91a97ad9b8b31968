"""What the golden store of versions in the grid form holds. Never change it: add another store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import saver
from saver.repo import grid, stage
from saver.repo.save import save_version
from saver.tensors import Box
from shards import cut_draft


def tables(last: int) -> Any:
    """Two of a shape, cut alike, one cut otherwise, and one whole, over several pages."""
    first = np.arange(40 * 6, dtype=np.float32).reshape(40, 6)
    return {
        "net": {"first": first + last, "second": first * 2, "third": np.arange(2000.0).reshape(50, 40)},
        "small": np.arange(700),
    }


def boxes(name: str, array: Any) -> list[Box]:
    """Eight rows each; of others all."""
    if array.shape == (40, 6):
        return [Box((at, 0), (8, 6)) for at in range(0, 40, 8)]
    if array.shape == (50, 40):
        return [Box((0, 0), (50, 20)), Box((0, 20), (30, 20)), Box((30, 20), (20, 20))]
    return [Box((0,) * array.ndim, array.shape)]


GRIDS: dict[str, Callable[[], Any]] = {"m@1": lambda: tables(0), "m@2": lambda: tables(1)}


def make(folder: Path) -> None:
    """Two versions that share pages' shards."""
    with (
        patch.object(grid, "BOXES", 3),
        patch.object(grid, "PAGE_BOXES", 4),
        patch.object(stage, "FILE_BYTES", 0),
    ):
        store = saver.Saver(folder)
        for make in GRIDS.values():
            save_version(store._repo, cut_draft("m", make(), boxes))
