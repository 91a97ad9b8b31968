"""A resumed run has what users keep in attributes of their own estimators and nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saver
from saver.storages.memory import MemoryStorage

ROWS = np.random.default_rng(1).random((40, 3)).astype("float32")
CLASSES = (ROWS[:, 0] > 0.5).astype("int64")
BASES = {
    "sklearn": ("linear_model", "SGDClassifier", {}),
    "xgboost": ("", "XGBClassifier", {"n_estimators": 2, "max_depth": 2}),
    "lightgbm": ("", "LGBMClassifier", {"n_estimators": 2, "verbose": -1}),
    "catboost": ("", "CatBoostClassifier", {"iterations": 2, "verbose": False, "allow_writing_files": False}),
    "skorch": ("", "NeuralNetClassifier", {"verbose": 0, "train_split": None, "max_epochs": 1}),
}


def made(library: str) -> Any:
    """An object of a class of one's own, with attributes of its own."""
    part, base, arguments = BASES[library]
    module = pytest.importorskip(f"{library}.{part}".rstrip("."))
    np.random.seed(0)
    if library == "skorch":
        import torch

        torch.manual_seed(0)
        arguments = arguments | {
            "module": torch.nn.Linear,
            "module__in_features": 3,
            "module__out_features": 2,
        }
        arguments |= {"criterion": torch.nn.CrossEntropyLoss}
    found = type("Own", (getattr(module, base),), {"__module__": __name__})(**arguments)
    globals()["Own"] = type(found)
    if library == "skorch":
        found.initialize()
    found.seen, found.table, found.count, found.rng = [], {"a": [1]}, 0, np.random.default_rng(3)
    return found


def trained(store: saver.Saver, library: str, stop: int) -> Any:
    """A run up to this step: what all attributes are then, and what it answers."""
    own = made(library)
    with store.checkpoints("run", {"own": own}, every=saver.Every(steps=1), progress=False) as run:
        for step in range(run.resume(trust=[f"{__name__}.*"]), stop):
            rows = (ROWS + own.rng.random() / 10 + own.count / 100).astype("float32")
            if library == "sklearn":
                own.partial_fit(rows, CLASSES, classes=[0, 1])
            elif library == "skorch":
                own.partial_fit(rows, CLASSES)
            else:
                own.fit(rows, CLASSES)
            own.seen.append(float(rows[0, 0]))
            own.table["a"].append(step)
            own.count += 1
            run.step(step)
    answer = own.decision_function(ROWS) if library == "sklearn" else own.predict_proba(ROWS)
    return own.seen, own.table, own.count, own.rng.random(), np.asarray(answer).tobytes()


@pytest.mark.parametrize(
    "library",
    [
        pytest.param(
            each, marks=() if each == "sklearn" else (pytest.mark.frameworks, pytest.mark.xdist_group(each))
        )
        for each in BASES
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_has_the_attributes_of_its_own_classes(library: str) -> None:
    whole, killed = saver.Saver(MemoryStorage()), saver.Saver(MemoryStorage())
    trained(killed, library, 3)
    assert trained(killed, library, 6) == trained(whole, library, 6)
