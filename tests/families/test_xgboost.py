"""XGBoost: every kind of booster comes back to the bit, also in another process, and trains on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris

import saver
from saver.errors import CannotSaveError, UntrustedError
from saver.testing import CodecTests

xgboost = pytest.importorskip("xgboost")

sys.path.append(str(Path(__file__).parents[1] / "attacks"))

import xgboost_crashes as samples  # noqa: E402

from saver.families.xgboost import learner, older, pickles, trees  # noqa: E402

pytestmark = pytest.mark.xdist_group("xgboost")

OBJECTIVES = {
    "binary:hinge": {}, "binary:logistic": {"scale_pos_weight": 2}, "binary:logitraw": {},
    "count:poisson": {},
    "multi:softmax": {"num_class": 2}, "multi:softprob": {"num_class": 2}, "rank:map": {}, "rank:ndcg": {},
    "rank:pairwise": {}, "reg:absoluteerror": {}, "reg:gamma": {}, "reg:logistic": {},
    "reg:pseudohubererror": {}, "reg:quantileerror": {"quantile_alpha": [0.1, 0.5, 0.9]},
    "reg:squarederror": {}, "reg:squaredlogerror": {},
    "reg:tweedie": {"tweedie_variance_power": 1.3}, "survival:aft": {}, "survival:cox": {},
}  # fmt: skip


def trained(objective: str, booster: str = "gbtree") -> tuple[Any, Any]:
    """A booster of breast cancers, and its data."""
    features, target = load_breast_cancer(return_X_y=True)
    features, target = features[:80], target[:80].astype(float)
    if objective in ("reg:gamma", "reg:tweedie", "survival:cox"):
        target += 1
    matrix = xgboost.DMatrix(features, target, nthread=1)
    if objective == "survival:aft":
        matrix.set_info(label_lower_bound=target + 1, label_upper_bound=target + 2)
    if objective.startswith("rank"):
        matrix.set_group([40, 40])
    settings = {"objective": objective, "booster": booster, "nthread": 1, **OBJECTIVES[objective]}
    if booster != "gblinear":
        settings["max_depth"] = 3
    return xgboost.train(settings, matrix, 3), matrix


def same(one: Any, other: Any) -> bool:
    """Whether XGBoost would write the same bytes for both, with all settings."""
    return one.save_raw("json") == other.save_raw("json") and one.save_config() == other.save_config()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """XGBoost warns, from compiled code, of settings that it does not use."""
    with xgboost.config_context(verbosity=0):
        yield


class TestBoosters(CodecTests):
    family = "xgboost"
    samples: ClassVar[dict[str, Any]] = {kind: partial(samples.booster, kind) for kind in samples.PARAMETERS}


class TestEstimators(CodecTests):
    family = "xgboost"
    samples: ClassVar[dict[str, Any]] = {
        "classifier": lambda: xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(
            *load_iris(return_X_y=True)
        ),
        "not fitted": lambda: xgboost.XGBRanker(max_depth=2, gamma=0.5),
    }


NOT_LINEAR = ("reg:absoluteerror", "reg:quantileerror")
"""Objectives for which XGBoost trains no linear booster."""


@pytest.mark.parametrize(
    ("objective", "booster"),
    [
        (objective, booster)
        for objective in OBJECTIVES
        for booster in ("gbtree", "dart", "gblinear")
        if booster != "gblinear" or objective not in NOT_LINEAR
    ],
)
def test_every_objective_comes_back_and_trains_on_the_same(
    objective: str, booster: str, tmp_path: Path
) -> None:
    made, matrix = trained(objective, booster)
    saver.dump(made, tmp_path / "booster.saver")
    found = saver.load(tmp_path / "booster.saver")
    assert same(made, found)
    assert made.predict(matrix).tobytes() == found.predict(matrix).tobytes()
    again = saver.load(tmp_path / "booster.saver")
    for number in range(3, 5):
        found.update(matrix, number)
        again.update(matrix, number)
    assert same(found, again)


@pytest.mark.shows("XGBoost", "save", "load")
@pytest.mark.slow
def test_a_fresh_process_predicts_the_same_bits(tmp_path: Path) -> None:
    for kind in samples.PARAMETERS:
        made = samples.booster(kind)
        saver.dump(made, tmp_path / f"{kind}.saver")
        np.save(tmp_path / f"{kind}.npy", made.predict(samples.data(kind)))
    program = (
        "import sys, numpy as np, saver\n"
        f"sys.path.insert(0, {str(Path(samples.__file__).parent)!r})\n"
        f"import xgboost_crashes as samples\nfolder = {str(tmp_path)!r}\n"
        "for kind in samples.PARAMETERS:\n"
        "    found = saver.load(f'{folder}/{kind}.saver').predict(samples.data(kind))\n"
        "    assert found.tobytes() == np.load(f'{folder}/{kind}.npy').tobytes(), kind\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.parametrize(
    "name", ["XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor", "XGBRanker"]
)
def test_every_estimator_comes_back_with_all_its_attributes(name: str, tmp_path: Path) -> None:
    features, target = load_iris(return_X_y=True)
    model = getattr(xgboost, name)(n_estimators=3, n_jobs=1, random_state=1, max_bin=16)
    more = {"group": [50, 50, 50]} if name == "XGBRanker" else {}
    if not name.startswith("XGBRF"):
        model.set_params(early_stopping_rounds=2)
        evaluated = {"eval_group": [[50, 50, 50]]} if more else {}
        more |= {"eval_set": [(features, target)], "verbose": False, **evaluated}
    model.fit(features, target, **more)
    saver.dump(model, tmp_path / "model.saver")
    found = saver.load(tmp_path / "model.saver")
    assert vars(found).keys() == vars(model).keys()
    assert str(found.get_params()) == str(model.get_params())
    assert found.predict(features).tobytes() == model.predict(features).tobytes()
    assert same(found.get_booster(), model.get_booster())


@pytest.mark.shows("XGBoost", "restore")
def test_a_booster_is_restored_in_place(tmp_path: Path) -> None:
    made, matrix = trained("binary:logistic")
    store = saver.Saver(tmp_path)
    store.save("model", {"booster": made})
    other, _ = trained("reg:squarederror")
    store.restore("model", {"booster": other})
    assert same(made, other)
    assert made.predict(matrix).tobytes() == other.predict(matrix).tobytes()


def test_an_estimator_keeps_only_a_booster_as_its_booster(tmp_path: Path) -> None:
    model = xgboost.XGBRegressor()
    model._Booster = {"not": "a booster"}
    with pytest.raises(CannotSaveError, match="not a Booster"):
        saver.dump(model, tmp_path / "model.saver")


def test_a_booster_without_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotSaveError, match="train it first"):
        saver.dump(xgboost.Booster(), tmp_path / "booster.saver")


def test_data_is_refused_and_the_message_says_what_to_save(tmp_path: Path) -> None:
    with pytest.raises(CannotSaveError, match="it is data, not a model"):
        saver.dump(xgboost.DMatrix(np.ones((3, 2))), tmp_path / "data.saver")


def test_attributes_that_would_be_lost_are_refused(tmp_path: Path) -> None:
    made, _ = trained("reg:squarederror")
    made.author = "me"
    with pytest.raises(CannotSaveError, match="author"):
        saver.dump(made, tmp_path / "booster.saver")


class Own(xgboost.XGBRegressor):  # type: ignore[misc]
    pass


def test_a_class_of_the_users_own_needs_trust(tmp_path: Path) -> None:
    model = Own(n_estimators=2, n_jobs=1).fit(*load_iris(return_X_y=True))
    saver.dump(model, tmp_path / "model.saver")
    with pytest.raises(UntrustedError, match="Own"):
        saver.load(tmp_path / "model.saver")
    found = saver.load(tmp_path / "model.saver", trust=[f"{__name__}.*"])
    assert same(found.get_booster(), model.get_booster())


def test_numbers_that_json_does_not_have_come_back(tmp_path: Path) -> None:
    made, _ = trained("reg:squarederror")
    raw = made.save_raw("json")
    first = raw.index(b'"loss_changes":[') + len(b'"loss_changes":[')
    end = raw.index(b",", first)
    made.load_model(raw[:first] + b"NaN" + raw[end:])
    assert b"NaN" in made.save_raw("json")
    saver.dump(made, tmp_path / "booster.saver")
    assert same(made, saver.load(tmp_path / "booster.saver"))


def in_json(booster: Any) -> dict[str, Any]:
    """The trees of a booster as its JSON has them, which is read by other code, one tree at a time."""
    found = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    older._tabled(found)
    model = older._inner(found)["model"]
    return trees.read(model["trees"], model["tree_info"])


@pytest.mark.parametrize("count", [5, 127, 128, 300])
def test_trees_of_many_sizes_are_read_at_once_as_one_by_one(count: int) -> None:
    """The numbers of trees have as many bytes as they need, and their arrays other lengths."""
    rows = np.random.default_rng(0).normal(size=(200, 5))
    data = xgboost.DMatrix(rows, rows[:, 0] * rows[:, 1])
    made = xgboost.train({"max_depth": 5, "gamma": 0.01}, data, count)
    fast, slow = learner.read(made.save_raw("ubj")).arrays, in_json(made)
    assert len(set(slow["trees"][:, 0].tolist())) > 3
    assert all(np.array_equal(fast[name], slow[name]) for name in slow)


@pytest.mark.parametrize("kind", ["pruned", "classes", "dart", "categories", "quantiles"])
def test_trees_of_every_kind_are_read_at_once_as_one_by_one(kind: str) -> None:
    made = samples.booster(kind)
    fast, slow = learner.read(made.save_raw("ubj")).arrays, in_json(made)
    assert slow.keys() == set(trees.FIELDS)
    assert all(np.array_equal(fast[name], slow[name]) for name in slow)


@pytest.mark.parametrize("kind", ["trees", "vectors", "categories"])
def test_bytes_that_were_cut_off_or_changed_are_refused_in_one_way(kind: str) -> None:
    raw = bytes(samples.booster(kind).save_raw("ubj"))
    first = raw.index(b"trees")
    for at in range(first, len(raw), max(1, len(raw) // 150)):
        for spoiled in (raw[:at], raw[:at] + b"\xff" + raw[at + 1 :], raw[:at] + raw[at + 1 :]):
            with suppress(*pickles._ERRORS):
                learner.check(learner.read(spoiled))
