"""Honest models of scikit-learn, in every kind of fit that leaves other attributes behind."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    datasets,
    decomposition,
    dummy,
    ensemble,
    feature_extraction,
    feature_selection,
    impute,
    isotonic,
    kernel_approximation,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances
from sklearn.utils.estimator_checks import _enforce_estimator_tags_X, _enforce_estimator_tags_y

X, Y = datasets.make_blobs(60, n_features=6, centers=3, random_state=0)
SPARSE = scipy.sparse.csr_matrix(np.where(np.abs(X) > 3, X, 0))
TWO, NUMBERS = Y % 2, X[:, 0] * 2 + X[:, 1]
BOTH = np.column_stack([NUMBERS, X[:, 2]])
LABELS = np.column_stack([TWO, Y == 2]).astype(int)
TEXTS = ["the cat sat", "on the mat", "a dog and a cat", "mats for dogs"]
COUNTS = np.abs(X).round()
WORDS = np.array([["a", "x"], ["b", "y"], ["a", "y"], ["c", "x"]] * 15, object)
CODES = np.column_stack([X, np.arange(60) % 5])


@dataclass
class Case:
    """A fitted model, pickled; the data it was fitted to; models to put in the place of others."""

    name: str
    blob: bytes
    features: Any
    target: Any = None
    others: list[Any] = field(default_factory=list)
    sparse: bool = False
    transformed: Any = None


def kernel(left: Any, right: Any) -> Any:
    return left @ right.T


class MyForest(ensemble.RandomForestClassifier):
    """A user's subclass."""


class MyFirstGuess(BaseEstimator):
    """A user's own first guess for gradient boosting, with what it needs and no more."""

    def fit(self, features: Any, target: Any, sample_weight: Any = None) -> MyFirstGuess:
        self.mean_ = float(np.mean(target))
        return self

    def predict(self, features: Any) -> Any:
        return np.full(len(features), self.mean_)


GB, GC = ensemble.GradientBoostingRegressor, ensemble.GradientBoostingClassifier
HB, HC = ensemble.HistGradientBoostingRegressor, ensemble.HistGradientBoostingClassifier
KNC, KNR = neighbors.KNeighborsClassifier, neighbors.KNeighborsRegressor
SINGLE = np.zeros(60, int)
NARROW = X[:, :1]
SMALL = X.astype(np.float32)
OHE = preprocessing.OneHotEncoder

VARIANTS: dict[str, tuple[Callable[[], Any], Any, Any]] = {
    "svc linear sparse": (lambda: svm.SVC(kernel="linear"), SPARSE, Y),
    "svc sparse two": (lambda: svm.SVC(), SPARSE, TWO),
    "svc probability": (lambda: svm.SVC(probability=True, random_state=0), X, Y),
    "svc sparse probability": (lambda: svm.SVC(probability=True, random_state=0), SPARSE, Y),
    "svc precomputed": (lambda: svm.SVC(kernel="precomputed"), X @ X.T, Y),
    "svc callable": (lambda: svm.SVC(kernel=kernel), X, Y),
    "svc two break ties": (lambda: svm.SVC(class_weight="balanced"), SMALL, TWO),
    "svc ovo": (lambda: svm.SVC(decision_function_shape="ovo"), X, Y),
    "svr sparse": (lambda: svm.SVR(), SPARSE, NUMBERS),
    "svr precomputed": (lambda: svm.SVR(kernel="precomputed"), X @ X.T, NUMBERS),
    "one class sparse": (lambda: svm.OneClassSVM(), SPARSE, None),
    "nusvc one feature": (lambda: svm.NuSVC(nu=0.1), NARROW, TWO),
    "nusvr": (lambda: svm.NuSVR(), SMALL, NUMBERS),
    "svr no support": (lambda: svm.SVR(epsilon=1e9), X, NUMBERS),
    "svr no support, sparse": (lambda: svm.SVR(epsilon=1e9), SPARSE, NUMBERS),
    "linear svc": (lambda: svm.LinearSVC(), SPARSE, Y),
    "knn brute": (lambda: KNC(algorithm="brute"), X, Y),
    "knn brute distance": (lambda: KNC(algorithm="brute", weights="distance", metric="manhattan"), X, Y),
    "knn words": (lambda: KNC(), X, np.array(["a", "b", "c"])[Y]),
    "knn kd": (lambda: KNC(algorithm="kd_tree"), X, Y),
    "knn ball": (lambda: KNC(algorithm="ball_tree", metric="chebyshev"), SMALL, Y),
    "knn sparse": (lambda: KNC(), SPARSE, Y),
    "knn multi": (lambda: KNC(algorithm="brute"), X, LABELS),
    "knn precomputed": (lambda: KNC(metric="precomputed"), np.abs(X @ X.T), Y),
    "knn regression multi": (lambda: KNR(), X, BOTH),
    "knn mahalanobis": (
        lambda: neighbors.NearestNeighbors(
            metric="mahalanobis", metric_params={"VI": np.eye(6)}, algorithm="brute"
        ),
        X, None,
    ),
    "knn seuclidean": (
        lambda: neighbors.NearestNeighbors(
            metric="seuclidean", metric_params={"V": np.ones(6)}, algorithm="brute"
        ),
        X, None,
    ),
    "knn minkowski": (
        lambda: neighbors.NearestNeighbors(metric="minkowski", p=3, metric_params={"w": np.ones(6)}), X, None,
    ),
    "knn single": (lambda: KNC(), NARROW, SINGLE),
    "radius brute": (lambda: neighbors.RadiusNeighborsClassifier(radius=1e3, algorithm="brute"), X, Y),
    "radius outlier": (
        lambda: neighbors.RadiusNeighborsClassifier(radius=20.0, outlier_label=7, algorithm="brute"), X, Y,
    ),
    "radius regression": (lambda: neighbors.RadiusNeighborsRegressor(radius=1e3), X, NUMBERS),
    "lof novelty": (lambda: neighbors.LocalOutlierFactor(novelty=True), X, None),
    "lof novelty brute": (lambda: neighbors.LocalOutlierFactor(novelty=True, algorithm="brute"), X, None),
    "kde": (lambda: neighbors.KernelDensity(kernel="tophat"), X, None),
    "gb": (lambda: GB(n_estimators=3, random_state=0), X, NUMBERS),
    "gb three": (lambda: GC(n_estimators=3, random_state=0), X, Y),
    "gb two": (lambda: GC(n_estimators=3, random_state=0, loss="exponential"), X, TWO),
    "gb zero": (lambda: GC(n_estimators=3, init="zero"), X, Y),
    "gb zero regression": (lambda: GB(n_estimators=3, init="zero"), SPARSE, NUMBERS),
    "gb linear": (lambda: GB(n_estimators=3, init=linear_model.LinearRegression()), X, NUMBERS),
    "gb logistic": (lambda: GC(n_estimators=3, init=linear_model.LogisticRegression()), X, Y),
    "gb pipeline": (
        lambda: GB(
            n_estimators=3, init=pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge())
        ),
        X, NUMBERS,
    ),
    "gb forest": (lambda: GB(n_estimators=3, init=ensemble.RandomForestRegressor(3)), X, NUMBERS),
    "gb tree": (lambda: GC(n_estimators=3, init=tree.DecisionTreeClassifier()), X, TWO),
    "gb svr": (lambda: GB(n_estimators=3, init=svm.SVR()), X, NUMBERS),
    "gb dummy": (lambda: GB(n_estimators=3, init=dummy.DummyRegressor(strategy="median")), X, NUMBERS),
    "gb dummy classes": (lambda: GC(n_estimators=3, init=dummy.DummyClassifier(strategy="uniform")), X, Y),
    "gb own": (lambda: GB(n_estimators=3, init=MyFirstGuess()), X, NUMBERS),
    "gb huber": (lambda: GB(n_estimators=3, loss="huber", subsample=0.5), SMALL, NUMBERS),
    "gb quantile": (lambda: GB(n_estimators=3, loss="quantile"), X, NUMBERS),
    "gb early": (lambda: GB(n_estimators=9, n_iter_no_change=1, tol=9.0), X, NUMBERS),
    "hb": (lambda: HB(max_iter=3, min_samples_leaf=3), X, NUMBERS),
    "hb categories": (lambda: HB(max_iter=3, min_samples_leaf=3, categorical_features=[6]), CODES, NUMBERS),
    "hc categories": (
        lambda: HC(max_iter=3, min_samples_leaf=3, categorical_features=[6, 0]),
        np.column_stack([np.arange(60) % 7, CODES[:, 1:]]), Y,
    ),
    "hc early": (lambda: HC(max_iter=3, early_stopping=True), X, Y),
    "hb poisson": (
        lambda: HB(max_iter=3, loss="poisson", interaction_cst="no_interactions"), X, np.abs(NUMBERS),
    ),
    "forest": (lambda: ensemble.RandomForestClassifier(3, oob_score=False), SPARSE, Y),
    "forest multi": (lambda: ensemble.ExtraTreesRegressor(3, random_state=0), X, BOTH),
    "forest multi classes": (lambda: ensemble.RandomForestClassifier(3, random_state=0), X, LABELS),
    "forest oob": (lambda: ensemble.RandomForestClassifier(5, oob_score=True, random_state=0), X, Y),
    "forest own": (lambda: MyForest(3, random_state=0), X, Y),
    "forest single": (lambda: ensemble.RandomForestClassifier(3), NARROW, SINGLE),
    "embedding": (lambda: ensemble.RandomTreesEmbedding(3, random_state=0, sparse_output=False), X, None),
    "tree multi": (lambda: tree.DecisionTreeRegressor(), X, BOTH),
    "isolation": (lambda: ensemble.IsolationForest(n_estimators=5, max_features=3, random_state=0), X, None),
    "isolation all": (
        lambda: ensemble.IsolationForest(n_estimators=5, contamination=0.1, random_state=0), SMALL, None,
    ),
    "isolation sparse": (lambda: ensemble.IsolationForest(n_estimators=5, random_state=0), SPARSE, None),
    "bagging": (lambda: ensemble.BaggingClassifier(KNC(), 3, max_features=3, random_state=0), X, Y),
    "ada": (lambda: ensemble.AdaBoostClassifier(n_estimators=3), X, Y),
    "kmeans sparse": (lambda: cluster.KMeans(3, random_state=0), SPARSE, None),
    "kmeans small": (lambda: cluster.KMeans(3, random_state=0, algorithm="elkan"), SMALL, None),
    "minibatch sparse": (lambda: cluster.MiniBatchKMeans(3, random_state=0), SPARSE, None),
    "minibatch part": (lambda: cluster.MiniBatchKMeans(3, random_state=0).partial_fit(X), X, None),
    "bisecting": (lambda: cluster.BisectingKMeans(4, random_state=0), SMALL, None),
    "birch part": (lambda: cluster.Birch(n_clusters=None), X, None),
    "hdbscan": (lambda: cluster.HDBSCAN(min_cluster_size=5, copy=False), X, None),
    "feature agglomeration": (lambda: cluster.FeatureAgglomeration(3), X, None),
    "one hot": (lambda: OHE(sparse_output=False, handle_unknown="ignore"), WORDS, None),
    "one hot drop": (lambda: OHE(drop="first"), WORDS, None),
    "one hot drop binary": (lambda: OHE(drop="if_binary", sparse_output=False), WORDS, None),
    "one hot rare": (lambda: OHE(min_frequency=20, handle_unknown="infrequent_if_exist"), WORDS, None),
    "one hot rare drop": (
        lambda: OHE(max_categories=2, drop="first", handle_unknown="ignore", sparse_output=False),
        WORDS, None,
    ),
    "one hot drop given": (lambda: OHE(drop=np.array(["b", "y"], object)), WORDS, None),
    "ordinal": (lambda: preprocessing.OrdinalEncoder(max_categories=2), WORDS, None),
    "target": (lambda: preprocessing.TargetEncoder(), WORDS, NUMBERS),
    "bins": (lambda: preprocessing.KBinsDiscretizer(4, encode="onehot"), X, None),
    "polynomial": (lambda: preprocessing.PolynomialFeatures(2), SPARSE, None),
    "spline": (lambda: preprocessing.SplineTransformer(sparse_output=True), X, None),
    "multi label": (lambda: preprocessing.MultiLabelBinarizer(sparse_output=True), [(1, 2), (3,)], None),
    "label": (lambda: preprocessing.LabelBinarizer(sparse_output=True), Y, None),
    "counts": (lambda: feature_extraction.text.CountVectorizer(ngram_range=(1, 2)), TEXTS, None),
    "counts given": (
        lambda: feature_extraction.text.CountVectorizer(vocabulary={"cat": 1, "dog": 0}), TEXTS, None,
    ),
    "tfidf": (lambda: feature_extraction.text.TfidfVectorizer(), TEXTS, None),
    "scaler sparse": (lambda: preprocessing.StandardScaler(with_mean=False), SPARSE, None),
    "imputer": (lambda: impute.SimpleImputer(add_indicator=True), np.where(X > 5, np.nan, X), None),
    "knn imputer": (lambda: impute.KNNImputer(), np.where(X > 8, np.nan, X), None),
    "isotonic": (lambda: isotonic.IsotonicRegression(out_of_bounds="clip"), NARROW[:, 0], NUMBERS),
    "sgd average": (lambda: linear_model.SGDClassifier(average=True, random_state=0), X, Y),
    "sgd two": (lambda: linear_model.SGDClassifier(average=3, random_state=0), SPARSE, TWO),
    "sgd sparsified": (lambda: linear_model.SGDClassifier(random_state=0).fit(X, Y).sparsify(), X, Y),
    "sgd regression": (lambda: linear_model.SGDRegressor(average=True, random_state=0), X, NUMBERS),
    "sgd one class": (lambda: linear_model.SGDOneClassSVM(average=True, random_state=0), X, None),
    "sgd part": (lambda: linear_model.SGDClassifier().partial_fit(X, Y, classes=[0, 1, 2]), X, Y),
    "perceptron": (lambda: linear_model.Perceptron(), SPARSE, Y),
    "lasso": (lambda: linear_model.Lasso(), X, NUMBERS),
    "lasso sparse": (lambda: linear_model.Lasso(), scipy.sparse.csc_matrix(SPARSE), NUMBERS),
    "lasso multi": (lambda: linear_model.ElasticNet(), SMALL, BOTH),
    "multi task": (lambda: linear_model.MultiTaskLasso(), X, BOTH),
    "logistic saga": (lambda: linear_model.LogisticRegression(solver="saga", max_iter=50), X, Y),
    "logistic sag two": (lambda: linear_model.LogisticRegression(solver="sag", max_iter=50), SPARSE, TWO),
    "logistic liblinear": (lambda: linear_model.LogisticRegression(solver="liblinear"), X, TWO),
    "logistic newton": (lambda: linear_model.LogisticRegression(solver="newton-cholesky"), X, Y),
    "poisson": (lambda: linear_model.PoissonRegressor(), X, np.abs(NUMBERS)),
    "huber": (lambda: linear_model.HuberRegressor(), X, NUMBERS),
    "ridge multi": (lambda: linear_model.Ridge(), X, BOTH),
    "mlp": (lambda: neural_network.MLPClassifier((5,), max_iter=5), X, Y),
    "mlp sgd": (
        lambda: neural_network.MLPRegressor(
            hidden_layer_sizes=(5,), max_iter=5, solver="sgd", early_stopping=True
        ), X, BOTH,
    ),
    "lda": (
        lambda: decomposition.LatentDirichletAllocation(3, max_iter=2), scipy.sparse.csr_matrix(COUNTS), None,
    ),
    "nmf": (lambda: decomposition.NMF(2, max_iter=5), COUNTS, None),
    "nmf batch": (lambda: decomposition.MiniBatchNMF(2, max_iter=5), COUNTS, None),
    "dictionary": (
        lambda: decomposition.DictionaryLearning(3, max_iter=2, transform_algorithm="lasso_cd"), X, None,
    ),
    "dictionary batch": (
        lambda: decomposition.MiniBatchDictionaryLearning(3, max_iter=2, transform_algorithm="lasso_lars"),
        X, None,
    ),
    "envelope": (lambda: covariance.EllipticEnvelope(random_state=0), X, None),
    "mixture": (lambda: mixture.GaussianMixture(2), X, None),
    "chi2": (lambda: kernel_approximation.Nystroem("chi2", n_components=5), COUNTS, None),
    "calibrated isotonic": (
        lambda: calibration.CalibratedClassifierCV(svm.SVC(), method="isotonic", cv=2), X, Y,
    ),
    "rfe": (lambda: feature_selection.RFE(linear_model.Ridge(), importance_getter="coef_"), X, NUMBERS),
    "from model": (
        lambda: feature_selection.SelectFromModel(
            compose.TransformedTargetRegressor(linear_model.Ridge()), importance_getter="regressor_.coef_"
        ), X, NUMBERS,
    ),
    "stack": (
        lambda: ensemble.StackingClassifier(
            [("k", KNC()), ("s", svm.SVC())], linear_model.LogisticRegression(), cv=2, stack_method="auto"
        ), X, Y,
    ),
    "vote": (lambda: ensemble.VotingClassifier([("t", tree.DecisionTreeClassifier()), ("x", "drop")]), X, Y),
    "chain": (lambda: multioutput.ClassifierChain(linear_model.LogisticRegression()), X, LABELS),
    "codes": (lambda: multiclass.OutputCodeClassifier(svm.LinearSVC(), code_size=2, random_state=0), X, Y),
    "columns": (
        lambda: compose.ColumnTransformer(
            [("a", preprocessing.StandardScaler(), [0, 1])], remainder="passthrough"
        ), X, None,
    ),
    "grid": (
        lambda: model_selection.GridSearchCV(
            pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC()), {"svc__C": [1, 2]}, cv=2
        ), X, Y,
    ),
}  # fmt: skip


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


def instances() -> Iterator[tuple[str, Any]]:
    """Every estimator of scikit-learn, unfitted, in the variations that its own tests use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, cls in all_estimators():
            if cls is FrozenEstimator:
                yield f"{name}-0", FrozenEstimator(linear_model.LogisticRegression().fit(X, Y))
                continue
            for number, estimator in enumerate(_construct_instances(cls)):
                yield f"{name}-{number}", estimator


def fitted(estimator: Any, features: Any, target: Any, *, warm: bool = False) -> Any:
    model = estimator if isinstance(estimator, FrozenEstimator) else clone(estimator)
    parameters = model.get_params()
    if "random_state" in parameters:
        model.set_params(random_state=0)
    if warm and "warm_start" in parameters:
        model.set_params(warm_start=True)
    return model.fit(features) if target is None else model.fit(features, target)


def fitted_variant(name: str, *, warm: bool = False) -> Any:
    make, features, target = VARIANTS[name]
    made = make()
    if any(attribute.endswith("_") for attribute in vars(made)):
        return made
    return fitted(made, features, target, warm=warm)


def others() -> list[Any]:
    """What to put where another estimator, a tree or a loss belongs."""
    from types import SimpleNamespace

    from sklearn._loss import loss

    few, many = X[:, :2], np.c_[X, X]
    wide = tree.DecisionTreeRegressor().fit(many, NUMBERS)
    return [
        dummy.DummyRegressor().fit(X, BOTH),
        dummy.DummyClassifier().fit(X, TWO),
        linear_model.LinearRegression().fit(few, BOTH),
        tree.DecisionTreeRegressor(max_depth=2).fit(many, BOTH),
        preprocessing.StandardScaler().fit(few),
        ensemble.RandomForestRegressor(2).fit(many, NUMBERS),
        neighbors.KDTree(few),
        wide.tree_,
        preprocessing.OneHotEncoder().fit(WORDS),
        cluster.KMeans(2, n_init=1, max_iter=2).fit(few),
        loss.HalfMultinomialLoss(n_classes=5),
        loss.HalfSquaredError(),
        SimpleNamespace(tree_=wide.tree_),
        ensemble.GradientBoostingRegressor(n_estimators=1).fit(few, NUMBERS),
        preprocessing.FunctionTransformer().fit(few),
    ]


def in_a_child(work: Callable[[], Any]) -> Any:
    """What `work` returns, pickled. Threads of OpenMP that it starts end with it: others can still fork."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        try:
            warnings.simplefilter("ignore")
            blob = pickle.dumps(work())
        except BaseException as error:
            blob = b"!" + repr(error).encode()
        with os.fdopen(writer, "wb") as stream:
            stream.write(blob)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        blob = stream.read()
    os.waitpid(process, 0)
    return blob


def cases(wanted: set[str]) -> Iterator[Case]:
    """All cases, or those that are wanted: by name, or by the name of a class."""
    swaps = pickle.loads(in_a_child(others))
    for name, estimator in instances():
        if wanted and name not in wanted and name.rpartition("-")[0] not in wanted:
            continue
        features, target = fitting_data(estimator)
        work = partial(fitted, estimator, features, target, warm=True)
        yield from _case(name, work, features, target, swaps)
    for name, (_, features, target) in VARIANTS.items():
        if not wanted or name in wanted:
            yield from _case(name, partial(fitted_variant, name, warm=True), features, target, swaps)


def _case(name: str, work: Callable[[], Any], features: Any, target: Any, swaps: list[Any]) -> Iterator[Case]:
    blob = in_a_child(work)
    if blob[:1] == b"!":
        print(f"# {name} does not fit: {blob[1:200].decode()}")
        return
    dense = isinstance(features, np.ndarray) and features.ndim == 2 and features.dtype.kind == "f"
    yield Case(name, blob, features, target, swaps, sparse=dense)
