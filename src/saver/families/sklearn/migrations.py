"""What scikit-learn called or stored differently before: names of modules, and attributes by version."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from saver import registry
from saver.families.numpy.pickles import array_of
from saver.families.sklearn import old_ensembles, old_estimators, old_losses, old_transformers
from saver.families.sklearn.old_logistic import one_against_rest
from saver.families.sklearn.old_values import State, Version, is_array, rename
from saver.families.sklearn.pickled_trees import FRACTIONS
from saver.families.sklearn.references import REFERENCES
from saver.pickled import Call, Pairs

_MOVED = {
    "sklearn.neighbors.dist_metrics:newObj": "sklearn.metrics._dist_metrics:newObj",
    "sklearn.neighbors._dist_metrics:newObj": "sklearn.metrics._dist_metrics:newObj",
    "sklearn.neighbors.kd_tree:newObj": "sklearn.neighbors._kd_tree:newObj",
    "sklearn.neighbors.ball_tree:newObj": "sklearn.neighbors._ball_tree:newObj",
    "sklearn.preprocessing.imputation:Imputer": "sklearn.impute._base:SimpleImputer",
    "sklearn.preprocessing._imputation:Imputer": "sklearn.impute._base:SimpleImputer",
    "sklearn.cluster.birch:_CFNode": "sklearn.cluster._birch:_CFNode",
    "sklearn.cluster.birch:_CFSubcluster": "sklearn.cluster._birch:_CFSubcluster",
    "sklearn.covariance.graph_lasso_:GraphLasso": "sklearn.covariance._graph_lasso:GraphicalLasso",
    "sklearn.covariance.graph_lasso_:GraphLassoCV": "sklearn.covariance._graph_lasso:GraphicalLassoCV",
    **old_losses.MOVED,
}
_CODECS = ("sklearn.estimator", "sklearn.object", "sklearn.loss")


def home(name: str) -> str:
    """Where a class is in scikit-learn of today: modules got an underscore in 0.22, and some classes moved.
    A class that is listed nowhere keeps its name."""
    module, _, what = name.partition(":")
    if module in ("_loss", "sklearn._loss") and what.startswith(("Cy", "__pyx_unpickle_Cy")):
        return f"sklearn._loss._loss:{what}"
    if name in _MOVED:
        return _MOVED[name]
    known = _listed().get(what, ())
    if name in known or not module.startswith("sklearn."):
        return name
    package = ".".join(module.split(".")[:2])
    near = [each for each in known if each.partition(":")[0].startswith(package)]
    found = near or known
    return found[0] if len(found) == 1 else name


@cache
def _listed() -> dict[str, list[str]]:
    """The classes and functions of today, by their bare names."""
    found: dict[str, list[str]] = {}
    family = registry.family("sklearn")
    for name in sorted({name for codec in _CODECS for name in family.listed(codec)} | REFERENCES.keys()):
        found.setdefault(name.partition(":")[2], []).append(name)
    return found


def version_of(call: Call) -> str | None:
    """The version of scikit-learn that an estimator records."""
    if not call.has_state or type(call.state) is not Pairs:
        return None
    for key, value in call.state.items:
        if key == "_sklearn_version" and type(value) is str:
            return value
    return None


def current(name: str, version: str | None, state: State) -> tuple[str, State]:
    """The class of today that answers as this object did, and its attributes."""
    found = migrated(name, version, state)
    if name.partition(":")[2].startswith("LogisticRegression") and _version(version) < (1, 8):
        return one_against_rest(name, found)
    return name, found


def _version(text: str | None) -> Version:
    return tuple(map(int, re.findall(r"\d{1,4}", text)[:2])) if text else (99,)


def migrated(name: str, version: str | None, state: State) -> State:
    """The attributes as the class of today has them. Estimators without a version are of 0.17 or older; other
    objects record none, and are changed by what they hold."""
    cls = name.partition(":")[2]
    then = _version(version)
    found = dict(state)
    if cls in _CHANGES:
        _CHANGES[cls](found, then)
    if then < (1, 7) and cls not in _KEEP_BASE:
        _renamed_estimator(found)
    if then < (1, 4):
        _old_trees(cls, found)
    if then < (1, 2) and "support_" not in found:
        rename(found, n_features_="n_features_in_")
    if then < (1, 0):
        _add_counts(found)
    if version:
        _values(cls, found)
        for parameter, value in _parameters().get(cls, {}).items():
            found.setdefault(parameter, value)
    return found


_KEEP_BASE = frozenset(("GaussianProcessClassifier",))


@cache
def _parameters() -> dict[str, dict[str, Any]]:
    """Parameters that newer versions added, by class, and the values that mean what was before."""
    text = resources.files(__package__).joinpath("parameters.json").read_text()
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


_CRITERIA = {"mse": "squared_error", "mae": "absolute_error"}
_LOSSES = {"log": "log_loss", "squared_loss": "squared_error", "absolute_loss": "absolute_error"}
_VALUES: tuple[tuple[str, re.Pattern[str], dict[str, str]], ...] = (
    ("criterion", re.compile(".*(Tree|Trees|Forest)Regressor|GradientBoosting.*"), _CRITERIA),
    ("loss", re.compile("SGD.*|RANSAC.*"), _LOSSES),
    (
        "max_features",
        re.compile("(RandomForest|ExtraTrees|ExtraTree|DecisionTree)Classifier"),
        {"auto": "sqrt"},
    ),
    ("algorithm", re.compile("KMeans|BisectingKMeans"), {"auto": "lloyd", "full": "lloyd"}),
)
"""Parameters whose values have other names: for which classes, and the names."""


def _values(cls: str, state: State) -> None:
    for parameter, classes, names in _VALUES:
        value = state.get(parameter)
        if type(value) is str and value in names and classes.fullmatch(cls):
            state[parameter] = names[value]


def _renamed_estimator(state: State) -> None:
    """`base_estimator` became `estimator`, in 1.2 to 1.7."""
    for ending in ("", "_"):
        old = state.pop(f"base_estimator{ending}", "deprecated")
        if old != "deprecated":
            state.setdefault(f"estimator{ending}", old)


_TREES = re.compile("(DecisionTree|ExtraTree)(Classifier|Regressor)")


def _old_trees(cls: str, state: State) -> None:
    """Trees of classifiers counted samples before 1.4; now they hold fractions."""
    tree = state.get("tree_")
    if _TREES.fullmatch(cls) and tree is None:
        for name in [name for name in state if name.endswith("_")]:  # before 0.19, before it was fitted
            del state[name]
    if cls in ("DecisionTreeClassifier", "ExtraTreeClassifier") and type(tree) is Call:
        tree.marks.add(FRACTIONS)


_LAST_AXIS = (
    "coef_", "theta_", "feature_log_prob_", "_fit_X", "cluster_centers_", "components_", "means_",
    "mean_", "scale_", "centroids_", "location_", "X_train_", "feature_importances_", "precision_",
    "center_", "lambdas_", "scores_", "variances_", "quantiles_", "max_abs_", "X_", "xbar_",
)  # fmt: skip
"""Arrays whose last axis has a place for each feature."""


def _add_counts(state: State) -> None:
    """How many features, and samples to search, an estimator was fitted to; 0.24 began to record it."""
    for name in _LAST_AXIS:
        value = state.get(name)
        if "n_features_in_" not in state and is_array(value) and array_of(value).ndim:
            state["n_features_in_"] = array_of(value).shape[-1]
    if type(state.get("n_features")) is int and "estimators_" in state:
        state.setdefault("n_features_in_", state["n_features"])
    if is_array(state.get("support_")) and "ranking_" in state:
        state["n_features_in_"] = len(array_of(state["support_"]))
    weights = state.get("coefs_")
    if type(weights) is list and weights and "n_features_in_" not in state:
        state["n_features_in_"] = array_of(weights[0]).shape[0]
    points = state.get("_fit_X")
    if points is not None and is_array(points):
        state.setdefault("n_samples_fit_", len(array_of(points)))


_CHANGES: dict[str, Callable[[State, Version], None]] = {
    **old_estimators.CHANGES,
    **old_transformers.CHANGES,
    **old_ensembles.CHANGES,
}
"""Changes of one class, by its name."""
