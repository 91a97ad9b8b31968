"""Whatever way an estimator was fitted or changed: what is saved predicts the same, to the bit, once it is
loaded; and what could not be loaded is refused when it is saved, with the next step."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

pytest.importorskip("sklearn")

import numpy as np
import scipy.sparse
from estimators import FrozenEstimator
from sklearn import cluster, ensemble, linear_model, neighbors, preprocessing, svm, tree
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import pairwise
from sklearn.pipeline import make_pipeline
from test_sklearn import INSTANCES, fitted, fitting_data, outcomes

import saver
from equality import assert_same

pytestmark = pytest.mark.filterwarnings("ignore")

DRAW = np.random.default_rng(0)
X = DRAW.random((60, 4))
Y = np.arange(60) % 3
NEW = DRAW.random((40, 4))
SPARSE = scipy.sparse.csr_matrix(X)
WORDS = ["abc", "abd", "xyz", "xyw", "abx", "yyz"] * 10


def shared_letters(some: list[str], others: list[str]) -> Any:
    """A kernel of texts."""
    return np.array([[len(set(one) & set(other)) for other in others] for one in some], float)


def product(some: Any, others: Any) -> Any:
    return np.asarray(some) @ np.asarray(others).T


def back(model: Any) -> Any:
    return saver.loads(saver.dumps(model), trust=[f"{__name__}.*"])


# --- what users met -----------------------------------------------------------------------------------------


def merged(kind: Any) -> Any:
    one, other = kind(3, random_state=0).fit(X, Y), kind(4, random_state=1).fit(X, Y)
    one.estimators_ += other.estimators_
    return one.set_params(n_estimators=7)


def merged_outliers() -> Any:
    one, other = (ensemble.IsolationForest(n_estimators=4, random_state=seed).fit(X) for seed in (0, 1))
    one.estimators_ += other.estimators_
    one.estimators_features_ += other.estimators_features_
    one._decision_path_lengths += other._decision_path_lengths
    one._average_path_length_per_tree += other._average_path_length_per_tree
    return one


def merged_boosting() -> Any:
    one, other = (ensemble.GradientBoostingClassifier(n_estimators=3).fit(X, Y) for _ in range(2))
    one.estimators_ = np.concatenate([one.estimators_, other.estimators_])
    return one


def held_otherwise(hold: Callable[[Any], Any]) -> Any:
    model = ensemble.RandomForestClassifier(3, random_state=0).fit(X, Y)
    model.estimators_ = hold(model.estimators_)
    return model


def pruned() -> Any:
    model = tree.DecisionTreeClassifier(random_state=0).fit(X, Y)
    node = int(model.tree_.children_left[0])
    model.tree_.children_left[node] = model.tree_.children_right[node] = -1
    return model


def with_centers(number: int) -> Any:
    model = cluster.KMeans(3, n_init=1, random_state=0).fit(X)
    model.cluster_centers_ = NEW[:number].copy()
    return model


def of_another(kind: str) -> Any:
    inner = neighbors.NearestNeighbors(algorithm=kind).fit(X)
    return neighbors.NearestNeighbors(algorithm=kind).fit(inner)


def guessed_by(init: Any, classes: int) -> Any:
    return ensemble.GradientBoostingClassifier(n_estimators=3, init=init, random_state=0).fit(X, Y % classes)


def of_kernel(kind: Any, kernel: Any, data: Any) -> Any:
    return kind(kernel=kernel).fit(data, Y)


def of_words(kind: Any) -> Any:
    return kind(kernel=shared_letters).fit(WORDS, Y)


LEGAL: dict[str, Callable[[], Any]] = {
    **{
        f"{kind.__name__}, {name}": partial(of_kernel, *case)
        for kind in (svm.SVC, svm.SVR, svm.NuSVC, svm.NuSVR, svm.OneClassSVM)
        for name, case in {
            "a kernel of one's own": (kind, product, X),
            "a kernel of scikit-learn": (kind, pairwise.rbf_kernel, X),
            "a kernel with options": (kind, partial(pairwise.rbf_kernel, gamma=0.5), X),
            "a kernel of lists": (kind, product, X.tolist()),
        }.items()
        if kind is not svm.NuSVC or "own" not in name
    },
    **{
        f"{kind.__name__}, sparsified, {classes} classes": partial(
            lambda kind, data, classes: kind().fit(data, Y % classes).sparsify(), kind, data, classes
        )
        for kind in (
            linear_model.SGDClassifier, linear_model.SGDRegressor, linear_model.Perceptron,
            linear_model.LogisticRegression, svm.LinearSVC,
        )
        for classes in (2, 3)
        for data in (X,)
    },
    "SGDRegressor, sparse and sparsified": lambda: linear_model.SGDRegressor().fit(SPARSE, Y).sparsify(),
    **{
        f"gradient boosting, {classes} classes, from {name}": partial(guessed_by, init, classes)
        for classes in (2, 3)
        for name, init in {
            "a pipeline": make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
            "a pipeline of one": make_pipeline(ensemble.RandomForestClassifier(3, random_state=0)),
            "neighbours": neighbors.KNeighborsClassifier(),
        }.items()
    },
    "bisecting k-means of a sparse matrix": lambda: cluster.BisectingKMeans(3, random_state=0).fit(SPARSE),
    "neighbours of neighbours, kd_tree": lambda: of_another("kd_tree"),
    "neighbours of neighbours, ball_tree": lambda: of_another("ball_tree"),
    "a merged forest": lambda: merged(ensemble.RandomForestClassifier),
    "merged trees": lambda: merged(ensemble.ExtraTreesRegressor),
    "merged outlier trees": merged_outliers,
    "merged boosting": merged_boosting,
    "a forest with a tuple of trees": lambda: held_otherwise(tuple),
    "a forest with an array of trees": lambda: held_otherwise(lambda trees: np.array(trees, object)),
    "a tree pruned by hand": pruned,
    "other centers": lambda: with_centers(3),
    "more centers": lambda: with_centers(7),
}  # fmt: skip


@pytest.mark.parametrize("case", LEGAL)
def test_what_predicts_before_it_is_saved_predicts_the_same_when_it_is_loaded(case: str) -> None:
    model = LEGAL[case]()
    found = back(model)
    for method in ("predict", "decision_function", "predict_proba", "apply"):
        if hasattr(model, method):
            assert_same(getattr(model, method)(NEW), getattr(found, method)(NEW))
    if isinstance(model, neighbors.NearestNeighbors):
        assert_same(model.kneighbors(NEW), found.kneighbors(NEW))


@pytest.mark.parametrize("kind", [svm.SVC, svm.SVR, svm.NuSVC, svm.OneClassSVM])
def test_a_kernel_of_texts_comes_back(kind: Any) -> None:
    model = of_words(kind)
    assert_same(model.predict(WORDS[:9]), back(model).predict(WORDS[:9]))


def test_a_kernel_of_frames_comes_back() -> None:
    pandas = pytest.importorskip("pandas")
    model = svm.SVC(kernel=pairwise.rbf_kernel).fit(pandas.DataFrame(X), Y)
    assert_same(model.predict(pandas.DataFrame(NEW)), back(model).predict(pandas.DataFrame(NEW)))


def test_models_of_different_widths_lie_in_one_part() -> None:
    wide = np.c_[X, X]
    models = [
        cluster.Birch(threshold=0.1).fit(X), cluster.Birch(threshold=0.2).fit(wide),
        cluster.Birch(threshold=0.1).fit(X.astype(np.float32)), cluster.Birch(threshold=0.3).fit(X),
    ]  # fmt: skip
    found = back(models)
    for one, other, data in zip(models, found, (X, wide, X.astype(np.float32), X), strict=True):
        assert_same(one.predict(data), other.predict(data))
        assert_same(one.partial_fit(data[:9]).root_.threshold, other.partial_fit(data[:9]).root_.threshold)
        assert_same(one.predict(data), other.predict(data))


class Mapped(BaseEstimator, dict):  # type: ignore[misc]
    def fit(self, X: Any, y: Any = None) -> Any:
        self["mean"] = X.mean(0)
        return self


class Listed(list, BaseEstimator):  # type: ignore[type-arg]
    pass


def counted() -> Any:
    model = cluster.MiniBatchKMeans(3, n_init=1, random_state=0).fit(X)
    model.cluster_centers_ = NEW[:5].copy()
    return model


def unfitted_centers() -> Any:
    model = cluster.KMeans(3)
    model.cluster_centers_, model._n_threads = NEW[:3].copy(), 1
    return model


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "an estimator that is a dict": (
        lambda: Mapped().fit(X),
        "derives from builtins.dict, too.*hold a dict in",
    ),
    "an estimator that is a list": (Listed, "derives from builtins.list, too"),
    "centers without their counts": (counted, "not one count for each center.*fit it anew"),
    "centers without a fit": (unfitted_centers, "set n_features_in_"),
    "neighbours of neighbours, brute": (lambda: of_another("brute"), "set n_features_in_"),
    "neighbours of a tree": (
        lambda: neighbors.NearestNeighbors().fit(neighbors.KDTree(X)),
        r"numpy\.asarray\(tree\.data\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_loaded_is_refused_when_it_is_saved(case: str) -> None:
    make, why = REFUSED[case]
    with pytest.raises(saver.CannotSaveError, match=rf"^\$\.here\[1\].*: .*{why}"):
        saver.dumps({"here": [0, make()]})


def test_the_place_of_a_bad_tree_among_many_is_named() -> None:
    forest = ensemble.RandomForestClassifier(9, random_state=0).fit(X, Y)
    forest.estimators_[7].tree_.children_left[0] = 10**6
    with pytest.raises(saver.CannotSaveError, match=r"^\$\.model\.estimators_\[7\]\.tree_: .*outside of its"):
        saver.dumps(forest)


# --- every estimator, in every way --------------------------------------------------------------------------

Data = tuple[Any, Any]


def sparse(data: Any) -> Any:
    return scipy.sparse.csr_matrix(data) if isinstance(data, np.ndarray) and data.ndim == 2 else None


def framed(data: Any) -> Any:
    pandas = pytest.importorskip("pandas")
    plain = isinstance(data, np.ndarray) and data.ndim == 2
    return pandas.DataFrame(data, columns=[f"c{n}" for n in range(data.shape[1])]) if plain else None


def weighted(model: Any, features: Any, target: Any) -> None:
    model.fit(features, target, sample_weight=np.linspace(0.5, 1.5, len(features)))


def twice(model: Any, features: Any, target: Any) -> None:
    model.set_params(warm_start=True)
    model.fit(features, target)
    if isinstance(model.get_params().get("n_estimators"), int):
        model.set_params(n_estimators=model.get_params()["n_estimators"] + 1)
    model.fit(features, target)


def in_parts(model: Any, features: Any, target: Any) -> None:
    known = {"classes": np.unique(target)} if hasattr(model, "predict") and _classifies(model) else {}
    for _ in range(2):
        model.partial_fit(features, target, **known)


def _classifies(model: Any) -> bool:
    from sklearn.base import is_classifier

    return bool(is_classifier(model)) and "classes" in model.partial_fit.__code__.co_varnames


def on(how: Callable[[Any], Any]) -> Callable[[Any, Any, Any], None]:
    """Fit, and then do something to the estimator."""

    def fit(model: Any, features: Any, target: Any) -> None:
        model.fit(features, target)
        how(model)

    return fit


def several(target: Any) -> Any:
    return np.c_[target, np.roll(target, 1)]


def with_gaps(data: Any) -> Any:
    """Every seventh element is missing, where elements are floats."""
    data = copy.deepcopy(data)
    if isinstance(data, np.ndarray) and data.dtype.kind == "f":
        data.flat[::7] = np.nan
    return data


WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sparse": lambda m, x, y: m.fit(sparse(x), y),
    "columns of a sparse matrix": lambda m, x, y: m.fit(scipy.sparse.csc_matrix(x), y),
    "a frame": lambda m, x, y: m.fit(framed(x), y),
    "single": lambda m, x, y: m.fit(x.astype(np.float32), y),
    "in Fortran's order": lambda m, x, y: m.fit(np.asfortranarray(x), y),
    "one class": lambda m, x, y: m.fit(x, np.zeros_like(y)),
    "two classes": lambda m, x, y: m.fit(x, (y > np.median(y)).astype(int)),
    "classes that are texts": lambda m, x, y: m.fit(x, np.array(["low", "high"])[(y > 0).astype(int)]),
    "classes that are objects": lambda m, x, y: m.fit(x, np.array(["a", "b"], object)[(y > 0).astype(int)]),
    "several targets": lambda m, x, y: m.fit(x, several(y)),
    "no target": lambda m, x, y: m.fit(x),
    "weights": weighted,
    "twice": twice,
    "in parts": in_parts,
    "sparsified": on(lambda m: m.sparsify()),
    "one feature": lambda m, x, y: m.fit(x[:, :1], y),
    "few samples": lambda m, x, y: m.fit(x[:7], y[:7]),
    "lists": lambda m, x, y: m.fit(x.tolist(), list(y)),
    "missing values": lambda m, x, y: m.fit(with_gaps(x), y),
}


def data_for(way: str, features: Any) -> Any:
    if way == "one feature":
        return features[:, :1].copy()
    made = {"sparse": sparse, "a frame": framed, "missing values": with_gaps}.get(way, copy.copy)
    return made(copy.deepcopy(features))  # NumPy multiplies an array otherwise by itself than by an equal one


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_estimator_fitted_in_a_way_comes_back_or_is_refused(way: str) -> None:
    fitted_so, refused = 0, {}
    for name, model, features, target in fresh():
        try:
            WAYS[way](model, features, target)
        except Exception:
            continue
        fitted_so += 1
        try:
            data = saver.dumps(model)
        except saver.CannotSaveError as error:
            refused[name] = str(error)
            continue
        answers_alike(model, saver.loads(data), data_for(way, features))
    assert fitted_so, "nothing can be fitted so"
    assert refused == {}


def answers_alike(model: Any, loaded: Any, asked: Any) -> None:
    """Fail unless both answer with the same bits. What BLAS is given through a view with gaps, or backwards,
    it may round otherwise than the dense array that comes back, in which the axes have the same order: then,
    and only then, what pickle gives back may answer, too."""
    answers = outcomes(loaded, asked)
    try:
        assert_same(outcomes(model, asked), answers)
    except AssertionError:
        if not any(map(has_gaps, arrays_in(model))):
            raise
        assert_same(outcomes(pickle.loads(pickle.dumps(model)), asked), answers)


def has_gaps(array: Any) -> bool:
    return array.size > 0 and array.strides != np.copy(array, order="K").strides


def arrays_in(thing: Any, met: set[int] | None = None) -> Iterator[Any]:
    met = set() if met is None else met
    if id(thing) in met:
        return
    met.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield thing
    held: Any = thing if isinstance(thing, (list, tuple)) else getattr(thing, "__dict__", {}).values()
    for item in thing.values() if isinstance(thing, dict) else held:
        yield from arrays_in(item, met)


def fresh() -> Iterator[tuple[str, Any, Any, Any]]:
    """Every estimator, unfitted, with data that suit it."""
    for case in INSTANCES:
        (estimator,) = case.values
        if type(estimator) is FrozenEstimator:
            continue
        features, target = fitting_data(estimator)
        model = clone(estimator)
        if "random_state" in model.get_params():
            model.set_params(random_state=0)
        yield str(case.id), model, copy.deepcopy(features), copy.deepcopy(target)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", INSTANCES)
def test_what_was_pickled_or_copied_or_loaded_before_is_saved_alike(estimator: Any) -> None:
    model, features = fitted(estimator)
    try:
        again = pickle.loads(pickle.dumps(model))
    except (pickle.PicklingError, TypeError, AttributeError):
        again = copy.deepcopy(model)
    for other in (again, copy.deepcopy(again), back(again)):
        answers_alike(other, back(other), copy.deepcopy(features))


def own_metric(one: Any, other: Any) -> float:
    return float(np.abs(one - other).sum())


CALLABLES: dict[str, Callable[[], Any]] = {
    "a metric": lambda: neighbors.KNeighborsClassifier(metric=own_metric).fit(X, Y),
    "a metric in a tree": lambda: neighbors.KNeighborsClassifier(
        algorithm="ball_tree", metric=own_metric
    ).fit(X, Y),
    "weights": lambda: neighbors.KNeighborsRegressor(weights=np.exp).fit(X, Y),
    "a transformation": lambda: make_pipeline(preprocessing.FunctionTransformer(np.log1p), svm.SVC()).fit(
        X, Y
    ),
    "a pooling": lambda: cluster.FeatureAgglomeration(2, pooling_func=np.max).fit(X),
}


@pytest.mark.parametrize("case", CALLABLES)
def test_parameters_that_are_functions_come_back(case: str) -> None:
    model = CALLABLES[case]()
    assert_same(outcomes(model, NEW), outcomes(back(model), NEW))
