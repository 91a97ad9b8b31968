"""Ensembles of older versions of scikit-learn: boosting, isolation forests, AdaBoost."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.families.numpy.pickles import array_of
from saver.families.sklearn.old_losses import loss
from saver.families.sklearn.old_values import State, Version, count_of, is_array, made, number_of, rename
from saver.pickled import Call, NotReadError, attributes_of, fields_of, sequence

_GRADIENTS = {"ls": "squared_error", "lad": "absolute_error", "deviance": "log_loss"}
_REGRESSION = {
    "squared_error": "HalfSquaredError", "absolute_error": "AbsoluteError", "huber": "HuberLoss",
    "quantile": "PinballLoss", "poisson": "HalfPoissonLoss", "gamma": "HalfGammaLoss",
}  # fmt: skip


def _loss_of(state: State, regression: bool, several: int, *numbers: float) -> Call:
    """The loss that fitting under today's version would have made."""
    name = state.get("loss")
    if regression:
        if name not in _REGRESSION:
            raise NotReadError(f"its loss {str(name)[:40]!r} is not one of scikit-learn")
        return loss(_REGRESSION[name], None, *(numbers if name in ("huber", "quantile") else ()))
    if name == "exponential":
        return loss("ExponentialLoss", 2)
    return loss("HalfMultinomialLoss", several) if several > 2 else loss("HalfBinomialLoss", 2)


def gradient_boosting(state: State, then: Version, regression: bool) -> None:
    """Before 1.4 it had losses of its own, and before 0.21 first guesses of its own."""
    state["loss"] = _GRADIENTS.get(state.get("loss", ""), state.get("loss"))
    state.pop("loss_", None)
    if then >= (1, 4) or "estimators_" not in state:
        return
    classes = 1 if regression else count_of(state, "n_classes_")
    state["n_trees_per_iteration_"] = 1 if classes <= 2 else classes
    state["_loss"] = _loss_of(state, regression, classes, float(state.get("alpha", 0.9)))
    first = state.get("init_")
    if type(first) is Call and first.function.module == "sklearn.ensemble.gradient_boosting":
        state["init_"] = _first_guess(first, state)


def _first_guess(first: Call, state: State) -> Any:
    """Before 0.21 these estimators answered with the raw value; dummies answer with what it stands for."""
    own, kind = attributes_of(first), first.function.name
    if kind == "ZeroEstimator":
        return "zero"
    features = {"n_features_in_": count_of(state, "n_features_")} if "n_features_" in state else {}
    if kind in ("MeanEstimator", "QuantileEstimator"):
        guess = np.full((1, 1), number_of(own.get("mean", own.get("quantile")), "a mean"))
        how = {"strategy": "mean" if kind == "MeanEstimator" else "quantile", "quantile": own.get("alpha")}
        return made("sklearn.dummy:DummyRegressor", {
            **how, "constant": None, "constant_": guess, "n_outputs_": 1, **features,
        })  # fmt: skip
    if kind == "PriorProbabilityEstimator":
        raw = np.exp(array_of(own.get("priors")).astype(float))
        prior = raw / raw.sum()
    else:
        odds = number_of(own.get("prior"), "the odds") * (2.0 if kind == "ScaledLogOddsEstimator" else 1.0)
        positive = 1.0 / (1.0 + math.exp(-min(max(odds, -700.0), 700.0)))
        prior = np.array([1.0 - positive, positive])
    return made("sklearn.dummy:DummyClassifier", {
        "strategy": "prior", "random_state": None, "constant": None, "_strategy": "prior",
        "sparse_output_": False, "n_outputs_": 1, "classes_": np.arange(float(len(prior))),
        "n_classes_": len(prior), "class_prior_": prior, **features,
    })  # fmt: skip


_HISTOGRAMS = {
    "least_squares": "squared_error", "least_absolute_deviation": "absolute_error", "auto": "log_loss",
    "binary_crossentropy": "log_loss", "categorical_crossentropy": "log_loss",
}  # fmt: skip


def histogram_boosting(state: State, then: Version, regression: bool) -> None:
    """Its losses moved in 1.1; a preprocessor for categories is new in 1.4."""
    state["loss"] = _HISTOGRAMS.get(state.get("loss", ""), state.get("loss"))
    rename(state, bin_mapper_="_bin_mapper", loss_="_loss")
    if "_predictors" not in state or then >= (1, 4):
        return
    trees = count_of(state, "n_trees_per_iteration_")
    if then < (1, 1):
        quantile = state.get("quantile")
        state["_loss"] = _loss_of(state, regression, trees if trees > 1 else 2, quantile or 0.5)
        guess = state.get("_baseline_prediction")
        raw = array_of(guess) if is_array(guess) else np.array(number_of(guess, "the first guess"))
        state["_baseline_prediction"] = np.ascontiguousarray(raw.reshape(1, -1), np.float64)
    for name in ("_preprocessor", "_is_categorical_remapped", "is_categorical_"):
        state.setdefault(name, None)


def bins(state: State, then: Version) -> None:
    """Bins had none for missing values before 0.22, and none for categories before 0.24."""
    rename(state, max_bins="n_bins", actual_n_bins_="n_bins_non_missing_")
    thresholds = state.get("bin_thresholds_")
    if type(thresholds) is not list:
        return
    state.setdefault("is_categorical_", np.zeros(len(thresholds), np.uint8))
    for name, value in (("is_categorical", None), ("known_categories", None), ("n_threads", None)):
        state.setdefault(name, value)
    if "missing_values_bin_idx_" not in state:
        state["missing_values_bin_idx_"] = count_of(state, "n_bins") - 1


def isolation_forest(state: State, then: Version) -> None:
    """What today's version computes when it fits: lengths of paths, and where outliers begin."""
    if "estimators_" not in state:
        return
    if "offset_" not in state:
        state["offset_"] = float(
            np.nextafter(number_of(state.get("threshold_"), "the threshold") - 0.5, np.inf)
        )
    elif "_threshold_" in state and state.get("behaviour") in ("old", "deprecated"):
        state["offset_"] = number_of(state["offset_"], "the offset") + number_of(
            state["_threshold_"], "the threshold"
        )
    for name in ("threshold_", "_threshold_"):
        state.pop(name, None)
    if "_decision_path_lengths" in state:
        return
    lengths, depths = [], []
    for estimator in sequence(state["estimators_"], "the trees of an isolation forest"):
        nodes = _nodes(estimator)
        lengths.append(_average_path(nodes["n_node_samples"].astype(float), then))
        depths.append(_depths(nodes["left_child"], nodes["right_child"]))
    state["_average_path_length_per_tree"], state["_decision_path_lengths"] = tuple(lengths), tuple(depths)


def _nodes(estimator: Any) -> NDArray[Any]:
    tree = attributes_of(estimator).get("tree_") if type(estimator) is Call else None
    if type(tree) is not Call:
        raise NotReadError("an isolation forest has something else than trees")
    nodes = array_of(fields_of(tree.state, "the state of a tree").get("nodes"))
    if not {"n_node_samples", "left_child", "right_child"} <= set(nodes.dtype.names or ()) or nodes.ndim != 1:
        raise NotReadError("the nodes of a tree have other fields")
    return nodes


def _average_path(samples: NDArray[Any], then: Version) -> NDArray[Any]:
    """The average length of a path among samples (Liu, Ting and Zhou, 2008), as each version has it."""
    whole = np.maximum(samples, 2.0)
    if then < (0, 19):
        found = 2.0 * (np.log(whole) + 0.5772156649) - 2.0 * (whole - 1.0) / whole
    else:
        found = 2.0 * (np.log(whole - 1.0) + np.euler_gamma) - 2.0 * (whole - 1.0) / whole
    found[samples <= 1] = 1.0 if then < (0, 21) else 0.0
    if then >= (0, 21):
        found[samples == 2] = 1.0
    return np.asarray(found)


def _depths(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """How many nodes lie between the root and each node, with both; children have higher numbers."""
    found = np.ones(len(left), np.int64)
    for node, (first, second) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        for child in (first, second):
            if child >= 0:
                if not node < child < len(left):
                    raise NotReadError("the nodes of a tree do not lie in the order in which they were made")
                found[child] = found[node] + 1
    return found


def adaboost(state: State, then: Version) -> None:
    """SAMME.R was removed in 1.6, and SAMME sums up otherwise since 1.3."""
    how = state.get("algorithm", "SAMME.R")
    if "estimators_" not in state or then >= ((1, 6) if how == "SAMME.R" else (1, 3)):
        return
    raise NotReadError(
        f"AdaBoost with the algorithm {str(how)[:20]} of that version answers otherwise under "
        "scikit-learn of today; fit it again"
    )


CHANGES: dict[str, Callable[[State, Version], None]] = {
    "GradientBoostingClassifier": partial(gradient_boosting, regression=False),
    "GradientBoostingRegressor": partial(gradient_boosting, regression=True),
    "HistGradientBoostingClassifier": partial(histogram_boosting, regression=False),
    "HistGradientBoostingRegressor": partial(histogram_boosting, regression=True),
    "_BinMapper": bins,
    "IsolationForest": isolation_forest,
    "AdaBoostClassifier": adaboost,
}
"""Changes of one class, by its name; each changes the attributes in place, and knows their version."""
