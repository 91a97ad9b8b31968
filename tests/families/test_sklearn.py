"""Every scikit-learn estimator, unfitted and fitted, comes back to the bit."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")

import numpy as np
import scipy.sparse
import scipy.stats
from estimators import FrozenEstimator, named_instances
from sklearn import datasets, ensemble, linear_model, model_selection, neighbors, preprocessing, svm
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.metrics import make_scorer, mean_squared_error
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils.estimator_checks import _enforce_estimator_tags_X, _enforce_estimator_tags_y

import saver
from equality import assert_same

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning",
    "ignore::FutureWarning",
    "ignore::RuntimeWarning",
    "ignore::scipy.sparse.SparseEfficiencyWarning",
)

X, Y = datasets.make_blobs(60, n_features=6, centers=3, random_state=0)
X.flags.writeable = Y.flags.writeable = False  # every test gets the same data
METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples",
    "staged_predict", "apply", "decision_path", "kneighbors", "get_feature_names_out",
)  # fmt: skip
TEXTS = ["the cat sat", "on the mat", "a dog and a cat", "mats for dogs"]


with warnings.catch_warnings():  # estimators that scikit-learn is about to drop are saved all the same
    warnings.simplefilter("ignore", FutureWarning)
    INSTANCES = [
        pytest.param(estimator, id=name)
        for name, estimator in named_instances(linear_model.LogisticRegression().fit(X, Y))
    ]


def fitting_data(estimator: Any) -> tuple[Any, Any]:
    name = type(estimator).__name__
    if name in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"):
        return TEXTS, None
    if name == "DictVectorizer":
        return [{"a": 1.5, "b": "x"}, {"a": 2.0, "c": "y"}], None
    if name == "FeatureHasher":
        return [{"a": 1, "b": 2}, {"c": 3}], None
    if name in ("LabelBinarizer", "LabelEncoder"):
        return Y, None
    if name == "MultiLabelBinarizer":
        return [(1, 2), (3,)], None
    if name == "SparseCoder":
        return X[:, : estimator.dictionary.shape[1]], None
    if name in ("GraphicalLasso", "GraphicalLassoCV"):
        return np.random.default_rng(0).normal(size=(200, 4)), None
    return _enforce_estimator_tags_X(estimator, X.copy()), _enforce_estimator_tags_y(estimator, Y.copy())


def fitted(estimator: Any) -> tuple[Any, Any]:
    features, target = fitting_data(estimator)
    model = estimator if type(estimator) is FrozenEstimator else clone(estimator)
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    model.fit(features) if target is None else model.fit(features, target)
    return model, features


def outcomes(model: Any, features: Any) -> dict[str, Any]:
    """What every method of a fitted model answers; an error is an answer too."""
    found: dict[str, Any] = {}
    for method in METHODS:
        if hasattr(model, method):
            try:
                answer = (
                    getattr(model, method)()
                    if method.startswith("get_")
                    else getattr(model, method)(features)
                )
                found[method] = list(answer) if method.startswith("staged") else answer
            except Exception as error:
                found[method] = str(error)
    return found


@pytest.mark.parametrize("estimator", INSTANCES)
def test_an_unfitted_estimator_comes_back(estimator: Any, roundtrip: Callable[..., Any]) -> None:
    loaded = roundtrip(estimator)
    assert type(loaded) is type(estimator)
    assert_same(vars(estimator), vars(loaded))
    assert str(loaded.get_params()) == str(estimator.get_params())


@pytest.mark.shows("scikit-learn", "save", "load")
@pytest.mark.parametrize("estimator", INSTANCES)
def test_a_fitted_estimator_answers_to_the_bit(estimator: Any, tmp_path: Path) -> None:
    model, features = fitted(estimator)
    saver.dump(model, tmp_path / "a.saver")
    loaded = saver.load(tmp_path / "a.saver")
    vars(model).pop("_stop_words_id", None)  # an address, of no use in another process
    assert_same(model, loaded)
    features = copy.deepcopy(features)  # BLAS multiplies an array with itself in another order
    assert_same(outcomes(model, features), outcomes(loaded, features))
    assert str(loaded.get_params()) == str(model.get_params())


@pytest.mark.slow
@pytest.mark.parametrize("estimator", INSTANCES)
def test_the_same_state_has_the_same_hash(estimator: Any, tmp_path: Path) -> None:
    model, _ = fitted(estimator)
    saver.dump(model, tmp_path / "a.saver")
    saver.dump(saver.load(tmp_path / "a.saver"), tmp_path / "b.saver")
    first, second = (saver.describe(tmp_path / name).parts[0].hash for name in ("a.saver", "b.saver"))
    assert first == second


def digits() -> tuple[Any, Any]:
    return datasets.load_digits(return_X_y=True)


def mixed_frame() -> Any:
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "age": random.integers(18, 90, 80),
            "income": random.normal(3000, 900, 80),
            "town": pandas.Categorical(random.choice(["Oslo", "Rome", "Bonn"], 80)),
        }
    )


def test_pipelines_of_columns_come_back(roundtrip: Callable[..., Any]) -> None:
    frame = mixed_frame()
    target = (frame["income"] > 3000).to_numpy()
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(preprocessing.StandardScaler()),
                make_column_selector(dtype_include=np.number),
            ),
            ("words", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["town"]),
        ]
    )
    model = make_pipeline(columns, FeatureUnion([("same", "passthrough")]), svm.SVC(probability=False)).fit(
        frame, target
    )
    loaded = roundtrip(model)
    assert_same(model.decision_function(frame), loaded.decision_function(frame))


def test_the_columns_of_the_remainder_come_back(roundtrip: Callable[..., Any]) -> None:
    """scikit-learn 1.5 and 1.6 keep them in a class of their own."""
    frame = mixed_frame()
    model = ColumnTransformer(
        [("words", preprocessing.OneHotEncoder(), ["town"])], remainder=preprocessing.StandardScaler()
    ).fit(frame)
    loaded = roundtrip(model)
    assert type(loaded.transformers_[-1][2]) is type(model.transformers_[-1][2])
    assert list(loaded.transformers_[-1][2]) == list(model.transformers_[-1][2])
    assert_same(model.transform(frame), loaded.transform(frame))


LOSSES = (
    [(linear_model.SGDClassifier, loss) for loss in
     ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron")]
    + [(kind, loss) for kind in (linear_model.SGDClassifier, linear_model.SGDRegressor) for loss in
       ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive")]
    + [(ensemble.GradientBoostingClassifier, "log_loss")]
    + [(ensemble.GradientBoostingRegressor, loss) for loss in
       ("squared_error", "absolute_error", "huber", "quantile")]
    + [(ensemble.HistGradientBoostingRegressor, loss) for loss in
       ("squared_error", "absolute_error", "gamma", "poisson")]
)  # fmt: skip


@pytest.mark.parametrize(("kind", "loss"), LOSSES)
def test_every_loss_comes_back(kind: Any, loss: str, roundtrip: Callable[..., Any]) -> None:
    """Which before 1.7 are classes of a module that calls itself `_loss`, and have other bases before 1.6."""
    model = (
        kind(loss=loss, random_state=0)
        .set_params(**{"n_estimators": 2} if "n_estimators" in kind().get_params() else {"max_iter": 3})
        .fit(X, Y + 1)
    )
    loaded = roundtrip(model)
    assert type(getattr(loaded, "_loss_function_", None)) is type(getattr(model, "_loss_function_", None))
    assert_same(model.predict(X), loaded.predict(X))


def test_a_module_of_the_users_own_may_have_a_name_that_a_library_misuses(
    monkeypatch: pytest.MonkeyPatch, roundtrip: Callable[..., Any]
) -> None:
    import sys
    from types import ModuleType

    module = ModuleType("_loss")
    exec("from sklearn.base import BaseEstimator\nclass Mine(BaseEstimator):\n    pass", vars(module))
    monkeypatch.setitem(sys.modules, "_loss", module)
    with pytest.raises(saver.UntrustedError, match=r"_loss\.Mine"):
        roundtrip(module.Mine())


def test_a_search_over_distributions_comes_back_with_its_results(
    roundtrip: Callable[..., Any],
) -> None:
    features, target = digits()
    search = model_selection.RandomizedSearchCV(
        make_pipeline(preprocessing.MinMaxScaler(), svm.SVC()),
        {"svc__C": scipy.stats.loguniform(0.1, 10), "svc__gamma": scipy.stats.uniform(0.01, 0.1)},
        n_iter=3, cv=model_selection.StratifiedKFold(3, shuffle=True, random_state=1), random_state=0,
    ).fit(features[:300], target[:300])  # fmt: skip
    loaded = roundtrip(search)
    assert_same(search.predict(features), loaded.predict(features))
    assert_same(search.cv_results_, loaded.cv_results_)
    refitted = clone(loaded).fit(features[:300], target[:300])
    assert refitted.best_params_ == search.best_params_


def test_stacking_and_voting_share_their_estimators_again(roundtrip: Callable[..., Any]) -> None:
    features, target = digits()
    model = ensemble.VotingClassifier(
        [
            (
                "stack",
                ensemble.StackingClassifier(
                    [("tree", ensemble.ExtraTreesClassifier(5, random_state=0))], cv=3
                ),
            ),
            ("near", neighbors.KNeighborsClassifier(algorithm="kd_tree")),
        ],
        voting="soft",
    ).fit(features[:400], target[:400])
    loaded = roundtrip(model)
    assert_same(model.predict_proba(features), loaded.predict_proba(features))
    assert loaded.named_estimators_["near"] is loaded.estimators_[1]


@pytest.mark.shows("scikit-learn", "resume to the bit")
@pytest.mark.slow
def test_training_goes_on_to_the_bit(roundtrip: Callable[..., Any]) -> None:
    features, target = digits()
    for estimator in (
        linear_model.SGDClassifier(random_state=3),
        sklearn_mlp(),
        ensemble.HistGradientBoostingClassifier(max_iter=5, warm_start=True, random_state=0),
    ):
        learn = getattr(estimator, "partial_fit", None)
        if learn:
            learn(features, target, classes=np.unique(target))
        else:
            estimator.fit(features, target)
        loaded = roundtrip(estimator)
        for model in (estimator, loaded):
            if learn:
                model.partial_fit(features, target)
            else:
                model.set_params(max_iter=8).fit(features, target)
        assert_same(estimator.predict_proba(features), loaded.predict_proba(features)) if hasattr(
            estimator, "predict_proba"
        ) else assert_same(estimator.decision_function(features), loaded.decision_function(features))


def sklearn_mlp() -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((16,), random_state=0)


@pytest.mark.slow
def test_birch_goes_on_growing_its_tree(roundtrip: Callable[..., Any]) -> None:
    from sklearn.cluster import Birch

    features, _ = digits()
    model = Birch(threshold=5.0, n_clusters=None, branching_factor=8).partial_fit(features[:900])
    loaded = roundtrip(model)
    for each in (model, loaded):
        each.partial_fit(features[900:])
    assert_same(model.subcluster_centers_, loaded.subcluster_centers_)
    leaf = loaded.dummy_leaf_.next_leaf_
    assert np.shares_memory(leaf.centroids_, leaf.init_centroids_)


NEIGHBOR_TREES = [
    (kind, metric)
    for kind in ("KDTree", "BallTree")
    for metric in ("euclidean", "minkowski", "mahalanobis", "seuclidean", "haversine", "hamming")
    if metric in getattr(neighbors, kind).valid_metrics
]


@pytest.mark.parametrize(("kind", "metric"), NEIGHBOR_TREES)
def test_neighbor_trees_keep_their_distance(kind: str, metric: str, roundtrip: Callable[..., Any]) -> None:
    points = np.random.default_rng(0).normal(size=(90, 2))
    options: dict[str, Any] = {
        "mahalanobis": {"V": np.cov(points.T)}, "seuclidean": {"V": points.var(0)}, "minkowski": {"p": 3},
    }.get(metric, {})  # fmt: skip
    tree = getattr(neighbors, kind)(points, leaf_size=5, metric=metric, **options)
    assert_same(tree.query(points[:9], 4), roundtrip(tree).query(points[:9], 4))


def test_functions_and_metadata_requests_are_kept(roundtrip: Callable[..., Any]) -> None:
    from sklearn import config_context

    model = make_pipeline(
        preprocessing.FunctionTransformer(np.log1p, inverse_func=np.expm1),
        linear_model.Ridge(),
    )
    assert roundtrip(model)[0].func is np.log1p
    scorer = make_scorer(mean_squared_error, greater_is_better=False, squared=None)
    assert roundtrip(scorer)._score_func is mean_squared_error
    with config_context(enable_metadata_routing=True):
        ridge = linear_model.Ridge().set_fit_request(sample_weight=True)
        assert roundtrip(ridge).get_metadata_routing().fit.requests == {"sample_weight": True}


class Mine(BaseEstimator):
    """An estimator of the user's own."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def fit(self, features: Any, target: Any = None) -> Mine:
        self.mean_ = np.mean(features, axis=0) * self.weight
        return self


def test_an_estimator_of_your_own_needs_trust(roundtrip: Callable[..., Any]) -> None:
    model = Mine(2.0).fit(X)
    with pytest.raises(saver.UntrustedError, match="Mine") as caught:
        roundtrip(model)
    assert_same(model.mean_, roundtrip(model, trust=caught.value.names).mean_)


def test_another_version_of_scikit_learn_is_a_warning_with_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.saver"
    from saver import environment

    monkeypatch.setattr(environment, "package_version", lambda name: "1.2.3")
    saver.dump({"scaler": preprocessing.StandardScaler().fit(X), "notes": "hello"}, path)
    monkeypatch.undo()
    with pytest.warns(saver.VersionWarning, match=r"scaler.*1\.2\.3") as caught:
        saver.load(path)
    assert "notes" not in str(caught[0].message)


def test_local_functions_are_refused_by_path(tmp_path: Path) -> None:
    model = make_pipeline(preprocessing.FunctionTransformer(lambda x: x))
    with pytest.raises(saver.CannotSaveError, match=r"steps\[0\]\[1\]\.func: a lambda has no data form"):
        saver.dump(model, tmp_path / "m.saver")
    assert not list(tmp_path.iterdir())


def test_a_forest_is_a_few_tensors(tmp_path: Path) -> None:
    saver.dump(ensemble.RandomForestClassifier(50, random_state=0).fit(X, Y), tmp_path / "f.saver")
    assert len(saver.describe(tmp_path / "f.saver").parts[0].tensors) < 15


def test_a_vectorizer_that_checked_its_stop_words_holds_no_address() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    def hash_of(words: list[str]) -> str:
        fitted = TfidfVectorizer(stop_words=words).fit(["the cat sat", "a dog"])
        data = saver.dumps(fitted)
        assert (
            saver.loads(data).transform(["a cat"]).toarray().tolist()
            == fitted.transform(["a cat"]).toarray().tolist()
        )
        return str(saver.describe(io.BytesIO(data)).parts[0].hash)

    assert hash_of(["a", "the"]) == hash_of([*["a", "the"]])
