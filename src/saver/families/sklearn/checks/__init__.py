"""What scikit-learn's compiled code takes for granted between the parts of one estimator.

Each part has been checked by its own codec. Here stands what only the whole shows: that trees expect the
features the estimator was fitted with, that support vectors, coefficients and counts agree. Every check
raises ValueError. Sources: the `.pyx` and C files of scikit-learn that index without bounds, and what
`tests/attacks/sklearn_crashes.py` found.

Only `__dict__` is looked at. What came from a file is never asked to compare, measure or convert itself.
The checks change nothing: they run when an estimator is saved, too. When one was loaded, `claim` is called
before them: arrays and lists whose contents are trusted become the estimator's own, so that no other
reference to them can change them behind the check.
"""

from __future__ import annotations

from typing import Any

from saver.families.sklearn.checks import columns, losses, names, neighbors, nested, trees, vectors
from saver.families.sklearn.checks.attributes import Checker
from saver.families.sklearn.checks.claims import claim
from saver.families.sklearn.checks.names import check_response

__all__ = ["check", "check_response", "claim"]


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
