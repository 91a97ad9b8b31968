"""Checks what scikit-learn's compiled code assumes about the parts of one estimator.

Each part has been checked by its own codec. These checks concern the whole: that trees expect the features
the estimator was fitted with, that support vectors, coefficients and counts agree. Every check raises
ValueError. Sources: the `.pyx` and C files of scikit-learn that index without checking bounds, and the
findings of `tests/attacks/sklearn_crashes.py`.

Only `__dict__` is read. Objects from a file are never made to compare, measure or convert themselves. Arrays
and lists whose contents are trusted are copied for the estimator before they are checked, so that they cannot
be changed afterwards through another reference.
"""

from __future__ import annotations

from typing import Any

from saver.families.sklearn.checks import columns, losses, names, neighbors, nested, trees, vectors
from saver.families.sklearn.checks.attributes import Checker
from saver.families.sklearn.checks.names import check_response

__all__ = ["check", "check_guess", "check_response"]


def check(estimator: Any) -> None:
    """Raise ValueError if compiled code could read or write outside of the estimator's arrays."""
    for checker in _of.get(type(estimator)) or _checkers(type(estimator)):
        checker(estimator)


_of: dict[type, tuple[Checker, ...]] = {}


def _checkers(cls: type) -> tuple[Checker, ...]:
    """The checks for direct instances of a class, cached."""
    found = _of[cls] = tuple(
        checker
        for base in cls.__mro__
        if base.__module__.startswith("sklearn.")
        for checker in _CHECKS.get(base.__name__, ())
    )
    return found


def check_guess(estimator: Any) -> None:
    """Raise ValueError for values that honest estimators can have, but loading refuses. Changes nothing."""
    if any(base.__name__ == "BaseGradientBoosting" for base in type(estimator).__mro__):
        trees.guess(estimator)


_COEFFICIENTS = vectors.rows_of_features("coef_", "_standard_coef", "standard_coef_", "_average_coef")

_CHECKS: dict[str, tuple[Checker, ...]] = {
    "BaseEstimator": (vectors.threads, names.responses, nested.members),
    "BaseDecisionTree": (trees.single_tree, trees.sizes),
    "BaseForest": (trees.forest,),
    "IsolationForest": (trees.isolation_forest,),
    "BaseGradientBoosting": (trees.boosting,),
    "BaseHistGradientBoosting": (trees.histogram_boosting,),
    "_BinMapper": (trees.bins,),
    "_GeneralizedLinearRegressor": (losses.generalized_linear,),
    "BaseLibSVM": (vectors.support_vectors,),
    "BaseSGD": (_COEFFICIENTS,),
    "ElasticNet": (_COEFFICIENTS,),
    "HuberRegressor": (_COEFFICIENTS,),
    "MultiTaskElasticNet": (vectors.tasks,),
    "EmpiricalCovariance": (vectors.covariance,),
    "LogisticRegression": (_COEFFICIENTS,),
    "_BaseKMeans": (vectors.centers,),
    "BisectingKMeans": (vectors.bisecting,),
    "Birch": (neighbors.birch,),
    "HDBSCAN": (neighbors.linkage, neighbors.metric),
    "DBSCAN": (neighbors.metric,),
    "OPTICS": (neighbors.metric,),
    "TSNE": (neighbors.metric,),
    "Isomap": (neighbors.metric,),
    "NeighborsBase": (neighbors.neighbors,),
    "KernelDensity": (neighbors.density, neighbors.metric),
    "OneHotEncoder": (columns.one_hot,),
    "CountVectorizer": (columns.vocabulary,),
    "DictVectorizer": (columns.vocabulary,),
    "MultiLabelBinarizer": (columns.labels,),
    "FeatureHasher": (columns.hashed,),
    "HashingVectorizer": (columns.hashed,),
    "RFE": (names.importances,),
    "SelectFromModel": (names.importances,),
    "SequentialFeatureSelector": (names.importances,),
    "ColumnTransformer": (names.column_names,),
}
"""The checks by name of a class of scikit-learn; they apply to its subclasses, too."""
