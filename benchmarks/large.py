"""Large states: save and fsync, load cold, load warm."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from benchmarks.limits import Fastest, Way, hashing, raw_read, raw_write
from benchmarks.measure import make_cold, make_warm, remove, rounds, timed
from benchmarks.peers import BASELINE, Load, Peer
from benchmarks.states import Shape, State, equal, size_of, touch
from benchmarks.tables import Row, Table
from saver import CannotSaveError

SAVE_LIMIT = "limit: raw direct writes"
READ_LIMIT = "limit: raw parallel reads"
HASH_LIMIT = "limit: BLAKE3, 2 threads"
HASH_MORE = f"BLAKE3, {os.cpu_count()} threads"

Times = dict[str, list[float]]


class _Large:
    """One state, and the times of all tools that save it."""

    def __init__(self, shape: Shape, folder: Path, ways: Fastest) -> None:
        self.arrays = shape.arrays()
        self.size = size_of(self.arrays)
        self.folder = folder
        self.ways = ways
        self.save: Times = defaultdict(list)
        self.loads: dict[str, Times] = {"cold": defaultdict(list), "warm": defaultdict(list)}
        self.touched: dict[str, Times] = {"cold": defaultdict(list), "warm": defaultdict(list)}
        self.raw_writes: dict[Way, list[float]] = defaultdict(list)
        self.raw_reads: dict[Way, list[float]] = defaultdict(list)
        self.refused: dict[str, str] = {}
        self._compared: set[str] = set()

    def limits(self) -> None:
        """Measure the device itself, once."""
        path = self.folder / "limit"
        for way in self.ways.writes:
            remove(path)
            self.raw_writes[way].append(raw_write(path, self.size, way))
        for way in self.ways.reads:
            make_cold(path)
            self.raw_reads[way].append(raw_read(path, self.size, way))
        self.loads["warm"][HASH_LIMIT].append(hashing(self.size, 2))
        self.loads["warm"][HASH_MORE].append(hashing(self.size, os.cpu_count() or 1))
        remove(path)

    def turn(self, peer: Peer) -> Callable[[], None]:
        """Measure `peer` once: its save, then each of its loads, cold and warm."""

        def run() -> None:
            if peer.name in self.refused:
                return
            state, path = peer.state(self.arrays), self.folder / "peer"
            try:
                seconds, _ = timed(lambda: peer.save(state, path))
            except CannotSaveError:
                self.refused[peer.name] = "not supported"
                return
            self.save[peer.name].append(seconds)
            for load in peer.loads:
                make_cold(path)
                self._load(load, path, state, "cold")
                make_warm(path)
                self._load(load, path, state, "warm")
            remove(path)

        return run

    def _load(self, load: Load, path: Path, state: State, kind: str) -> None:
        seconds, loaded = timed(lambda: load.load(path, state))
        more, _ = timed(lambda: touch(loaded))
        self.loads[kind][load.name].append(seconds)
        self.touched[kind][load.name].append(seconds + more)
        if load.name not in self._compared:
            self._compared.add(load.name)
            if not equal(loaded, state):
                raise AssertionError(f"{load.name}: the loaded state differs from the saved state")


def run(shape: Shape, folder: Path, ways: Fastest, repeat: int, everyone: Iterable[Peer]) -> list[Table]:
    """The three tables of one state: `<name>-save`, `<name>-cold`, `<name>-warm`."""
    everyone = list(everyone)
    large = _Large(shape, folder, ways)
    rounds(repeat, [large.limits, *map(large.turn, everyone)])
    return [_save_table(shape, large, everyone), *_load_tables(shape, large, everyone)]


def _fastest(seconds: dict[Way, list[float]]) -> tuple[Way, tuple[float, ...]]:
    """The way with the best median over all rounds."""
    way = min(seconds, key=lambda way: median(seconds[way]))
    return way, tuple(seconds[way])


def _save_table(shape: Shape, large: _Large, everyone: list[Peer]) -> Table:
    way, limit = _fastest(large.raw_writes)
    rows = [Row(SAVE_LIMIT, limit)]
    rows += [
        Row(peer.name, tuple(large.save[peer.name]), note=large.refused.get(peer.name, ""))
        for peer in everyone
    ]
    about = (
        "Every save ends with fsync of the file and of its folder, which the time includes; Saver does so "
        "itself, and the benchmark does it for the peers. Only Saver hashes every byte, and its file appears "
        f"whole or not at all. The limit reserves a new file, writes and fsyncs it ({way})."
    )
    name = f"{shape.name}-save"
    title = f"{shape.title}: save + fsync"
    return Table(name, title, about, tuple(rows), BASELINE, SAVE_LIMIT, large.size)


def _load_tables(shape: Shape, large: _Large, everyone: list[Peer]) -> list[Table]:
    way, limit = _fastest(large.raw_reads)
    common = (
        "“all read” ends when one thread has read one byte of every page. GB/s and the share of the limit "
        "count the load for tools that read everything before they return, and “all read” for those that "
        "only map (lazy); the ratio to the peer compares “all read”. Only Saver verifies every byte, and "
        "maps it."
    )
    cold = (
        "Cold: fsynced, then removed from the page cache of this machine (POSIX_FADV_DONTNEED, checked with "
        f"mincore). The limit reads into buffers that are reused ({way}). {common}"
    )
    warm = (
        "Warm: the file is in the page cache. The limit hashes as many bytes of warm memory with BLAKE3 on "
        f"two threads; Saver uses as many as there are processors, up to 8. {common}"
    )
    hashes = [Row(name, tuple(large.loads["warm"][name])) for name in (HASH_LIMIT, HASH_MORE)]
    return [
        _load_table(shape, large, everyone, "cold", cold, [Row(READ_LIMIT, limit)]),
        _load_table(shape, large, everyone, "warm", warm, hashes),
    ]


def _load_table(
    shape: Shape, large: _Large, everyone: list[Peer], kind: str, about: str, rows: list[Row]
) -> Table:
    limit = rows[0].what
    for peer in everyone:
        note = large.refused.get(peer.name, "")
        for load in peer.loads:
            seconds, touched = large.loads[kind][load.name], large.touched[kind][load.name]
            rows.append(Row(load.name, tuple(seconds), tuple(touched), load.lazy, note))
    title = f"{shape.title}: load {kind}"
    return Table(f"{shape.name}-{kind}", title, about, tuple(rows), BASELINE, limit, large.size)
