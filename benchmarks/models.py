"""Small models: dump and load of scikit-learn estimators, where overhead is everything."""

from __future__ import annotations

import os
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

import saver
from benchmarks.measure import make_durable, rounds, timed
from benchmarks.peers import void
from benchmarks.tables import Row, Table

LIMIT = "limit: the bare file"
OURS = "Saver"
BASELINE = "joblib"


@dataclass(frozen=True, slots=True)
class Tool:
    """`dump` returns when file and folder are fsynced."""

    name: str
    dump: Callable[[Any, Path], None]
    load: Callable[[Path], Any]


def tools() -> list[Tool]:
    """Saver, joblib, pickle, skops."""
    import joblib
    import skops.io

    def dump_pickle(model: Any, path: Path) -> None:
        with open(path, "wb") as file:
            pickle.dump(model, file, protocol=pickle.HIGHEST_PROTOCOL)

    def load_pickle(path: Path) -> Any:
        with open(path, "rb") as file:
            return pickle.load(file)

    trusted: dict[str, list[str]] = {}

    def load_skops(path: Path) -> Any:
        if path.name not in trusted:
            trusted[path.name] = skops.io.get_untrusted_types(file=path)
        return skops.io.load(path, trusted=trusted[path.name])

    def durably(dump: Callable[[Any, Path], object]) -> Callable[[Any, Path], None]:
        def run(model: Any, path: Path) -> None:
            dump(model, path)
            make_durable(path)

        return run

    return [
        Tool(OURS, lambda model, path: void(saver.dump(model, path)), saver.load),
        Tool(BASELINE, durably(joblib.dump), joblib.load),
        Tool("pickle", durably(dump_pickle), load_pickle),
        Tool("skops", durably(skops.io.dump), load_skops),
    ]


def models(rows: int) -> dict[str, tuple[Any, Any]]:
    """Fitted models by name, each with data that it predicts."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.datasets import make_classification
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import SVC

    X, y = make_classification(rows, 20, n_informative=10, n_classes=3, random_state=0)
    names = [f"f{number}" for number in range(20)]
    frame = pd.DataFrame(X, columns=names)
    frame["town"] = np.array(["Bern", "Oslo", "Riga", "Turin"])[np.arange(rows) % 4]
    columns = ColumnTransformer([("numbers", StandardScaler(), names), ("town", OneHotEncoder(), ["town"])])
    found = {
        "scaled logistic regression": (make_pipeline(StandardScaler(), LogisticRegression()), X),
        "SVC": (SVC(), X),
        "forest of 100 trees": (RandomForestClassifier(100, random_state=0, n_jobs=1), X),
        "forest of 500 trees": (RandomForestClassifier(500, random_state=0, n_jobs=1), X),
        "histogram boosting": (HistGradientBoostingClassifier(random_state=0), X),
        "column transformer pipeline": (make_pipeline(columns, LogisticRegression()), frame),
    }
    for model, data in found.values():
        model.fit(data, y)
    return found


class _Model:
    """One model, and the times of all tools."""

    def __init__(self, name: str, model: Any, data: Any, folder: Path) -> None:
        self.name, self.model, self.folder = name, model, folder
        self.expected, self.data = model.predict(data), data
        self.dumps: dict[str, list[float]] = defaultdict(list)
        self.loads: dict[str, list[float]] = defaultdict(list)
        self.sizes: dict[str, int] = {}
        self.refused: dict[str, str] = {}

    def turn(self, tool: Tool) -> Callable[[], None]:
        def run() -> None:
            path = self.folder / f"{self.name}.{tool.name}"
            if tool.name in self.refused:
                return
            try:
                seconds, _ = timed(lambda: tool.dump(self.model, path))
            except saver.CannotSaveError:
                self.refused[tool.name] = "not supported"
                return
            more, loaded = timed(lambda: tool.load(path))
            if tool.name not in self.sizes:  # the first round warms up: imports, caches
                self.sizes[tool.name] = path.stat().st_size
                if not np.array_equal(loaded.predict(self.data), self.expected):
                    raise AssertionError(f"{tool.name}: {self.name} predicts differently after loading")
            else:
                self.dumps[tool.name].append(seconds)
                self.loads[tool.name].append(more)
            path.unlink()

        return run

    def limit(self) -> None:
        """Write `size` bytes to a new file, fsync file and folder; read and hash them."""
        content = os.urandom(self.sizes.get(OURS, 0) or self.sizes[BASELINE])
        path = self.folder / "limit"
        seconds, _ = timed(lambda: _write(path, content))
        more, _ = timed(lambda: blake3(path.read_bytes()).digest())
        self.dumps[LIMIT].append(seconds)
        self.loads[LIMIT].append(more)
        path.unlink()

    def table(self, kind: str, tools: list[Tool]) -> Table:
        times = self.dumps if kind == "dump" else self.loads
        size = self.sizes.get(OURS) or self.sizes[BASELINE]
        rows = [Row(LIMIT, tuple(times[LIMIT]))]
        rows += [
            Row(tool.name, tuple(times[tool.name]), note=self.refused.get(tool.name, "")) for tool in tools
        ]
        cells = [f"{size / 1e3:,.1f}"]
        cells += [f"{self.sizes[tool.name] / 1e3:,.1f}" if tool.name in self.sizes else "" for tool in tools]
        about = _ABOUT[kind]
        return Table(
            f"{self.name}-{kind}", f"{self.name}: {kind}", about, tuple(rows), BASELINE, LIMIT, unit="ms",
            extra=("file, kB",), cells=tuple((cell,) for cell in cells),
        )  # fmt: skip


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    make_durable(path)


_ABOUT = {
    "dump": "Every dump ends with fsync of file and folder. The limit writes and fsyncs a file of the size "
    "of Saver's.",
    "load": "From the page cache, modules imported. The limit reads a file of the size of Saver's and hashes "
    "it. skops gets its trusted types; finding them is not counted.",
}


def run(folder: Path, repeat: int, rows: int) -> list[Table]:
    """Two tables for each model: `<model>-dump` and `<model>-load`."""
    everyone = tools()
    tables = []
    for name, (model, data) in models(rows).items():
        measured = _Model(name, model, data, folder)
        turns = [measured.turn(tool) for tool in everyone]
        for turn in turns:
            turn()
        rounds(repeat, [measured.limit, *turns])
        tables += [measured.table(kind, everyone) for kind in ("dump", "load")]
    return tables
