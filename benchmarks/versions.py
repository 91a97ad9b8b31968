"""The cost of the 2nd … 50th version of a model, in bytes and seconds, when little or all of it changed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.limits import Way, hashing, raw_write
from benchmarks.measure import remove, rounds, timed
from benchmarks.peers import Peer, peers
from benchmarks.states import State, as_torch, equal, size_of
from benchmarks.stores import allocated, index_in
from benchmarks.tables import Row, Table
from benchmarks.tracking import MLFLOW, Runs
from saver import Saver
from saver.tensors import BLOCK

OURS = "Saver"
PACKS = "Saver, packs alone"
BASELINE = "torch.save"
PEERS = (BASELINE, "torch DCP, 2 threads", "joblib")
LIMIT = "limit: hash all, write what changed"

ROUNDS, EACH = 7, 7
"""Rounds, and how many versions Saver saves in each: with the first one, 50 versions."""

WIDTH = 1024
STEP = np.float32(2**-12)
"""Added to a number to change it: large enough for every fp32 number in [0, 1)."""


def model(factor: int = 1) -> State:
    """A transformer of 200 MB in 100 tensors, with an embedding of 128 MiB and a head of 4 MB.

    Smaller ones keep the head, and half of the embedding, so that it is still made of blocks.
    """
    generator = np.random.default_rng(0)
    width = WIDTH if factor == 1 else max(16, WIDTH // factor)
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.weight": (32 * 1024 if factor == 1 else 16 * 1024, WIDTH)
    }
    for number in range(6):
        block = f"blocks.{number}"
        for name in ("query", "key", "value", "out"):
            shapes |= {f"{block}.{name}.weight": (width, width), f"{block}.{name}.bias": (width,)}
        for name, axes in {"in": (2 * width, width), "out": (width, 2 * width)}.items():
            shapes |= {f"{block}.feed.{name}.weight": axes, f"{block}.feed.{name}.bias": axes[:1]}
        for name in ("norm1", "norm2"):
            shapes |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
    shapes |= {"head.weight": (1000, WIDTH), "head.bias": (1000,)}
    return {name: generator.random(axes, dtype=np.float32) for name, axes in shapes.items()}


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a model changes from version to version. `change` does it in place, and changes `bytes` bytes of
    the model."""

    name: str
    title: str
    change: Callable[[State, int], None]
    bytes: Callable[[State], int]


def _head(state: State, number: int) -> None:
    for name in ("head.weight", "head.bias"):
        state[name] += STEP


def _rows(state: State, number: int) -> None:
    """Change 64 rows of one 16 MiB block of the embedding, each time of another block."""
    embedding = state["embedding.weight"]
    rows = BLOCK // embedding[0].nbytes
    first = number % (embedding.nbytes // BLOCK) * rows
    chosen = np.random.default_rng(number).choice(rows, 64, replace=False)
    embedding[first + chosen] += STEP


def _all(state: State, number: int) -> None:
    for array in state.values():
        array += STEP


def _head_bytes(state: State) -> int:
    return int(state["head.weight"].nbytes + state["head.bias"].nbytes)


SCENARIOS = (
    Scenario("nothing", "nothing changed", lambda state, number: None, lambda state: 0),
    Scenario("head", "the head changed", _head, _head_bytes),
    Scenario("rows", "64 rows of the embedding changed", _rows, lambda state: BLOCK),
    Scenario("everything", "everything changed", _all, size_of),
)


class Keeper(Protocol):
    """Keeps versions of one model in its own folder. States consist of NumPy arrays."""

    def save(self, state: State) -> None:
        """Save the next version, durably."""

    def load(self, state: State) -> State:
        """Load the version that was saved last; `state` has its names and shapes."""

    def forget(self) -> None:
        """Delete the version that was saved last, unless a later one needs it."""


class _Saver:
    """A store."""

    def __init__(self, folder: Path) -> None:
        self._store = Saver(folder)

    def save(self, state: State) -> None:
        self._store.save("net", {"model": as_torch(state)})

    def load(self, state: State) -> State:
        loaded: State = self._store.load("net")["model"]
        return loaded

    def forget(self) -> None:
        """Later versions share its tensors."""


class _Files:
    """A file, or a folder, for each version."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self._peer = peer
        self._folder = folder
        self._number = 0
        folder.mkdir()

    def _path(self) -> Path:
        return self._folder / str(self._number)

    def save(self, state: State) -> None:
        self._number += 1
        self._peer.save(self._peer.state(state), self._path())

    def load(self, state: State) -> State:
        return self._peer.loads[0].load(self._path(), self._peer.state(state))

    def forget(self) -> None:
        remove(self._path())


def keepers(folder: Path) -> dict[str, Keeper]:
    """All of them, Saver first, each with an empty folder of its name below `folder`."""
    found: dict[str, Keeper] = {OURS: _Saver(folder / OURS)}
    for peer in peers():
        if peer.name in PEERS:
            found[peer.name] = _Files(peer, folder / peer.name)
    found[MLFLOW] = Runs(folder / MLFLOW)
    return found


class _Versions:
    """One scenario: the seconds and bytes of each round."""

    def __init__(self, scenario: Scenario, state: State, folder: Path, each: int) -> None:
        self.scenario, self.state, self.folder, self.each = scenario, state, folder, each
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.bytes: dict[str, list[int]] = defaultdict(list)
        self._changes = 0

    def first(self, name: str, keeper: Keeper) -> None:
        """Save version 1, which is not measured, and check that it can be loaded."""
        keeper.save(self.state)
        self.compare(name, keeper)
        keeper.forget()

    def compare(self, name: str, keeper: Keeper) -> None:
        """Raise AssertionError unless the version that was saved last equals the present state."""
        if not equal(keeper.load(self.state), self.state):
            raise AssertionError(f"{name}: the loaded state differs from the saved state")

    def turn(self, name: str, keeper: Keeper) -> Callable[[], None]:
        """Measure a peer once: one version of the present state, since it writes all of it anyway."""

        def run() -> None:
            before = allocated(self.folder / name)
            seconds, _ = timed(lambda: keeper.save(self.state))
            self.seconds[name].append(seconds)
            self.bytes[name].append(allocated(self.folder / name) - before)
            keeper.forget()

        return run

    def our_turn(self, keeper: Keeper) -> Callable[[], None]:
        """Measure Saver once: several versions, and the average of one."""
        home = self.folder / OURS

        def run() -> None:
            whole, packs, taken = allocated(home), allocated(home / "packs"), 0.0
            for _ in range(self.each):
                self._changes += 1
                self.scenario.change(self.state, self._changes)
                taken += timed(lambda: keeper.save(self.state))[0]
            self.seconds[OURS].append(taken / self.each)
            self.bytes[OURS].append((allocated(home) - whole) // self.each)
            self.bytes[PACKS].append((allocated(home / "packs") - packs) // self.each)

        return run

    def limit(self) -> None:
        """Measure the device itself, once."""
        changed, size = self.scenario.bytes(self.state), size_of(self.state)
        path = self.folder / "limit"
        seconds = hashing(size, os.cpu_count() or 1) if changed < size else 0.0
        if changed:
            seconds += raw_write(path, changed, Way(True, 1, 4 << 20))
            remove(path)
        self.seconds[LIMIT].append(seconds)
        self.bytes[LIMIT].append(changed)

    def table(self, names: list[str], count: int) -> Table:
        rows = [
            Row(name, tuple(self.seconds[name]), bytes=tuple(self.bytes[name])) for name in [LIMIT, *names]
        ]
        rows.insert(2, Row(PACKS, (), bytes=tuple(self.bytes[PACKS])))
        about = _ABOUT.format(size_of(self.state) / 1e6, len(self.state), count, self.each)
        title = f"the next version: {self.scenario.title}"
        return Table(f"versions-{self.scenario.name}", title, about, tuple(rows), BASELINE, LIMIT)


_ABOUT = (
    "A model of {:.0f} MB in {} tensors. Saver saves the versions 2 to {} of one model in one store, {} a "
    "round; the others, whose versions share nothing, one a round, which is deleted once it was measured. "
    "“MB added” is what a version adds on disk on average, in whole blocks of files, as du counts them; what "
    "Saver adds beside its packs are the manifest and the log record. All is fsynced when the time ends; for "
    "the peers the benchmark does it. MLflow is mlflow.pytorch.log_state_dict with runs in SQLite; its "
    "log_model takes seconds more, in which it finds out requirements. The limit hashes all bytes with "
    "BLAKE3 on every processor, unless all changed, and writes and fsyncs those that changed."
)


def run(folder: Path, factor: int = 1, count: int = ROUNDS, each: int = EACH) -> list[Table]:
    """A table for each scenario, `versions-<its name>`, of `count` rounds with `each` versions of Saver's."""
    tables = []
    for scenario in SCENARIOS:
        home = folder / f"versions-{scenario.name}"
        home.mkdir()
        several = 1 if scenario.name == "everything" else each  # 50 whole copies would take 17 GB
        with index_in(home / "cache"):
            tables.append(_scenario(_Versions(scenario, model(factor), home, several), count))
        remove(home)
    return tables


def _scenario(versions: _Versions, count: int) -> Table:
    everyone = keepers(versions.folder)
    for name, keeper in everyone.items():
        versions.first(name, keeper)
    ours = everyone[OURS]
    turns = [versions.turn(name, keeper) for name, keeper in everyone.items() if name != OURS]
    rounds(count, [versions.limit, versions.our_turn(ours), *turns])
    ours.save(versions.state)
    versions.compare(OURS, ours)
    return versions.table(list(everyone), 1 + count * versions.each)
