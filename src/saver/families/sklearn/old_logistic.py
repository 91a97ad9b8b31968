"""Logistic regression of older versions of scikit-learn, which had another meaning of several classes."""

from __future__ import annotations

import numpy as np

from saver.families.numpy.pickles import array_of
from saver.families.sklearn.old_values import State, Version, is_array, made
from saver.pickled import NotReadError

_PARAMETERS = (
    "penalty", "C", "l1_ratio", "dual", "tol", "fit_intercept", "intercept_scaling", "class_weight",
    "random_state", "solver", "max_iter", "verbose", "warm_start", "n_jobs", "n_features_in_",
    "n_iter_",
)  # fmt: skip


_DEFAULTS: State = {"C": 1.0, "l1_ratio": 0.0, "warm_start": False}
"""For those that searched for the best C."""


def logistic(state: State, then: Version) -> None:
    """The ratio of penalties says what `penalty` did. Of two classes, none is multinomial since 1.8."""
    if state.get("l1_ratio") is None:
        state["l1_ratio"] = 1.0 if state.get("penalty") == "l1" else 0.0
    if then < (1, 8) and _classes(state) == 2 and state.get("multi_class") == "multinomial":
        raise NotReadError(
            "a multinomial logistic regression of two classes has other probabilities under scikit-learn of "
            "today; fit it again"
        )


def one_against_rest(name: str, state: State) -> tuple[str, State]:
    """Several classes are multinomial since 1.8; if they were fitted one against the rest, a
    OneVsRestClassifier gives the same probabilities."""
    how, classes = state.get("multi_class", "ovr"), _classes(state)
    binary = how in ("ovr", "warn") or (how in ("auto", "deprecated") and state.get("solver") == "liblinear")
    if classes < 3 or not binary:
        return name, state
    coef, intercept = array_of(state["coef_"]), np.atleast_1d(array_of(state.get("intercept_")))
    if coef.ndim != 2 or len(coef) != classes:
        raise NotReadError("a logistic regression does not have coefficients for each class")
    home = "sklearn.linear_model._logistic:LogisticRegression"
    parameters = _DEFAULTS | {key: state[key] for key in _PARAMETERS if key in state}
    binaries = [
        made(home, parameters | {
            "coef_": np.ascontiguousarray(coef[at : at + 1]), "classes_": np.array([0, 1]),
            "intercept_": np.ascontiguousarray(intercept[at : at + 1] if len(intercept) > 1 else intercept),
        })
        for at in range(classes)
    ]  # fmt: skip
    binarizer = {
        "neg_label": 0,
        "pos_label": 1,
        "sparse_output": True,
        "y_type_": "multiclass",
        "sparse_input_": False,
        "classes_": state["classes_"],
    }
    unfitted = {key: value for key, value in parameters.items() if not key.endswith("_")}
    return "sklearn.multiclass:OneVsRestClassifier", {
        "estimator": made(home, unfitted), "n_jobs": None, "verbose": 0, "estimators_": binaries,
        "label_binarizer_": made("sklearn.preprocessing._label:LabelBinarizer", binarizer),
        "n_features_in_": coef.shape[1], "classes_": state["classes_"],
    }  # fmt: skip


def _classes(state: State) -> int:
    """The number of classes it was fitted to; 0 if it was not."""
    classes = state.get("classes_")
    return len(array_of(classes)) if is_array(classes) and "coef_" in state else 0
