"""LightGBM's training, killed at any round and resumed, ends with the same text."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

import saver
from saver import Every

lightgbm = pytest.importorskip("lightgbm")

from saver.integrations.lightgbm import SaverCallback  # noqa: E402

pytestmark = pytest.mark.xdist_group("lightgbm")

ROUNDS = 11
SMALL = {"num_leaves": 5, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "absolute": {"objective": "regression_l1"},
    "huber": {"objective": "huber"},
    "quantile": {"objective": "quantile", "alpha": 0.3},
    "counts": {"objective": "poisson"},
    "gamma": {"objective": "gamma"},
    "tweedie": {"objective": "tweedie"},
    "binary": {"objective": "binary", "is_unbalance": True},
    "entropy": {"objective": "cross_entropy"},
    "classes": {"objective": "multiclass", "num_class": 3},
    "each class": {"objective": "multiclassova", "num_class": 3},
    "ranking": {"objective": "lambdarank"},
    "monotone": {"monotone_constraints": [1, *[0] * 9, 0]},
    "categories": {"min_data_per_group": 2, "cat_smooth": 1},
    "few leaves": {"min_data_in_leaf": 50, "learning_rate": 0.9},
}

INEXACT: Mapping[str, Mapping[str, Any]] = {
    "bagging": {"bagging_freq": 1, "bagging_fraction": 0.5},
    "GOSS": {"data_sample_strategy": "goss"},
    "dart": {"boosting": "dart"},
    "feature_fraction": {"feature_fraction": 0.5},
    "extra_trees": {"extra_trees": True},
    "stochastic_rounding": {"use_quantized_grad": True},
    "rank_xendcg": {"objective": "rank_xendcg"},
    "linear_tree": {"linear_tree": True},
    "cegb_penalty_feature": {"cegb_penalty_feature_coupled": [1.0] * 11},
    "in which order to add numbers": {"num_threads": 2},
}


class Killed(BaseException):
    """Ends training as a crash would."""


class Kill:
    """Ends training after this round."""

    order = 100
    before_iteration = False

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, env: Any) -> None:
        if env.iteration == self.at:
            raise Killed

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


def data(objective: str = "") -> tuple[Any, Any]:
    features, target = load_diabetes(return_X_y=True)
    features = np.c_[features, np.arange(len(features)) * 7 % 5]
    if "multiclass" in objective:
        target = np.digitize(target, [90, 160])
    elif "rank" in objective or objective in ("binary", "cross_entropy"):
        target = (target > 100).astype(float)
    group = [60, 60] if "rank" in objective else None
    fit = lightgbm.Dataset(features[:120], target[:120], group=group, categorical_feature=[10])
    held_out = [40, 40] if group else None
    return fit, lightgbm.Dataset(features[120:200], target[120:200], group=held_out, reference=fit)


def train(
    folder: Path,
    settings: Mapping[str, Any],
    kill: int = -1,
    more: tuple[Any, ...] = (),
    rounds: int = ROUNDS,
) -> tuple[Any, dict[str, Any]]:
    """The booster and what was evaluated, of a training in this store that ends after round `kill`."""
    fit, held_out = data(settings.get("objective", ""))
    evaluated: dict[str, Any] = {}
    run = SaverCallback(saver.Saver(folder), "trees", rounds=rounds, every=Every(steps=3), progress=False)
    booster = run.train(
        {**SMALL, **settings}, fit, valid_sets=[held_out], valid_names=["held"],
        callbacks=[lightgbm.record_evaluation(evaluated), Kill(kill), *more],
    )  # fmt: skip
    return booster, evaluated


def text(booster: Any) -> str:
    return str(booster.model_to_string(num_iteration=-1))


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
    assert text(whole) == text(resumed)
    assert evaluated == again
    assert whole.num_trees() == ROUNDS * whole.num_model_per_iteration()
    assert (whole.params, whole.best_score, whole.best_iteration) == (
        resumed.params, resumed.best_score, resumed.best_iteration,
    )  # fmt: skip


def test_it_trains_as_lightgbm_does(tmp_path: Path) -> None:
    fit, _ = data()
    assert text(train(tmp_path, {})[0]) == text(lightgbm.train(SMALL, fit, ROUNDS))


@pytest.mark.parametrize("kill", range(ROUNDS))
def test_it_may_be_killed_in_any_round(kill: int, tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", {})
    resumed, _ = killed_and_resumed(tmp_path / "killed", (kill,), {})
    assert text(whole) == text(resumed)


def test_what_was_saved_last_is_the_booster_that_training_returned(tmp_path: Path) -> None:
    whole, evaluated = train(tmp_path, {})
    saved = saver.Saver(tmp_path).load("trees", parts=["model"])["model"]
    again, found = train(tmp_path, {})
    assert text(saved) == text(whole) == text(again)
    assert found == evaluated
    assert again.best_score == whole.best_score


@pytest.mark.parametrize("asked", ["a callback", "a parameter"])
@pytest.mark.parametrize("kill", [2, 4, 6])
def test_early_stopping_and_rates_go_on_where_they_were(kill: int, asked: str, tmp_path: Path) -> None:
    def more() -> tuple[Any, ...]:
        rates = lightgbm.reset_parameter(learning_rate=lambda number: 0.4 if number < 5 else 0.2)
        stop = (lightgbm.early_stopping(3, verbose=False),) if asked == "a callback" else ()
        return (rates, *stop)

    settings = {"learning_rate": 0.4} | ({"early_stopping_rounds": 3} if asked == "a parameter" else {})
    whole, evaluated = train(tmp_path / "whole", settings, more=more(), rounds=40)
    count = len(evaluated["held"]["l2"])
    assert kill < count - 1 < 39
    with pytest.raises(Killed):
        train(tmp_path / "killed", settings, kill, more(), 40)
    for _ in range(2):  # and once more after it has ended
        resumed, again = train(tmp_path / "killed", settings, more=more(), rounds=40)
        assert text(whole) == text(resumed)
        assert evaluated == again
        assert whole.best_iteration == resumed.best_iteration
        assert whole.best_score == resumed.best_score


def fit(folder: Path, name: str, kill: int = -1) -> Any:
    features, target = load_diabetes(return_X_y=True)
    target = np.digitize(target, [90, 160]) if name != "LGBMRegressor" else target
    model = getattr(lightgbm, name)(n_estimators=ROUNDS, n_jobs=1, num_leaves=5, verbose=-1)
    ranks = {"group": [100], "eval_group": [[50]]} if name == "LGBMRanker" else {}
    run = SaverCallback(saver.Saver(folder), "trees", rounds=ROUNDS, every=Every(steps=3), progress=False)
    return run.fit(
        model, features[:100], target[:100], eval_X=(features[100:150],), eval_y=(target[100:150],),
        callbacks=[Kill(kill)], **ranks,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["LGBMClassifier", "LGBMRegressor", "LGBMRanker"])
def test_an_estimator_is_fitted_the_same(name: str, tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", name)
    for kill in (1, 5):
        with pytest.raises(Killed):
            fit(tmp_path / "killed", name, kill)
    for _ in range(2):  # and once more after it has ended
        resumed = fit(tmp_path / "killed", name)
        assert text(resumed.booster_) == text(whole.booster_)
        assert resumed.evals_result_ == whole.evals_result_
        assert resumed.best_score_ == whole.best_score_
        assert resumed.get_params() == whole.get_params()
        assert resumed.n_features_in_ == whole.n_features_in_
        assert vars(resumed).keys() == vars(whole).keys()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n_estimators": 7}, "n_estimators=7, but rounds=3"),
        ({"n_estimators": 3, "early_stopping_round": 2}, "early_stopping_round is a parameter"),
    ],
)
def test_an_estimator_must_agree_with_the_run(settings: dict[str, int], says: str, tmp_path: Path) -> None:
    run = SaverCallback(saver.Saver(tmp_path), "trees", rounds=3, every=Every(steps=1))
    with pytest.raises(ValueError, match=says):
        run.fit(lightgbm.LGBMRegressor(**settings), *load_diabetes(return_X_y=True))


@pytest.mark.shows("LightGBM", "resume to the bit", "callback")
@pytest.mark.slow
def test_a_process_that_was_really_killed_resumes(tmp_path: Path) -> None:
    program = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_lightgbm_callback as test
class Kill(test.Kill):
    def __call__(self, env):
        if env.iteration == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
test.Kill = Kill
folder, at = test.Path(sys.argv[2]), int(sys.argv[3])
(folder / "booster.txt").write_text(test.text(test.train(folder, {}, at)[0]))
"""

    def run(kill: int) -> int:
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", program, here, str(tmp_path / "killed"), str(kill)]
        return subprocess.run(command, timeout=120, check=False).returncode

    (tmp_path / "killed").mkdir()
    assert run(7) == -signal.SIGKILL
    assert run(-1) == 0
    whole, _ = train(tmp_path / "whole", {})
    assert (tmp_path / "killed" / "booster.txt").read_text() == text(whole)


@pytest.mark.parametrize("what", INEXACT)
def test_it_says_at_once_where_resuming_cannot_be_exact(what: str, tmp_path: Path) -> None:
    run = SaverCallback(saver.Saver(tmp_path), "trees", rounds=1, every=Every(steps=1), progress=False)
    settings = {**SMALL, **INEXACT[what]}
    with pytest.warns(RuntimeWarning, match=what):
        run.train(settings, data(settings.get("objective", ""))[0])


def test_it_says_nothing_where_resuming_is_exact(tmp_path: Path) -> None:
    run = SaverCallback(saver.Saver(tmp_path), "trees", rounds=1, every=Every(steps=1), progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.train({**SMALL, "num_threads": 2, "force_row_wise": True}, data()[0])


def test_a_random_forest_is_refused(tmp_path: Path) -> None:
    run = SaverCallback(saver.Saver(tmp_path), "trees", rounds=3, every=Every(steps=1), progress=False)
    with pytest.raises(ValueError, match="cannot continue a random forest"):
        run.train({**SMALL, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, data()[0])


@pytest.mark.parametrize("name", ["num_iterations", "n_estimators", "num_trees"])
def test_the_number_of_rounds_is_not_a_parameter(name: str, tmp_path: Path) -> None:
    run = SaverCallback(saver.Saver(tmp_path), "trees", rounds=3, every=Every(steps=1))
    with pytest.raises(ValueError, match=f"{name} is a parameter"):
        run.train({name: 7}, data()[0])


@pytest.mark.parametrize("name", ["init_model", "num_boost_round"])
def test_what_the_run_decides_is_refused(name: str, tmp_path: Path) -> None:
    run = SaverCallback(saver.Saver(tmp_path), "trees", rounds=3, every=Every(steps=1))
    with pytest.raises(ValueError, match=name):
        run.train({}, data()[0], **{name: None})


def test_the_number_of_rounds_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rounds=0"):
        SaverCallback(saver.Saver(tmp_path), "trees", rounds=0, every=Every(steps=1))
