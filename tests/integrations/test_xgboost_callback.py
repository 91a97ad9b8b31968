"""XGBoost's training, killed at any round and resumed, ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_diabetes

import saver
from saver import Every, OnSignal
from saver.errors import CannotSaveError

xgboost = pytest.importorskip("xgboost")

from saver.integrations.xgboost import SaverCallback  # noqa: E402

pytestmark = pytest.mark.xdist_group("xgboost")

ROUNDS = 11

KINDS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "samples": {"subsample": 0.5, "colsample_bytree": 0.5, "seed": 4},
    "nodes": {"colsample_bynode": 0.4, "colsample_bylevel": 0.6},
    "forest": {"num_parallel_tree": 3, "subsample": 0.6},
    "exact": {"tree_method": "exact", "subsample": 0.5},
    "approx": {"tree_method": "approx", "colsample_bynode": 0.5},
    "approximate counts": {"tree_method": "approx", "objective": "count:poisson"},
    "lossguide": {"grow_policy": "lossguide", "max_leaves": 5, "subsample": 0.5},
    "ten seeds on": {"seed": 12345678901, "subsample": 0.5},
    "dart": {"booster": "dart", "rate_drop": 0.4},
    "shotgun": {"booster": "gblinear", "updater": "shotgun", "feature_selector": "shuffle"},
    "coordinates": {"booster": "gblinear", "updater": "coord_descent", "feature_selector": "random"},
    "absolute": {"objective": "reg:absoluteerror", "subsample": 0.5},
}


class Killed(BaseException):
    """Ends training as a crash would."""


class Kill(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    """Ends training after this round."""

    def __init__(self, at: int) -> None:
        self.at = at

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if epoch == self.at:
            raise Killed
        return False

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with xgboost.config_context(verbosity=0):
        yield


def data() -> tuple[Any, Any]:
    features, target = load_diabetes(return_X_y=True)
    return (
        xgboost.DMatrix(features[:120], target[:120], nthread=1),
        xgboost.DMatrix(features[120:200], target[120:200], nthread=1),
    )


def train(
    folder: Path,
    settings: Mapping[str, Any],
    kill: int = -1,
    more: tuple[Any, ...] = (),
    rounds: int = ROUNDS,
) -> tuple[Any, dict[str, Any]]:
    """The booster and what was evaluated, of a training in this store that ends after round `kill`."""
    fit, held_out = data()
    own = SaverCallback(
        saver.Saver(folder), "trees", rounds=rounds, every=Every(steps=3), callbacks=[Kill(kill), *more],
        progress=False,
    )  # fmt: skip
    evaluated: dict[str, Any] = {}
    booster = xgboost.train(
        {"nthread": 1, **settings}, fit, rounds, evals=[(held_out, "held")], evals_result=evaluated,
        callbacks=[own], verbose_eval=False,
    )  # fmt: skip
    return booster, evaluated


def killed_and_resumed(folder: Path, kills: tuple[int, ...], settings: Mapping[str, Any]) -> Any:
    for kill in kills:
        with pytest.raises(Killed):
            train(folder, settings, kill)
    return train(folder, settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_equals_the_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    settings = KINDS[kind]
    whole, evaluated = train(tmp_path / "whole", settings)
    resumed, again = killed_and_resumed(tmp_path / "killed", (1, 4, 9), settings)
    assert whole.save_raw("json") == resumed.save_raw("json")
    assert whole.save_config() == resumed.save_config()
    assert evaluated == again
    assert whole.num_boosted_rounds() == ROUNDS


@pytest.mark.parametrize("kill", range(ROUNDS))
def test_it_may_be_killed_in_any_round(kill: int, tmp_path: Path) -> None:
    settings = KINDS["samples"]
    whole, _ = train(tmp_path / "whole", settings)
    resumed, _ = killed_and_resumed(tmp_path / "killed", (kill,), settings)
    assert whole.save_raw("json") == resumed.save_raw("json")


def test_what_was_saved_last_is_the_booster_that_training_returned(tmp_path: Path) -> None:
    whole, _ = train(tmp_path, KINDS["samples"])
    saved = saver.Saver(tmp_path).load("trees", parts=["model"])["model"]
    assert saved.save_raw("json") == whole.save_raw("json")
    assert train(tmp_path, KINDS["samples"])[0].save_raw("json") == whole.save_raw("json")


@pytest.mark.parametrize("kill", [2, 3, 7])
def test_early_stopping_and_rates_go_on_where_they_were(kill: int, tmp_path: Path) -> None:
    def more() -> tuple[Any, ...]:
        return (
            xgboost.callback.EarlyStopping(rounds=3, save_best=True),
            xgboost.callback.LearningRateScheduler(lambda number: 0.9 if number < 5 else 0.5),
        )

    settings = {"subsample": 0.5, "eta": 0.9}
    whole, evaluated = train(tmp_path / "whole", settings, more=more(), rounds=40)
    assert len(evaluated["held"]["rmse"]) < 40
    with pytest.raises(Killed):
        train(tmp_path / "killed", settings, min(kill, len(evaluated["held"]["rmse"]) - 1), more(), 40)
    resumed, again = train(tmp_path / "killed", settings, more=more(), rounds=40)
    assert whole.save_raw("json") == resumed.save_raw("json")
    assert evaluated == again
    assert whole.best_iteration == resumed.best_iteration


def test_estimators_take_the_callback(tmp_path: Path) -> None:
    features, target = load_diabetes(return_X_y=True)

    def fit(folder: str, kill: int = -1) -> Any:
        own = SaverCallback(
            saver.Saver(tmp_path / folder), "trees", rounds=8, every=Every(steps=3), callbacks=[Kill(kill)],
            progress=False,
        )  # fmt: skip
        model = xgboost.XGBRegressor(n_estimators=8, subsample=0.5, n_jobs=1, callbacks=[own])
        return model.fit(features[:100], target[:100])

    whole = fit("whole")
    with pytest.raises(Killed):
        fit("killed", 5)
    resumed = fit("killed")
    assert whole.predict(features).tobytes() == resumed.predict(features).tobytes()


@pytest.mark.shows("XGBoost", "resume to the bit", "callback")
@pytest.mark.slow
def test_a_process_that_was_really_killed_resumes(tmp_path: Path) -> None:
    program = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_xgboost_callback as test
class Kill(test.Kill):
    def after_iteration(self, model, epoch, evals_log):
        if epoch == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return False
test.Kill = Kill
folder, at = test.Path(sys.argv[2]), int(sys.argv[3])
(folder / "booster.json").write_bytes(test.train(folder, test.KINDS["samples"], at)[0].save_raw("json"))
"""

    def run(kill: int) -> int:
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", program, here, str(tmp_path / "killed"), str(kill)]
        return subprocess.run(command, timeout=120, check=False).returncode

    (tmp_path / "killed").mkdir()
    assert run(7) == -signal.SIGKILL
    assert run(-1) == 0
    whole, _ = train(tmp_path / "whole", KINDS["samples"])
    assert (tmp_path / "killed" / "booster.json").read_bytes() == whole.save_raw("json")


@pytest.mark.parametrize(
    ("settings", "every", "says"),
    [
        ({"seed_per_iteration": True}, Every(steps=3), "seed_per_iteration counts from 0"),
        ({"subsample": 0.5}, Every(minutes=1), "same rounds"),
        ({"subsample": 0.5}, Every(steps=3) | OnSignal(), "same rounds"),
        ({"tree_method": "approx", "subsample": 0.5}, Every(steps=3), "tree_method='hist'"),
        ({"booster": "dart"}, Every(minutes=1), "same rounds"),
    ],
)
def test_it_says_at_once_where_resuming_cannot_be_exact(
    settings: dict[str, Any], every: Any, says: str, tmp_path: Path
) -> None:
    own = SaverCallback(saver.Saver(tmp_path), "trees", rounds=1, every=every, progress=False)
    with pytest.warns(RuntimeWarning, match=says):
        xgboost.train({"nthread": 1, **settings}, data()[0], 1, callbacks=[own])


def test_it_says_nothing_where_resuming_is_exact(tmp_path: Path) -> None:
    own = SaverCallback(saver.Saver(tmp_path), "trees", rounds=1, every=Every(minutes=1), progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xgboost.train({"nthread": 1}, data()[0], 1, callbacks=[own])


def test_it_says_that_the_count_of_early_stopping_rounds_is_not_saved(tmp_path: Path) -> None:
    own = SaverCallback(saver.Saver(tmp_path), "trees", rounds=3, every=Every(steps=1), progress=False)
    fit, held_out = data()
    with pytest.warns(RuntimeWarning, match="early_stopping_rounds"):
        xgboost.train(
            {"nthread": 1}, fit, 3, evals=[(held_out, "held")], early_stopping_rounds=2, callbacks=[own],
            verbose_eval=False,
        )  # fmt: skip


def test_several_boosters_at_once_are_refused(tmp_path: Path) -> None:
    own = SaverCallback(saver.Saver(tmp_path), "trees", rounds=3, every=Every(steps=1))
    with pytest.raises(CannotSaveError, match=r"xgboost\.cv"):
        xgboost.cv({"nthread": 1}, data()[0], 3, nfold=2, callbacks=[own])


def test_the_number_of_rounds_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rounds=0"):
        SaverCallback(saver.Saver(tmp_path), "trees", rounds=0, every=Every(steps=1))
