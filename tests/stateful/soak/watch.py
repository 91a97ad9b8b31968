"""Watches whether anything grows without bound: the memory, descriptors and threads of processes that live
long, and the folder of the store."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.stateful.soak.journal import Workspace


class Bound(NamedTuple):
    """How much more there may be in the last quarter of the time than in the second: `factor` times as much,
    and `floor`. With `per_record`, what is measured may grow as the log does.
    """

    factor: float
    floor: float
    per_record: bool = False


BOUNDS = {
    "memory, MB": Bound(1.5, 40.0),
    "descriptors": Bound(1.5, 24.0),
    "threads": Bound(1.5, 8.0),
    "data files": Bound(2.0, 300.0),
    "data MB": Bound(2.0, 40.0),
    "state files": Bound(1.5, 400.0, True),
    "state MB": Bound(1.5, 4.0, True),
    "other files": Bound(1.5, 20.0),
}


class Watch:
    """Measures, again and again, and judges in the end."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._rows: list[dict[str, float]] = []

    def measure(self, processes: Mapping[str, int]) -> None:
        """Look at processes, by name, and the folder."""
        row = dict(_folder(self._workspace.store))
        for name, process in processes.items():
            for what, amount in _process(process).items():
                row[f"{what} {name}"] = amount
        self._rows.append(row)

    def problems(self) -> list[str]:
        """What grew beyond its bound."""
        found = []
        for what, (early, late) in self._quarters().items():
            bound = next((bound for kind, bound in BOUNDS.items() if what.startswith(kind)), None)
            if bound is None:
                continue
            records = self._quarters()["records"]
            fair = records[1] / max(1.0, records[0]) if bound.per_record else 1.0
            if late > bound.factor * fair * early + bound.floor:
                found.append(f"{what} grew from {early:.1f} to {late:.1f}")
        return found

    def table(self) -> str:
        """The medians of the second and of the last quarter."""
        rows = [f"{what:32} {early:10.1f} {late:10.1f}" for what, (early, late) in self._quarters().items()]
        return "\n".join([f"{'':32} {'2nd quarter':>10} {'4th':>9}", *rows])

    def _quarters(self) -> dict[str, tuple[float, float]]:
        size = max(1, len(self._rows) // 4)
        early, late = self._rows[size : 2 * size] or self._rows, self._rows[-size:]
        names = sorted({name for row in self._rows for name in row})
        return {name: (_median(early, name), _median(late, name)) for name in names}


def _median(rows: list[dict[str, float]], name: str) -> float:
    return statistics.median([row[name] for row in rows if name in row] or [0.0])


def _process(process: int) -> dict[str, float]:
    """Of a process that lives; nothing where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        told = dict(line.split(":", 1) for line in lines)
        descriptors = len(os.listdir(f"/proc/{process}/fd"))
    except FileNotFoundError:
        return {}
    if "VmRSS" not in told:
        return {}
    memory = int(told["VmRSS"].split()[0]) / 1024
    return {"memory, MB": memory, "descriptors": descriptors, "threads": int(told["Threads"])}


def _folder(store: Path) -> dict[str, float]:
    """Files and bytes by what they are."""
    found = {"records": 0.0, "data files": 0.0, "data MB": 0.0, "state files": 0.0, "state MB": 0.0,
             "other files": 0.0}  # fmt: skip
    for folder, _, names in os.walk(store):
        kind = Path(folder).relative_to(store).parts[:1]
        if kind == ("log",):
            found["records"] += len(names)
        elif kind in (("packs",), ("manifests",), ("state",)):
            word = "state" if kind == ("state",) else "data"
            found[f"{word} files"] += len(names)
            found[f"{word} MB"] += sum(_size(os.path.join(folder, name)) for name in names) / 2**20
        else:
            found["other files"] += len(names)
    return found


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:  # collected meanwhile
        return 0
