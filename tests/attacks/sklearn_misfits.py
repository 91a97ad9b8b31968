"""Fitted state that does not fit together: which model, what to alter in it, and what the refusal says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse
import sklearn_models as models
from sklearn import cluster, dummy, neighbors, preprocessing, tree
from sklearn._loss import loss
from sklearn.utils import check_array

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
    "a missing tree": ("gb", change("estimators_", lambda a: np.full_like(a, None)), "tree is missing"),
    "what only holds a tree": (
        "gb",
        change("estimators_", lambda a: np.full_like(a, SimpleNamespace(tree_=a[0, 0].tree_))),
        "tree is missing",
    ),
    "more trees in a round": (
        "gb zero",
        change("estimators_", lambda a: np.hstack([a, a])),
        "predictions in each round",
    ),
    "a first guess of two outputs": ("gb", put("init_", outputs(2)), "another shape"),
    "a first guess of classes": (
        "gb",
        put("init_", dummy.DummyClassifier().fit(models.X, models.Y)),
        "another kind",
    ),
    "a first guess without a column": ("gb linear", put("init_.coef_", np.zeros((0, 6))), "another shape"),
    "an offset without a column": ("gb linear", put("init_.intercept_", np.zeros(0)), "another shape"),
    "a prior that is a number": ("gb three", put("init_.class_prior_", 3), "another shape"),
    "a prior of fewer classes": ("gb three", put("init_.class_prior_", np.ones(1)), "another shape"),
    "a first guess of who knows what": ("gb", put("init_", cluster.KMeans(2).fit(models.X)), "output shape"),
    "a first guess that is not an estimator": ("gb", put("init_", 3), "output shape"),
    "a first guess of another library": (
        "gb",
        put("init_", SimpleNamespace(predict=np.sum)),
        "output shape",
    ),
    "a first guess that ends in a number": (
        "gb pipeline",
        lambda m: m.init_.steps.__setitem__(-1, ("end", 3)),
        "output shape",
    ),
    "a first guess by a function": (
        "gb pipeline",
        lambda m: m.init_.steps.insert(0, ("f", preprocessing.FunctionTransformer(np.sum))),
        "drop samples",
    ),
    "the loss of a regression": ("gb three", put("_loss", loss.HalfSquaredError()), "another kind"),
    "a loss of more classes": (
        "gb three",
        put("_loss", loss.HalfMultinomialLoss(n_classes=5)),
        "number of classes",
    ),
    "a loss with another link": ("gb", put("_loss.link", SimpleNamespace(link=np.sum)), "link of another"),
    "a loss that says otherwise": ("gb three", put("_loss.is_multiclass", False), "is_multiclass"),
    "a classifier that says it is a regressor": (
        "gb three",
        put("_estimator_type", "regressor"),
        "another type",
    ),
    # histogram gradient boosting
    "fewer categories": (
        "hb categories",
        put("_bin_mapper.is_categorical_", np.zeros(3, bool)),
        "sets of bins",
    ),
    "a preprocessor of other data": (
        "hb categories",
        put("_preprocessor.n_features_in_", 3),
        "other features",
    ),
    "a preprocessor that drops": (
        "hb categories",
        lambda m: m._preprocessor.transformers_.pop(0),
        "every feature once",
    ),
    "a preprocessor that answers with other data": (
        "hb categories",
        lambda m: vars(m._preprocessor.transformers_[1][1]).update(
            func=partial(check_array, np.ones((1, 6)))
        ),
        "other columns",
    ),
    "in the middle of a fit": ("hb", put("_in_fit", True), "being fitted"),
    "trees that are missing": (
        "hb",
        change("_predictors", lambda r: [[SimpleNamespace(nodes=0)] for _ in r]),
        "tree is missing",
    ),
    # support vectors
    "coefficients that are not stored": (
        "svc sparse two",
        change("_dual_coef_", without_coefficients),
        "coefficients",
    ),
    "another machine": ("svc ovo", put("_impl", "one_class"), "_impl cannot"),
    "no counts": ("svc ovo", put("_n_support", None), "not an array"),
    "no intercepts": ("svc ovo", put("_intercept_", np.zeros(0)), "intercept"),
    "half of the probabilities": ("svc sparse probability", put("_probB", np.zeros(0)), "probability"),
    "probabilities without parameters": (
        "svr sparse",
        lambda m: vars(m).update(_effective_probability=True, probability=True),
        "probability",
    ),
    "an index beyond the kernel": (
        "svc precomputed",
        change("support_", lambda a: a + 10**6),
        "beyond the training",
    ),
    "fewer samples than the kernel": (
        "svc callable",
        change("_BaseLibSVM__Xfit", lambda a: a[:3]),
        "samples of the kernel",
    ),
    "another kernel": ("svr precomputed", put("kernel", "linear"), "support vectors"),
    "classes that are not there": ("svc ovo", lambda m: vars(m).pop("classes_"), "classes_"),
    # forests
    "a choice of other features": (
        "isolation",
        lambda m: m.estimators_features_.__setitem__(0, np.array([0, 1, 99])),
        "feature does not exist",
    ),
    "a forest of something else": (
        "forest",
        lambda m: m.estimators_.__setitem__(0, Pretender()),
        "tree is missing",
    ),
    # neighbours
    "fewer samples than kept": ("knn brute", put("n_samples_fit_", 7), "number of samples"),
    "no samples": ("knn brute", change("_fit_X", lambda a: a[:0]), "no samples"),
    "samples of fewer features": ("knn multi", change("_fit_X", lambda a: a[:, :1]), "other features"),
    "a label of no class": ("knn brute distance", change("_y", lambda a: a + 10**6), "not that of a class"),
    "fewer labels": ("radius brute", change("_y", lambda a: a[:3]), "one label for each"),
    "a matrix of another metric": (
        "knn mahalanobis",
        put("effective_metric_params_", {"VI": np.eye(2)}),
        "does not fit the features",
    ),
    "norms of other samples": (
        "knn brute",
        put("effective_metric_params_", {"Y_norm_squared": np.ones(1)}),
        "norms",
    ),
    "more neighbours than samples": (
        "knn brute distance",
        lambda m: vars(m).update(weights="uniform", n_neighbors=10**6),
        "n_neighbors is",
    ),
    "a tree of other samples": ("knn kd", put("_tree", neighbors.KDTree(models.X[:9])), "other samples"),
    "a tree of other features": ("kde", put("tree_", neighbors.KDTree(models.X[:, :2])), "other features"),
    "samples that pretend": ("knn brute", put("_fit_X", Pretender()), "not a matrix"),
    # clusters
    "fewer counts than centers": ("minibatch part", put("_counts", np.zeros(1)), "count for each"),
    "fewer norms than centers": ("birch part", put("_subcluster_norms", np.zeros(1)), "one norm"),
    "a linkage from nowhere": (
        "hdbscan",
        lambda m: m._single_linkage_tree_["left_node"].__setitem__(0, 10**6),
        "does not exist",
    ),
    "a bisection in a circle": (
        "bisecting",
        lambda m: vars(m._bisecting_tree).update(left=m._bisecting_tree),
        "two parents",
    ),
    # learning that goes on
    "a shorter average": ("sgd average", put("_average_coef", np.zeros((3, 2))), "other features"),
    "a shorter start": ("lasso", put("coef_", np.zeros(2)), "other features"),
    "a start that pretends": ("lasso", put("coef_", Pretender()), "neither a vector"),
    "a longer start": ("huber", change("coef_", lambda a: np.r_[a, a]), "other features"),
    "fewer tasks": ("multi task", change("coef_", lambda a: a[:1]), "other tasks"),
    "no precision": ("envelope", put("precision_", np.zeros((0, 0))), "other features"),
    "a size beyond those of C": ("tree multi", put("min_samples_leaf", 2**62), "min_samples_leaf"),
    "a loss of classes for numbers": (
        "poisson",
        put("_base_loss", loss.HalfMultinomialLoss()),
        "another kind",
    ),
    # columns of sparse matrices
    "a word beyond the columns": (
        "counts",
        change("vocabulary_", lambda v: {k: n + 99 for k, n in v.items()}),
        "does not exist",
    ),
    "fewer columns than categories": ("one hot", put("_n_features_outs", [1, 1]), "as many columns"),
    "categories out of order": (
        "bins",
        lambda m: m._encoder.categories_.__setitem__(-1, m._encoder.categories_[-1][::-1]),
        "not in order",
    ),
    "a group that is not there": (
        "one hot rare",
        lambda m: m._default_to_infrequent_mappings.__setitem__(0, np.array([0, 9, 9])),
        "group",
    ),
    "a label beyond the columns": ("multi label", put("_cached_dict", {1: 0, 2: 99, 3: 1}), "does not exist"),
    "a label twice": (
        "multi label",
        lambda m: vars(m).update(_cached_dict=None, classes_=np.array([1, 1, 2], object)),
        "twice",
    ),
    "samples only in the tree": (
        "knn kd",
        lambda m: vars(m).update(_fit_X=None, n_samples_fit_=7),
        "not a matrix",
    ),
    # names
    "a method that learns": ("stack", put("stack_method_", ["fit", "__init__"]), "not name a method"),
    "a path out of the estimator": ("from model", put("importance_getter", "__class__.__mro__"), "leads out"),
    "a format that looks inside": (
        "columns",
        put("verbose_feature_names_out", "{feature_name.__class__}"),
        "names",
    ),
}
