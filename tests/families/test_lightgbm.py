"""LightGBM: every kind of booster comes back to the bit, also in another process, and trains on."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from msgspec import structs
from sklearn.datasets import load_diabetes, load_iris

import saver
from saver.errors import CannotSaveError, IncompatibleError, UntrustedError
from saver.testing import CodecTests

lightgbm = pytest.importorskip("lightgbm")

sys.path.append(str(Path(__file__).parents[1] / "attacks"))

import lightgbm_crashes as samples  # noqa: E402

from saver.families.lightgbm import numbers  # noqa: E402
from saver.families.lightgbm.codecs import split  # noqa: E402
from saver.families.lightgbm.estimators import LGBMModelCodec  # noqa: E402
from saver.families.lightgbm.text import check, read  # noqa: E402

pytestmark = pytest.mark.xdist_group("lightgbm")

OBJECTIVES: dict[str, dict[str, Any]] = {
    "regression": {"reg_sqrt": True}, "regression_l1": {}, "huber": {"alpha": 0.8}, "fair": {}, "poisson": {},
    "quantile": {"alpha": 0.3}, "mape": {}, "gamma": {}, "tweedie": {"tweedie_variance_power": 1.3},
    "binary": {"sigmoid": 0.7}, "multiclass": {"num_class": 3}, "multiclassova": {"num_class": 3},
    "cross_entropy": {}, "cross_entropy_lambda": {}, "lambdarank": {}, "rank_xendcg": {},
}  # fmt: skip
BOOSTING: dict[str, dict[str, Any]] = {
    "gbdt": {}, "dart": {"drop_rate": 0.4}, "goss": {"learning_rate": 0.5},
    "rf": {"bagging_freq": 1, "bagging_fraction": 0.5},
}  # fmt: skip
SMALL = {"num_leaves": 5, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1, "force_col_wise": True}


def data(objective: str) -> Any:
    """Diabetes, with a target for the objective."""
    features, target = load_diabetes(return_X_y=True)
    features, target, group = features[:100], target[:100], None
    if objective.startswith("multi"):
        target = np.digitize(target, [90, 160])
    elif objective in ("binary", "cross_entropy", "cross_entropy_lambda", "lambdarank", "rank_xendcg"):
        target = (target > 100).astype(float)
        group = [50, 50] if "rank" in objective else None
    return lightgbm.Dataset(features, target, group=group, free_raw_data=False)


def trained(objective: str, boosting: str = "gbdt", rounds: int = 3, **more: Any) -> Any:
    settings = {**SMALL, "objective": objective, "boosting": boosting}
    settings |= OBJECTIVES.get(objective, {}) | BOOSTING[boosting]
    return lightgbm.train(settings, data(objective), rounds, **more)


def text(booster: Any) -> str:
    """All of a booster that LightGBM writes."""
    return str(booster.model_to_string(num_iteration=-1))


def kept(made: Any, folder: Path) -> Any:
    saver.dump(made, folder / "booster.saver")
    return saver.load(folder / "booster.saver")


class TestBoosters(CodecTests):
    family = "lightgbm"
    samples: ClassVar[dict[str, Any]] = {kind: partial(samples.booster, kind) for kind in samples.PARAMETERS}


class TestEstimators(CodecTests):
    family = "lightgbm"
    samples: ClassVar[dict[str, Any]] = {
        "classifier": lambda: lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1).fit(
            *load_iris(return_X_y=True)
        ),
        "not fitted": lambda: lightgbm.LGBMRanker(max_depth=2, min_split_gain=0.5, extra_trees=True),
    }


@pytest.mark.parametrize("boosting", BOOSTING)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_comes_back_and_trains_on_the_same(
    objective: str, boosting: str, tmp_path: Path
) -> None:
    made = trained(objective, boosting)
    found = kept(made, tmp_path)
    assert text(found) == text(made)
    rows = data(objective).data
    assert found.predict(rows).tobytes() == made.predict(rows).tobytes()
    assert (found.params, found.best_score, found.best_iteration) == (
        made.params, made.best_score, made.best_iteration,
    )  # fmt: skip
    on = "gbdt" if boosting == "rf" else boosting  # LightGBM does not continue a random forest
    more = [trained(objective, on, 2, init_model=each) for each in (made, found)]
    assert text(more[0]) == text(more[1])


@pytest.mark.parametrize("kind", samples.PARAMETERS)
def test_the_text_that_lightgbm_parses_is_the_one_that_it_wrote(kind: str, tmp_path: Path) -> None:
    made = samples.booster(kind)
    found = kept(made, tmp_path)
    assert text(found) == text(made)
    rows, _ = samples.frame(kind)
    assert found.predict(rows).tobytes() == made.predict(rows).tobytes()
    assert found.pandas_categorical == made.pandas_categorical


@pytest.mark.parametrize("rounds", [1, 2])
def test_linear_leaves_may_have_no_terms(rounds: int, tmp_path: Path) -> None:
    made = samples.booster("linear", rounds)
    assert "leaf_coeff=  " in text(made)
    assert text(kept(made, tmp_path)) == text(made)


def test_an_objective_of_the_users_own_leaves_a_booster_without_one(tmp_path: Path) -> None:
    def objective(predicted: Any, rows: Any) -> tuple[Any, Any]:
        return predicted - rows.get_label(), np.ones(len(predicted))

    made = lightgbm.train({**SMALL, "objective": objective}, data("regression"), 2)
    assert text(kept(made, tmp_path)) == text(made)


@pytest.mark.shows("LightGBM", "save", "load")
@pytest.mark.slow
def test_a_fresh_process_predicts_the_same_bits(tmp_path: Path) -> None:
    for kind in samples.PARAMETERS:
        made = samples.booster(kind)
        saver.dump(made, tmp_path / f"{kind}.saver")
        np.save(tmp_path / f"{kind}.npy", made.predict(samples.frame(kind)[0]))
    program = (
        "import sys, numpy as np, saver\n"
        f"sys.path.insert(0, {str(Path(samples.__file__).parent)!r})\n"
        f"import lightgbm_crashes as samples\nfolder = {str(tmp_path)!r}\n"
        "for kind in samples.PARAMETERS:\n"
        "    found = saver.load(f'{folder}/{kind}.saver').predict(samples.frame(kind)[0])\n"
        "    assert found.tobytes() == np.load(f'{folder}/{kind}.npy').tobytes(), kind\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.parametrize("name", ["LGBMClassifier", "LGBMRegressor", "LGBMRanker", "LGBMModel"])
def test_every_estimator_comes_back_with_all_its_attributes(name: str, tmp_path: Path) -> None:
    features, target = load_iris(return_X_y=True)
    model = getattr(lightgbm, name)(n_estimators=6, n_jobs=1, random_state=1, max_bin=16, verbose=-1)
    if name == "LGBMModel":
        model.set_params(objective="regression")
    more = {"group": [50, 50, 50], "eval_group": [[40, 35]]} if name == "LGBMRanker" else {}
    stop = lightgbm.early_stopping(2, verbose=False)
    model.fit(features, target, eval_X=(features[::2],), eval_y=(target[::2],), callbacks=[stop], **more)
    found = kept(model, tmp_path)
    assert vars(found).keys() == vars(model).keys()
    assert str(found.get_params()) == str(model.get_params())
    assert found.predict(features).tolist() == model.predict(features).tolist()
    assert found.evals_result_ == model.evals_result_
    assert found.best_iteration_ == model.best_iteration_
    assert text(found.booster_) == text(model.booster_)


def test_classes_and_their_weights_come_back(tmp_path: Path) -> None:
    features, target = load_iris(return_X_y=True)
    labels = np.array(["a", "b", "c"])[target]
    model = lightgbm.LGBMClassifier(
        n_estimators=2, n_jobs=1, verbose=-1, class_weight={"a": 2, "b": 1, "c": 1}
    )
    found = kept(model.fit(pd.DataFrame(features, columns=list("uvwx")), labels), tmp_path)
    assert found.classes_.tolist() == ["a", "b", "c"]
    assert found.feature_names_in_.tolist() == list("uvwx")
    assert found.fit(features, labels).n_classes_ == 3


@pytest.mark.shows("LightGBM", "restore")
def test_a_booster_is_restored_in_place(tmp_path: Path) -> None:
    made, other = trained("binary"), trained("regression")
    store = saver.Saver(tmp_path)
    store.save("model", {"booster": made})
    store.restore("model", {"booster": other})
    assert text(made) == text(other)


def test_a_booster_that_is_being_trained_is_not_restored_but_saved(tmp_path: Path) -> None:
    rows = data("regression")
    training = lightgbm.Booster(SMALL, rows)
    training.update()
    store = saver.Saver(tmp_path)
    store.save("model", {"booster": training})
    assert text(store.load("model")["booster"]) == text(training)
    with pytest.raises(saver.SaverError, match="init_model"):
        store.restore("model", {"booster": training})


def test_data_is_refused_and_the_message_says_what_to_save(tmp_path: Path) -> None:
    with pytest.raises(CannotSaveError, match="it is data, not a model"):
        saver.dump(data("regression"), tmp_path / "data.saver")


def test_attributes_that_would_be_lost_are_refused(tmp_path: Path) -> None:
    made = trained("regression")
    made.author = "me"
    with pytest.raises(CannotSaveError, match="author"):
        saver.dump(made, tmp_path / "booster.saver")


class Own(lightgbm.LGBMRegressor):  # type: ignore[misc]
    pass


def squares(target: Any, predicted: Any) -> tuple[Any, Any]:
    return predicted - target, np.ones(len(target))


def test_a_class_and_an_objective_of_the_users_own_need_trust(tmp_path: Path) -> None:
    model = Own(n_estimators=2, n_jobs=1, verbose=-1, objective=squares).fit(*load_iris(return_X_y=True))
    saver.dump(model, tmp_path / "model.saver")
    with pytest.raises(UntrustedError, match=r"Own.*squares"):
        saver.load(tmp_path / "model.saver")
    found = saver.load(tmp_path / "model.saver", trust=[f"{__name__}.*"])
    assert text(found.booster_) == text(model.booster_)
    assert found.objective is squares


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_no_function_that_saver_reviewed_is_an_objective(library: str, tmp_path: Path) -> None:
    pytest.importorskip(library)
    name = {"lightgbm": "LGBMRegressor", "xgboost": "XGBRegressor"}[library]
    model = getattr(sys.modules[library], name)(objective=np.exp)
    with pytest.raises(CannotSaveError, match="objective"):
        saver.dump(model, tmp_path / "model.saver")


PLACES = ["forcedsplits_filename", "machines", "forcedbins_filename"]


@pytest.mark.parametrize("name", PLACES)
def test_what_names_a_file_or_a_machine_is_left_out_of_a_booster(name: str, tmp_path: Path) -> None:
    made = trained("regression")
    made.params[name] = "/somewhere"
    changed = text(made).replace(f"[{name}: ]", f"[{name}: /somewhere]")
    for each in (made, lightgbm.Booster(model_str=changed)):
        found = kept(each, tmp_path)
        assert name not in found.params
        assert f"[{name}: ]" in text(found)


@pytest.mark.parametrize("name", PLACES)
def test_what_names_a_file_or_a_machine_is_refused_in_an_estimator(name: str, tmp_path: Path) -> None:
    model = lightgbm.LGBMRegressor(**{name: "/somewhere"})
    with pytest.raises(CannotSaveError, match=f"{name} names a file or a machine"):
        saver.dump(model, tmp_path / "model.saver")


@pytest.mark.parametrize("name", PLACES)
def test_a_file_cannot_bring_the_name_of_a_file_or_a_machine(name: str) -> None:
    model = split(trained("regression"))
    assert model.parameters[name] == ""
    forged = structs.replace(model, parameters={**model.parameters, name: "/somewhere"})
    with pytest.raises(ValueError, match=f"{name} names a file or a machine"):
        check(forged)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("leaf_count=", "leaf_count=99999999999 "),
        ("decision_type=", "decision_type=300 "),
        ("left_child=", "left_child=-99999999999 "),
        ("num_cat=0", "num_cat=1"),
        ("Tree=1", "Tree=2"),
        ("split_gain=", "split_gains="),
        ("\nleaf_value=", "\nleaf_value=\nleaf_value="),
    ],
)
def test_text_that_lightgbm_never_writes_is_not_read(line: str, changed: str) -> None:
    """Numbers that do not fit into those of LightGBM would become others."""
    whole = text(trained("regression"))
    assert line in whole
    whole = whole.replace(line, changed, 1)
    places = [found.start() for found in re.finditer("^Tree=|^end of trees", whole, re.MULTILINE)]
    lengths = " ".join(str(end - start) for start, end in pairwise(places))
    with pytest.raises(ValueError, match="tree"):
        check(read(re.sub("tree_sizes=.*", f"tree_sizes={lengths}", whole).encode()))


NUMBERS = (
    np.array([0, -1, 9, 10, -10, 99, 100, 2**31 - 1, -(2**31)], np.int32),
    np.array([-128, 127, 0, 5], np.int8), np.array([2**32 - 1, 0], np.uint32), np.zeros(3, np.int32),
    np.array([0.0, 3.0, 1e9]), np.array([-0.0, 1.0]), np.array([0.1, 5e-324, 1.7e308]), np.array([1e30, 2.0]),
    np.array([np.nan, np.inf, -np.inf, 1.0]), np.array([1.5, 3e38], np.float32),
)  # fmt: skip


@pytest.mark.parametrize("array", NUMBERS, ids=str)
def test_numbers_are_written_so_that_they_are_read_as_the_same_ones(array: Any) -> None:
    """Tree by tree, of which some have none."""
    bounds = np.array([0, 0, 1, 1, len(array), len(array)])
    written = numbers.write(array, bounds)
    assert [len(line.split()) for line in written] == np.diff(bounds).tolist()
    values = np.array([array.dtype.type(float(each)) for line in written for each in line.split()])
    assert values.tobytes() == array.tobytes()
    dtype = np.float64 if array.dtype.kind == "f" else array.dtype.type
    found = numbers.read([line for line in written if line], dtype)
    assert found.astype(array.dtype).tobytes() == array.tobytes()


def test_trees_of_several_kinds_are_read_in_their_order(tmp_path: Path) -> None:
    """Some have splits by categories, and more lines than others."""
    made = samples.booster("categories", 8)
    kinds = split(made).arrays["trees"][:, 1] > 0
    assert kinds.any()
    assert not kinds.all()
    assert text(kept(made, tmp_path)) == text(made)


@pytest.mark.parametrize("part", ["_Booster", "_class_map", "_le", "_other_params"])
def test_another_object_in_the_place_of_a_part_of_an_estimator_is_refused(part: str) -> None:
    made = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(*load_iris(return_X_y=True))
    assert saver.loads(saver.dumps(made)).get_params() == made.get_params()
    setattr(made, part, pd.Series([1]))
    with pytest.raises(CannotSaveError, match=f"the attribute {part} of an estimator is not"):
        saver.dumps(made)
    with pytest.MonkeyPatch.context() as forging:
        forging.setattr(LGBMModelCodec, "holds", {})
        data = saver.dumps(made)
    with pytest.raises(IncompatibleError, match=f"the attribute {part} of an estimator is not"):
        saver.loads(data)
