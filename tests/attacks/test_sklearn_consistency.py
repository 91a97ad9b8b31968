"""What an estimator holds fits together, or is refused; what honest programs hold is never refused.

Each case of `sklearn_misfits` ended a process (a signal, an exit) when it was used, or wrote where it must
not: most were found by `sklearn_crashes.py`, which tries many more.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")

import forge
import numpy as np
import sklearn_models as models
from sklearn import (
    cluster,
    compose,
    ensemble,
    feature_extraction,
    feature_selection,
    linear_model,
    neighbors,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn_crashes import check_all
from sklearn_misfits import REFUSED

import saver
from saver.families.sklearn.checks import check

pytestmark = pytest.mark.filterwarnings("ignore")

INSTANCES = dict(models.instances())


# --- what is honest is accepted -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTANCES)
def test_every_estimator_is_accepted_unfitted_and_fitted(name: str) -> None:
    estimator = INSTANCES[name]
    check_all(estimator, set())
    check_all(models.fitted(estimator, *models.fitting_data(estimator)), set())


@pytest.mark.parametrize("name", models.VARIANTS)
def test_every_way_to_fit_is_accepted(name: str) -> None:
    model = models.fitted_variant(name, warm=True)
    check_all(model, set())
    check_all(copy.deepcopy(model), set())


def test_training_in_parts_and_on_is_accepted() -> None:
    for model in (
        linear_model.SGDClassifier(average=True), linear_model.Perceptron(), cluster.MiniBatchKMeans(3),
        linear_model.SGDRegressor(), linear_model.SGDOneClassSVM(), cluster.Birch(),
    ):  # fmt: skip
        options = (
            {"classes": [0, 1, 2]}
            if hasattr(model, "predict") and "Classifier" in str(type(model).__mro__)
            else {}
        )
        for _ in range(2):
            model.partial_fit(models.X, models.Y, **options)
            check_all(model, set())
    forest = ensemble.RandomForestRegressor(2, warm_start=True).fit(models.X, models.NUMBERS)
    check_all(forest.set_params(n_estimators=4), set())
    check_all(forest.fit(models.X, models.NUMBERS, sample_weight=np.ones(60)), set())


def test_frames_are_accepted() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(models.X, columns=list("abcdef")).assign(
        town=pandas.Categorical(["x", "y"] * 30)
    )
    check_all(ensemble.HistGradientBoostingClassifier(max_iter=2).fit(frame, models.Y), set())
    columns = [("a", preprocessing.OneHotEncoder(), ["town"]), ("b", "passthrough", list("abcdef"))]
    model = pipeline.make_pipeline(compose.ColumnTransformer(columns), svm.SVC()).fit(frame, models.Y)
    check_all(model.set_output(transform="pandas"), set())


# --- what crashes is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFUSED)
def test_what_ends_a_process_is_refused(case: str) -> None:
    name, alter, why = REFUSED[case]
    model = models.fitted_variant(name, warm=True)
    check_all(model, set())
    alter(model)
    with pytest.raises(saver.CannotSaveError):
        saver.dumps(model)
    with pytest.raises(ValueError, match=why):
        check_all(model, set())


def test_nothing_is_hashed_into_no_columns() -> None:
    with pytest.raises(ValueError, match="n_features is not a positive"):
        check(feature_extraction.FeatureHasher(n_features=0))


def test_a_dotted_path_of_ones_own_is_fine() -> None:
    check(feature_selection.RFE(linear_model.Ridge(), importance_getter="regressor_.named_steps.ridge.coef_"))


def test_arrays_that_are_trusted_cannot_be_changed_behind_the_check() -> None:
    model = models.fitted_variant("svc ovo")
    counts, support = model._n_support, model.support_
    trees = models.fitted_variant("forest")
    listed = trees.estimators_
    check_all([model, trees], set())
    counts[:], support[:] = 10**6, 10**6
    listed.clear()
    assert model._n_support.max() < 100
    assert model.support_.max() < 100
    assert len(trees.estimators_) == 3


# --- the same, from a file ----------------------------------------------------------------------------------

USE = """
    import sys, numpy, saver
    try:
        model = saver.load(sys.argv[1])
    except saver.SaverError as error:
        print("refused:", error)
    else:
        print("loaded")
        for name in ("predict", "transform", "kneighbors_graph"):
            if hasattr(model, name):
                found = getattr(model, name)(numpy.zeros((300, 6)))
                getattr(found, "toarray", lambda: 0)()
"""
FORGED: dict[str, tuple[Any, str, Any]] = {
    "threads": (lambda: cluster.KMeans(2, n_init=1).fit(models.X), "_n_threads", 200_000),
    "samples": (
        lambda: neighbors.KNeighborsClassifier(algorithm="brute").fit(models.X, models.Y),
        "n_samples_fit_",
        7,
    ),
    "features": (lambda: tree.DecisionTreeClassifier().fit(models.X, models.Y), "n_features_in_", 2),
    "outputs": (
        lambda: ensemble.GradientBoostingRegressor(n_estimators=2).fit(models.X, models.NUMBERS),
        "n_outputs_",
        0,
    ),
    "hashes": (lambda: feature_extraction.FeatureHasher(n_features=8), "n_features", 0),
}


@pytest.mark.shows("scikit-learn", "hostile files tried")
@pytest.mark.slow
@pytest.mark.parametrize("case", FORGED)
def test_a_forged_file_is_refused_and_ends_no_process(
    case: str, tmp_path: Path, record_property: Callable[[str, int], None]
) -> None:
    record_property("hostile files", 1)
    make, key, value = FORGED[case]
    file = forge.forged(tmp_path, make())
    changed = [place for place in forge.places(file.manifest) if place[1] == key]
    assert changed
    for container, name in changed:
        container[name] = value
    path = file.write(tmp_path / "forged.saver")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(USE), str(path)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(saver.__file__).parents[1])])},
    )  # fmt: skip
    assert (done.returncode, done.stdout[:8]) == (0, "refused:"), done.stdout + done.stderr


@pytest.mark.parametrize("kind", [GradientBoostingClassifier, GradientBoostingRegressor])
def test_a_first_guess_that_could_not_be_loaded_is_reported_when_it_is_saved(
    kind: Any, tmp_path: Path
) -> None:
    features, classes = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2
    perceptron = MLPClassifier if kind is GradientBoostingClassifier else MLPRegressor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fine = kind(n_estimators=2, init=perceptron(hidden_layer_sizes=(4, 3), max_iter=5)).fit(
            features, classes
        )
        neighbors = KNeighborsClassifier() if kind is GradientBoostingClassifier else KNeighborsRegressor()
        voting = VotingClassifier if kind is GradientBoostingClassifier else VotingRegressor
        options = {"voting": "soft"} if kind is GradientBoostingClassifier else {}
        odd = kind(n_estimators=2, init=voting([("a", neighbors)], **options)).fit(features, classes)
    saver.dump(fine, tmp_path / "a.saver")
    assert np.array_equal(saver.load(tmp_path / "a.saver").predict(features), fine.predict(features))
    with pytest.raises(saver.CannotSaveError, match=r"init_ is a Voting.* use a Dummy"):
        saver.dump(odd, tmp_path / "b.saver")
    assert not (tmp_path / "b.saver").exists()
