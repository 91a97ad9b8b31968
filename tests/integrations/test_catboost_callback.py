"""CatBoost's training, killed at any round and resumed, ends with the same model."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

import saver
from saver import Every

catboost = pytest.importorskip("catboost")

from saver.integrations.catboost import SaverCallback  # noqa: E402

pytestmark = [
    pytest.mark.xdist_group("catboost"),
    pytest.mark.filterwarnings("ignore:.*has not reviewed"),
]

ROUNDS = 9
SMALL = {"iterations": ROUNDS, "depth": 3, "thread_count": 1, "verbose": 0, "random_seed": 1}

KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("CatBoostRegressor", {}),
    "ordered": ("CatBoostRegressor", {"boosting_type": "Ordered"}),
    "samples": ("CatBoostRegressor", {"bootstrap_type": "Bernoulli", "subsample": 0.5, "rsm": 0.5}),
    "minimal variance": ("CatBoostRegressor", {"bootstrap_type": "MVS"}),
    "absolute": ("CatBoostRegressor", {"loss_function": "MAE"}),
    "quantiles": ("CatBoostRegressor", {"loss_function": "MultiQuantile:alpha=0.2,0.8"}),
    "lossguide": ("CatBoostRegressor", {"grow_policy": "Lossguide", "max_leaves": 5}),
    "depthwise": ("CatBoostRegressor", {"grow_policy": "Depthwise"}),
    "langevin": ("CatBoostRegressor", {"langevin": True}),
    "classes": ("CatBoostClassifier", {"loss_function": "MultiClass"}),
    "two classes": ("CatBoostClassifier", {"auto_class_weights": "Balanced"}),
    "ranking": ("CatBoostRanker", {"loss_function": "YetiRank"}),
}


class Killed(BaseException):
    """Ends training as a crash would."""


class Kill:
    """Ends training in this round, before it is saved."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, list[int]()

    def after_iteration(self, info: Any) -> bool:
        self.seen.append(info.iteration)
        if info.iteration == self.at:
            raise Killed
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CatBoost writes into the working directory."""
    monkeypatch.chdir(tmp_path)


def rows(name: str, loss: str) -> tuple[Any, Any, dict[str, Any]]:
    features, target = load_diabetes(return_X_y=True)
    features, target = features[:100], target[:100]
    if name == "CatBoostClassifier":
        target = np.digitize(target, [90, 160] if loss == "MultiClass" else [100])
    return features, target, {"group_id": np.repeat(np.arange(10), 10)} if name == "CatBoostRanker" else {}


def train(folder: Path, kind: str, kill: int = -1, interval: int = 0, **more: Any) -> tuple[Any, list[int]]:
    """The model, and the rounds that a callback saw, of a training that ends in round `kill`."""
    name, settings = KINDS[kind]
    features, target, own = rows(name, str(settings.get("loss_function", "")))
    model, killing = getattr(catboost, name)(**SMALL, **settings), Kill(kill)
    run = SaverCallback(saver.Saver(folder), "trees", every=Every(steps=3), interval=interval, progress=False)
    run.fit(model, features, target, callbacks=[killing], **own, **more)
    return model, killing.seen


def plain(kind: str) -> Any:
    """The model as CatBoost trains it."""
    name, settings = KINDS[kind]
    features, target, own = rows(name, str(settings.get("loss_function", "")))
    return getattr(catboost, name)(**SMALL, **settings).fit(features, target, **own)


def predicted(model: Any) -> bytes:
    found = catboost.CatBoost.predict(model, rows("", "")[0], prediction_type="RawFormulaVal")
    return bytes(np.asarray(found).tobytes())


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_equals_the_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    for kill in (2, 5, 8):
        with pytest.raises(Killed):
            train(tmp_path / "killed", kind, kill)
    resumed, seen = train(tmp_path / "killed", kind)
    whole = plain(kind)
    assert resumed == whole
    assert predicted(resumed) == predicted(whole)
    assert resumed.get_evals_result() == whole.get_evals_result()
    assert seen == list(range(1, ROUNDS + 1))


@pytest.mark.parametrize("kill", range(1, ROUNDS + 1))
def test_it_may_be_killed_in_any_round(kill: int, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "killed", "samples", kill)
    assert train(tmp_path / "killed", "samples")[0] == plain("samples")


def test_a_snapshot_may_be_older_than_the_save(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "killed", "samples", 7, interval=3600)
    resumed, seen = train(tmp_path / "killed", "samples", interval=3600)
    assert resumed == plain("samples")
    assert seen == list(range(1, ROUNDS + 1))


def test_what_was_saved_last_is_the_model_that_training_returned(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "store", "two classes")
    saved = saver.Saver(tmp_path / "store").load("trees", parts=["model"], trust=["catboost.*"])["model"]
    again, _ = train(tmp_path / "store", "two classes")
    assert saved == whole == again
    assert again.get_params() == whole.get_params()


def test_early_stopping_goes_on_where_it_was(tmp_path: Path) -> None:
    features, target, _ = rows("", "")
    more = {"eval_set": (features[::3], -target[::3]), "early_stopping_rounds": 3}
    whole = catboost.CatBoostRegressor(**SMALL).fit(features, target, **more)
    with pytest.raises(Killed):
        train(tmp_path / "killed", "plain", 4, **more)
    resumed, _ = train(tmp_path / "killed", "plain", **more)
    assert resumed == whole
    assert resumed.best_iteration_ == whole.best_iteration_
    assert resumed.tree_count_ < ROUNDS


@pytest.mark.shows("CatBoost", "resume to the bit", "callback")
@pytest.mark.slow
def test_a_process_that_was_really_killed_resumes(tmp_path: Path) -> None:
    program = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_catboost_callback as test
class Kill(test.Kill):
    def after_iteration(self, info):
        if info.iteration == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return True
test.Kill = Kill
folder, at = test.Path(sys.argv[2]), int(sys.argv[3])
(folder / "predicted").write_bytes(test.predicted(test.train(folder, "samples", at)[0]))
"""

    def run(kill: int) -> int:
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", program, here, str(tmp_path / "killed"), str(kill)]
        return subprocess.run(command, timeout=120, check=False).returncode

    (tmp_path / "killed").mkdir()
    assert run(7) == -signal.SIGKILL
    assert run(-1) == 0
    assert (tmp_path / "killed" / "predicted").read_bytes() == predicted(plain("samples"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"allow_writing_files": False}, "no snapshot to resume from"),
        ({"save_snapshot": True}, "save_snapshot: SaverCallback decides that"),
        ({"snapshot_file": "here"}, "snapshot_file: SaverCallback decides that"),
    ],
)
def test_what_the_run_decides_is_refused(settings: dict[str, Any], says: str, tmp_path: Path) -> None:
    run = SaverCallback(saver.Saver(tmp_path / "store"), "trees", every=Every(steps=3))
    with pytest.raises(ValueError, match=says):
        run.fit(catboost.CatBoostRegressor(**SMALL, **settings), *rows("", "")[:2])


def test_the_interval_is_a_number_of_seconds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="interval=-1"):
        SaverCallback(saver.Saver(tmp_path / "store"), "trees", every=Every(steps=3), interval=-1)
