"""What scikit-learn called or stored differently before: names of modules, and attributes by version."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np

from saver import registry
from saver.families.numpy.pickles import array_of
from saver.families.sklearn.pickled_trees import FRACTIONS
from saver.pickled import Call, NotReadError, Pairs, attributes_of

_MOVED = {
    "sklearn.neighbors.dist_metrics:newObj": "sklearn.metrics._dist_metrics:newObj",
    "sklearn.neighbors._dist_metrics:newObj": "sklearn.metrics._dist_metrics:newObj",
    "sklearn.neighbors.kd_tree:newObj": "sklearn.neighbors._kd_tree:newObj",
    "sklearn.neighbors.ball_tree:newObj": "sklearn.neighbors._ball_tree:newObj",
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
    """The classes of today, by their bare names."""
    found: dict[str, list[str]] = {}
    family = registry.family("sklearn")
    for name in sorted({name for codec in _CODECS for name in family.listed(codec)}):
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


def migrated(name: str, version: str | None, state: dict[str, Any]) -> dict[str, Any]:
    """The attributes as the class of today has them. Estimators without a version are of 0.17 or older; other
    objects record none, and are changed by what they hold."""
    cls = name.partition(":")[2]
    then = tuple(map(int, re.findall(r"\d{1,4}", version)[:2])) if version else (99,)
    found = dict(state)
    if cls in _CHANGES:
        _CHANGES[cls](found)
    if then < (1, 7):
        _renamed_estimator(found)
    if then < (1, 3):
        _old_trees(cls, found)
    if then < (1, 2) and "n_features_" in found:
        found.setdefault("n_features_in_", found.pop("n_features_"))
    if then < (1, 0):
        _add_counts(found)
    for added, classes, value in _ADDED:
        if classes.fullmatch(cls) and then < (1, 9):
            found.setdefault(added, value)
    if cls.startswith("LogisticRegression") and then < (1, 8):
        _check_multinomial(found)
    return found


_TREES = re.compile("(DecisionTree|ExtraTree)(Classifier|Regressor)")
_FORESTS = re.compile("(RandomForest|ExtraTrees)(Classifier|Regressor)|RandomTreesEmbedding")
_ADDED: tuple[tuple[str, re.Pattern[str], Any], ...] = (
    ("ccp_alpha", re.compile(f"{_TREES.pattern}|{_FORESTS.pattern}|GradientBoosting.*"), 0.0),
    ("monotonic_cst", re.compile(f"{_TREES.pattern}|{_FORESTS.pattern}"), None),
    ("max_samples", _FORESTS, None),
    ("verbose", re.compile("Pipeline|FeatureUnion|ColumnTransformer"), False),
    ("transform_input", re.compile("Pipeline"), None),
    ("clip", re.compile("MinMaxScaler|MaxAbsScaler"), False),
    ("positive", re.compile("LinearRegression|Ridge|RidgeClassifier"), False),
    ("tol", re.compile("LinearRegression"), 1e-6),
    ("break_ties", re.compile("SVC|NuSVC"), False),
    ("ensemble", re.compile("CalibratedClassifierCV"), True),
    ("force_alpha", re.compile(".*NB"), True),
    ("max_fun", re.compile("MLP.*"), 15000),
)
"""Attributes that newer versions read: for which classes, and the value that means what was before."""


def _renamed_estimator(state: dict[str, Any]) -> None:
    """`base_estimator` became `estimator`, in 1.2 to 1.7."""
    for ending in ("", "_"):
        old = state.pop(f"base_estimator{ending}", "deprecated")
        if old != "deprecated":
            state.setdefault(f"estimator{ending}", old)


def _old_trees(cls: str, state: dict[str, Any]) -> None:
    """Trees of classifiers counted samples before 1.3; now they hold fractions."""
    tree = state.get("tree_")
    if cls in ("DecisionTreeClassifier", "ExtraTreeClassifier") and type(tree) is Call:
        tree.marks.add(FRACTIONS)


_LAST_AXIS = ("coef_", "theta_", "feature_log_prob_", "shape_fit_", "_fit_X", "cluster_centers_")


def _add_counts(state: dict[str, Any]) -> None:
    """How many features, and samples to search, an estimator was fitted to; 0.24 began to record it."""
    for name in _LAST_AXIS:
        value = state.get(name)
        if "n_features_in_" in state or value is None:
            continue
        if name == "shape_fit_" and type(value) is tuple:
            state["n_features_in_"] = value[-1]
        elif _is_array(value) and array_of(value).ndim:
            state["n_features_in_"] = array_of(value).shape[-1]
    weights = state.get("coefs_")
    if type(weights) is list and weights and "n_features_in_" not in state:
        state["n_features_in_"] = array_of(weights[0]).shape[0]
    points = state.get("_fit_X")
    if points is not None and _is_array(points):
        state.setdefault("n_samples_fit_", len(array_of(points)))


def _is_array(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return True
    return type(value) is Call and value.function.name in ("_reconstruct", "_frombuffer")


def _check_multinomial(state: dict[str, Any]) -> None:
    """Logistic regression of several classes is multinomial since 1.8; others would predict otherwise."""
    how, classes = state.get("multi_class", "auto"), state.get("classes_")
    several = classes is not None and len(array_of(classes)) > 2
    binary = how in ("ovr", "warn") or (how == "auto" and state.get("solver") == "liblinear")
    if several and binary:
        raise NotReadError(
            "a logistic regression of several classes, one against the rest, predicts otherwise under "
            "scikit-learn of today; fit it again in a OneVsRestClassifier"
        )


def _weights(state: dict[str, Any]) -> None:
    """Of words: a diagonal matrix until 1.3, an array now."""
    matrix = state.pop("_idf_diag", None)
    if type(matrix) is Call and "idf_" not in state:
        state["idf_"] = np.ascontiguousarray(array_of(attributes_of(matrix).get("data")).ravel())


def _calibrated(state: dict[str, Any]) -> None:
    """One calibrated classifier of several."""
    renamed = {"estimator": "base_estimator", "calibrators": "calibrators_", "classes": "classes_"}
    for new, old in renamed.items():
        value = state.pop(old, None)
        if value is not None and state.get(new) is None:
            state[new] = value
    state.pop("label_encoder_", None)


def _support(state: dict[str, Any]) -> None:
    """Support-vector machines: what is computed from private attributes since 0.23."""
    for old, new in (("n_support_", "_n_support"), ("probA_", "_probA"), ("probB_", "_probB")):
        if old in state:
            state.setdefault(new, state.pop(old))
    state.pop("_impl", None)  # an attribute of the class since 0.20


def _no_longer_real(state: dict[str, Any]) -> None:
    """AdaBoost by probabilities was removed in 1.6; the models would predict otherwise."""
    if state.get("algorithm") == "SAMME.R" and "estimators_" in state:
        raise NotReadError(
            "AdaBoost with the algorithm SAMME.R, which was removed, predicts otherwise under "
            "scikit-learn of today; fit it again"
        )


def _variances(state: dict[str, Any]) -> None:
    if "sigma_" in state:
        state.setdefault("var_", state.pop("sigma_"))


def _without_loss(state: dict[str, Any]) -> None:
    """Fitting makes its loss anew; the classes of older ones are gone."""
    for name in ("loss_function", "loss_function_"):
        state.pop(name, None)


_CHANGES: dict[str, Any] = {
    "TfidfTransformer": _weights,
    "_CalibratedClassifier": _calibrated,
    **dict.fromkeys(("SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"), _support),
    "GaussianNB": _variances,
    "AdaBoostClassifier": _no_longer_real,
    **dict.fromkeys(("SGDClassifier", "SGDRegressor", "Perceptron"), _without_loss),
}
"""Changes of one class, which show in its attributes."""
