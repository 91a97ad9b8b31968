"""What Saver itself costs where there is next to nothing to save or load: microseconds of one call."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import saver
from benchmarks.measure import make_durable, rounds
from benchmarks.tables import Row, Table
from saver.repo import manifest as manifests
from saver.repo.forms import ShardForm, TensorForm
from saver.repo.manifest import Manifest, Part

EACH = 50
"""Calls in a row, of which the fastest counts: this is about work, and others disturb it."""

FEW = 5
"""As many of those that take milliseconds."""

TENSORS = 20_000
DICTS = 20_000
RUN = 198
WIDTH = 25_252
"""A run of 20 MB: so many tensors of so many float32 each."""


@dataclass(frozen=True, slots=True)
class _Call:
    """What is timed, and what happens before, each time, without being timed."""

    run: Callable[[], object]
    each: int = EACH
    before: Callable[[], object] = lambda: None

    def turn(self, seconds: list[float]) -> None:
        found = []
        for _ in range(self.each):
            self.before()
            begin = time.perf_counter()
            self.run()
            found.append(time.perf_counter() - begin)
        seconds.append(min(found))


def run(folder: Path, repeat: int, tensors: int = TENSORS, factor: int = 1) -> list[Table]:
    """One table, `small`; the run and the many dicts are `factor` times smaller."""
    seconds: dict[str, list[float]] = defaultdict(list)
    home = folder / "small"
    home.mkdir()
    with ExitStack() as open_runs:
        calls = _calls(home, tensors) | _runs(home, open_runs, factor) | _many(home, DICTS // factor)
        rounds(repeat, [partial(call.turn, seconds[what]) for what, call in calls.items()])
    shutil.rmtree(home)
    rows = tuple(Row(what, tuple(seconds[what])) for what in calls)
    return [Table("small", "small loads and saves", _ABOUT, rows, unit="µs")]


_ABOUT = (
    f"The fastest of {EACH} calls in each round ({FEW} for the manifest and run, one restore). The object "
    "is a dict of a 16 KB array, three small ones and some numbers, in three parts. All saves sync their "
    f"files. The run has {RUN} tensors of PyTorch, all of which change before each save; to copy them is the "
    "least that its step takes. To load the dicts is the least that a restore of them takes."
)


def _calls(folder: Path, tensors: int) -> dict[str, _Call]:
    path, numbers = folder / "a.saver", count()
    store = saver.Saver(folder / "store")
    saver.dump(_object(0), path)
    store.save("iris", _object(0))
    large = _manifest(tensors)
    text = manifests.encode(large)
    return {
        "load": _Call(lambda: saver.load(path)),
        "dump": _Call(lambda: saver.dump(_object(0), path)),
        "store.load": _Call(lambda: store.load("iris")),
        "Saver(…).load": _Call(lambda: saver.Saver(folder / "store").load("iris")),
        "store.save": _Call(lambda: store.save("iris", _object(next(numbers)))),
        "Saver(…).save": _Call(lambda: saver.Saver(folder / "store").save("iris", _object(next(numbers)))),
        f"encode a manifest of {tensors:,} tensors": _Call(lambda: manifests.encode(large), FEW),
        f"decode a manifest of {tensors:,} tensors": _Call(lambda: manifests.decode(text, "here"), FEW),
    }


def _runs(folder: Path, open_runs: ExitStack, factor: int) -> dict[str, _Call]:
    """A step of a run that saves some MB: how long the training stands still, and until all is written; what
    `torch.save` takes for the same; and the least that the step takes, which is to copy the tensors."""
    import torch

    net = {f"layers.{at}": torch.full((WIDTH // factor,), float(at)) for at in range(RUN)}
    copies = [tensor.clone() for tensor in net.values()]
    never = saver.Every(steps=1 << 40)
    checkpoints = saver.Saver(folder / "runs").checkpoints(
        "run", {"model": net}, every=never, keep=saver.Keep(last=1)
    )
    found, steps = open_runs.enter_context(checkpoints), count(1)

    def change() -> None:
        found.flush()
        for tensor in net.values():
            tensor.add_(1.0)

    def save() -> None:
        found.step(next(steps), loss=1.0)
        found.save()

    def written() -> None:
        save()
        found.flush()

    def copied() -> None:
        for tensor, copy in zip(net.values(), copies, strict=True):
            copy.copy_(tensor)

    def by_torch() -> None:
        torch.save(net, folder / "net.pt")
        make_durable(folder / "net.pt")

    size = f"{4 * (WIDTH // factor) * RUN / 1e6:.3g} MB"
    return {
        f"{size} run: a step that saves": _Call(save, FEW, change),
        f"{size} run: the same, until it is written": _Call(written, FEW, change),
        f"{size} run: its tensors copied": _Call(copied, FEW, change),
        f"{size}: torch.save, with fsync": _Call(by_torch, FEW, change),
    }


def _many(folder: Path, dicts: int) -> dict[str, _Call]:
    """Small dicts, restored into themselves; and loaded, the least that a restore of them takes."""
    path = folder / "many.saver"
    held = [{"number": at, "weight": at / 7, "name": f"n{at}"} for at in range(dicts)]
    saver.dump({"many": held}, path)
    what = f"restore many: {dicts:,} small dicts"
    return {
        what: _Call(lambda: saver.restore(path, into={"many": held}), 1),
        f"{what}, loaded instead": _Call(lambda: saver.load(path), 1),
    }


def _object(number: int) -> dict[str, Any]:
    weights = np.arange(4096, dtype=np.float32).reshape(64, 64)
    scaler = {"mean": np.full(8, number + 0.25), "scale": np.ones(8)}
    return {"model": {"w": weights, "b": np.zeros(64), "lr": 0.5}, "log": [1.0, 2.5, 3], "scaler": scaler}


def _manifest(tensors: int) -> Manifest:
    shards = (ShardForm(hash=f"{at:064x}", extents=((0, 4096 + 256 * at, 256),)) for at in range(tensors))
    forms = {f"m/layers.{at:06}.weight": TensorForm("F32", (64,), (s,)) for at, s in enumerate(shards)}
    part = Part(hash="0" * 64, tree=msgspec.Raw(b"null"))
    return Manifest(format=1, parts={"m": part}, whole=True, packs=("p",), tensors=forms)
