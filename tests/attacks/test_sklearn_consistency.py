"""What an estimator holds fits together, or is refused; what honest programs hold is never refused.

Each case of `REFUSED` ended a process (a signal, an exit) when it was used, or writes where it must not: most
were found by `sklearn_crashes.py`, which tries many more.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("sklearn")

import numpy as np
import scipy.sparse
from sklearn import cluster, compose, dummy, ensemble, feature_extraction, feature_selection, linear_model
from sklearn import neighbors, pipeline, preprocessing, svm, tree
from sklearn._loss import loss

import forge
import saver
import sklearn_models as models
from saver.families.sklearn.checks import check
from sklearn_crashes import check_all

pytestmark = pytest.mark.filterwarnings("ignore")

INSTANCES = dict(models.instances())


# --- what is honest is accepted -----------------------------------------------------------------------------


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
        options = {"classes": [0, 1, 2]} if hasattr(model, "predict") and "Classifier" in str(type(model).__mro__) else {}
        for _ in range(2):
            model.partial_fit(models.X, models.Y, **options)
            check_all(model, set())
    forest = ensemble.RandomForestRegressor(2, warm_start=True).fit(models.X, models.NUMBERS)
    check_all(forest.set_params(n_estimators=4), set())
    check_all(forest.fit(models.X, models.NUMBERS, sample_weight=np.ones(60)), set())


def test_frames_are_accepted() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(models.X, columns=list("abcdef")).assign(town=pandas.Categorical(["x", "y"] * 30))
    check_all(ensemble.HistGradientBoostingClassifier(max_iter=2).fit(frame, models.Y), set())
    columns = [("a", preprocessing.OneHotEncoder(), ["town"]), ("b", "passthrough", list("abcdef"))]
    model = pipeline.make_pipeline(compose.ColumnTransformer(columns), svm.SVC()).fit(frame, models.Y)
    check_all(model.set_output(transform="pandas"), set())


# --- what crashes is refused --------------------------------------------------------------------------------

Alter = Callable[[Any], None]


def put(path: str, value: Any) -> Alter:
    """Set what stands at a dotted path: `_loss.link`."""
    *before, last = path.split(".")

    def alter(model: Any) -> None:
        for name in before:
            model = model[int(name)] if name.isdigit() else vars(model)[name]
        vars(model)[last] = value

    return alter


def change(path: str, how: Callable[[Any], Any]) -> Alter:
    def alter(model: Any) -> None:
        vars(model)[path] = how(vars(model)[path])

    return alter


def swap_tree(model: Any) -> None:
    wide = np.c_[models.X, models.X]
    model.estimators_[-1, 0].tree_ = tree.DecisionTreeRegressor().fit(wide, models.NUMBERS).tree_


def without_coefficients(matrix: Any) -> Any:
    return scipy.sparse.csr_matrix(matrix.shape)


def outputs(number: int) -> Any:
    return dummy.DummyRegressor().fit(models.X, np.zeros((60, number)))


class Pretender:
    """Says of itself whatever is asked."""

    ndim, shape, dtype, size = 2, (60, 6), np.dtype(float), 360

    def __len__(self) -> int:
        raise AssertionError("asked for its length")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("made an array")


REFUSED: dict[str, tuple[str, Alter, str]] = {
    # OpenMP and joblib
    "200,000 threads": ("kmeans small", put("_n_threads", 200_000), "threads"),
    "no thread": ("kmeans small", put("_n_threads", -1), "threads"),
    "jobs without end": ("knn kd", put("n_jobs", 10**6), "threads"),
    # gradient boosting
    "a tree of other data": ("gb three", swap_tree, "other features"),
    "a tree that is none": ("gb", change("estimators_", lambda a: np.full_like(a, None)), "tree is missing"),
    "what only holds a tree": (
        "gb", change("estimators_", lambda a: np.full_like(a, SimpleNamespace(tree_=a[0, 0].tree_))), "tree is missing",
    ),
    "more trees in a round": ("gb zero", change("estimators_", lambda a: np.hstack([a, a])), "predictions in each round"),
    "a first guess of two outputs": ("gb", put("init_", outputs(2)), "another shape"),
    "a first guess of classes": ("gb", put("init_", dummy.DummyClassifier().fit(models.X, models.Y)), "another kind"),
    "a first guess without a column": ("gb linear", put("init_.coef_", np.zeros((0, 6))), "another shape"),
    "an offset without a column": ("gb linear", put("init_.intercept_", np.zeros(0)), "another shape"),
    "a prior that is a number": ("gb three", put("init_.class_prior_", 3), "another shape"),
    "a prior of fewer classes": ("gb three", put("init_.class_prior_", np.ones(1)), "another shape"),
    "a first guess of who knows what": ("gb", put("init_", cluster.KMeans(2).fit(models.X)), "nothing shows"),
    "a first guess by a function": (
        "gb pipeline",
        lambda m: m.init_.steps.insert(0, ("f", preprocessing.FunctionTransformer(np.sum))),
        "drop samples",
    ),
    "the loss of a regression": ("gb three", put("_loss", loss.HalfSquaredError()), "another kind"),
    "a loss of more classes": ("gb three", put("_loss", loss.HalfMultinomialLoss(n_classes=5)), "other classes"),
    "a loss with another link": ("gb", put("_loss.link", SimpleNamespace(link=np.sum)), "link of another"),
    "a loss that says otherwise": ("gb three", put("_loss.is_multiclass", False), "how many classes"),
    "a classifier that says it is none": ("gb three", put("_estimator_type", "regressor"), "another type"),
    # histogram gradient boosting
    "fewer categories": ("hb categories", put("_bin_mapper.is_categorical_", np.zeros(3, bool)), "bins for each feature"),
    "a preprocessor of other data": (
        "hb categories", put("_preprocessor.n_features_in_", 3), "other features",
    ),
    "a preprocessor that drops": (
        "hb categories", lambda m: m._preprocessor.transformers_.pop(0), "every feature once",
    ),
    "in the middle of a fit": ("hb", put("_in_fit", True), "middle of its fit"),
    "trees that are none": ("hb", change("_predictors", lambda r: [[SimpleNamespace(nodes=0)] for _ in r]), "tree is missing"),
    # support vectors
    "coefficients that are not stored": ("svc sparse two", change("_dual_coef_", without_coefficients), "coefficients"),
    "another machine": ("svc ovo", put("_impl", "one_class"), "another kind"),
    "no counts": ("svc ovo", put("_n_support", None), "not an array"),
    "no intercepts": ("svc ovo", put("_intercept_", np.zeros(0)), "intercept"),
    "half of the probabilities": ("svc sparse probability", put("_probB", np.zeros(0)), "probability"),
    "probabilities without parameters": ("svr sparse", lambda m: vars(m).update(_effective_probability=True, probability=True), "probability"),
    "an index beyond the kernel": ("svc precomputed", change("support_", lambda a: a + 10**6), "beyond the training"),
    "fewer samples than the kernel": ("svc callable", change("_BaseLibSVM__Xfit", lambda a: a[:3]), "training samples"),
    "another kernel": ("svr precomputed", put("kernel", "linear"), "support vectors"),
    "classes that are not there": ("svc ovo", lambda m: vars(m).pop("classes_"), "classes_"),
    # forests
    "a choice of other features": (
        "isolation", lambda m: m.estimators_features_.__setitem__(0, np.array([0, 1, 99])), "no such feature",
    ),
    "a forest of something else": ("forest", lambda m: m.estimators_.__setitem__(0, Pretender()), "tree is missing"),
    # neighbours
    "fewer samples than kept": ("knn brute", put("n_samples_fit_", 7), "number of samples"),
    "no samples": ("knn brute", change("_fit_X", lambda a: a[:0]), "no samples"),
    "samples of fewer features": ("knn multi", change("_fit_X", lambda a: a[:, :1]), "other features"),
    "a label of no class": ("knn brute distance", change("_y", lambda a: a + 10**6), "no class"),
    "fewer labels": ("radius brute", change("_y", lambda a: a[:3]), "one label for each"),
    "a matrix of another metric": (
        "knn mahalanobis", put("effective_metric_params_", {"VI": np.eye(2)}), "does not fit the features",
    ),
    "norms of other samples": (
        "knn brute", put("effective_metric_params_", {"Y_norm_squared": np.ones(1)}), "norms",
    ),
    "more neighbours than samples": (
        "knn brute distance", lambda m: vars(m).update(weights="uniform", n_neighbors=10**6), "neighbours of",
    ),
    "a tree of other samples": ("knn kd", put("_tree", neighbors.KDTree(models.X[:9])), "other samples"),
    "a tree of other features": ("kde", put("tree_", neighbors.KDTree(models.X[:, :2])), "other features"),
    "samples that pretend": ("knn brute", put("_fit_X", Pretender()), "no matrix"),
    # clusters
    "fewer counts than centers": ("minibatch part", put("_counts", np.zeros(1)), "count for each"),
    "fewer norms than centers": ("birch part", put("_subcluster_norms", np.zeros(1)), "one norm"),
    "a linkage from nowhere": (
        "hdbscan", lambda m: m._single_linkage_tree_["left_node"].__setitem__(0, 10**6), "not there",
    ),
    "a bisection in a circle": (
        "bisecting", lambda m: vars(m._bisecting_tree).update(left=m._bisecting_tree), "two parents",
    ),
    # learning that goes on
    "a shorter average": ("sgd average", put("_average_coef", np.zeros((3, 2))), "other features"),
    "a shorter start": ("lasso", put("coef_", np.zeros(2)), "other features"),
    "a start that pretends": ("lasso", put("coef_", Pretender()), "neither a vector"),
    "a loss of classes for numbers": ("poisson", put("_base_loss", loss.HalfMultinomialLoss()), "another kind"),
    # columns of sparse matrices
    "a word beyond the columns": ("counts", change("vocabulary_", lambda v: {k: n + 99 for k, n in v.items()}), "not there"),
    "fewer columns than categories": ("one hot", put("_n_features_outs", [1, 1]), "number of columns"),
    "categories out of order": (
        "bins", lambda m: m._encoder.categories_.__setitem__(-1, m._encoder.categories_[-1][::-1]), "not in order",
    ),
    "a group that is not there": (
        "one hot rare", lambda m: m._default_to_infrequent_mappings.__setitem__(0, np.array([0, 9, 9])), "group",
    ),
    "a label beyond the columns": ("multi label", put("_cached_dict", {1: 0, 2: 99, 3: 1}), "not there"),
    # names
    "a method that learns": ("stack", put("stack_method_", ["fit", "__init__"]), "names no method"),
    "a path out of the estimator": ("from model", put("importance_getter", "__class__.__mro__"), "leaves"),
    "a format that looks inside": ("columns", put("verbose_feature_names_out", "{feature_name.__class__}"), "names"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_ends_a_process_is_refused(case: str) -> None:
    name, alter, why = REFUSED[case]
    model = models.fitted_variant(name, warm=True)
    check_all(model, set())
    alter(model)
    with pytest.raises(ValueError, match=why):
        check_all(model, set())


def test_nothing_is_hashed_into_no_columns() -> None:
    with pytest.raises(ValueError, match="columns to hash"):
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
    "samples": (lambda: neighbors.KNeighborsClassifier(algorithm="brute").fit(models.X, models.Y), "n_samples_fit_", 7),
    "features": (lambda: tree.DecisionTreeClassifier().fit(models.X, models.Y), "n_features_in_", 2),
    "outputs": (
        lambda: ensemble.GradientBoostingRegressor(n_estimators=2).fit(models.X, models.NUMBERS), "n_outputs_", 0,
    ),
    "hashes": (lambda: feature_extraction.FeatureHasher(n_features=8), "n_features", 0),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_file_is_refused_and_ends_no_process(case: str, tmp_path: Path) -> None:
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
