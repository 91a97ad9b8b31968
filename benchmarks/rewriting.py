"""What people do to a model that is there already: save over it, and load it to train on."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch

import saver
from benchmarks.measure import make_cold, make_warm, remove, rounds, timed
from benchmarks.states import TENSORS, State
from benchmarks.tables import Row, Table

NEW, OVER = "to a new name", "over an old file"
MAPPED, OWN, TORCH = "saver.load", "saver.load(writable=True)", "torch.load"


def run(folder: Path, repeat: int, factor: int) -> list[Table]:
    """Two tables, `over` and `then-write`."""
    arrays = (TENSORS.smaller(factor) if factor > 1 else TENSORS).arrays()
    size = sum(each.nbytes for each in arrays.values())
    return [_over(arrays, size, folder, repeat), _then_write(arrays, size, folder, repeat)]


def _over(arrays: State, size: int, folder: Path, repeat: int) -> Table:
    seconds: dict[str, list[float]] = defaultdict(list)

    def turn(what: str) -> Callable[[], None]:
        def save() -> None:
            path = folder / "over.saver"
            if what == OVER:
                saver.dump(arrays, path)
                os.sync()
            seconds[what].append(timed(lambda: saver.dump(arrays, path))[0])
            remove(path)

        return save

    rounds(repeat, [turn(what) for what in (NEW, OVER)])
    rows = tuple(Row(what, tuple(seconds[what])) for what in (NEW, OVER))
    return Table("over", "save over an old file", "Both sync the file and its folder.", rows, NEW, size=size)


def _then_write(arrays: State, size: int, folder: Path, repeat: int) -> Table:
    seconds: dict[str, list[float]] = defaultdict(list)
    ours, theirs = folder / "train.saver", folder / "train.pt"
    saver.dump(arrays, ours)
    torch.save({name: torch.from_numpy(each) for name, each in arrays.items()}, theirs)
    ways: dict[str, Callable[[], State]] = {
        MAPPED: lambda: saver.load(ours),
        OWN: lambda: saver.load(ours, writable=True),
        TORCH: lambda: torch.load(theirs, weights_only=True),
    }

    def turn(what: str, kind: str) -> Callable[[], None]:
        def load() -> None:
            for each in ways[what]().values():
                each *= 1.5

        def measured() -> None:
            for path in (ours, theirs):
                (make_cold if kind == "cold" else make_warm)(path)
            seconds[f"{what}, {kind}"].append(timed(load)[0])

        return measured

    turns = [(what, kind) for kind in ("cold", "warm") for what in ways]
    rounds(repeat, [turn(*each) for each in turns])
    remove(ours)
    remove(theirs)
    rows = tuple(Row(f"{what}, {kind}", tuple(seconds[f"{what}, {kind}"])) for what, kind in turns)
    about = "Everything is loaded, and each number is multiplied, as in training."
    return Table("then-write", "load, then write", about, rows, f"{MAPPED}, warm", size=size)
