"""Predictors of older versions of scikit-learn: what their attributes are today."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from saver.families.numpy.pickles import array_of
from saver.families.sklearn.old_logistic import logistic
from saver.families.sklearn.old_losses import loss
from saver.families.sklearn.old_values import (
    State,
    Version,
    is_array,
    made,
    number_of,
    rename,
)
from saver.pickled import Call, Global, NotReadError, attributes_of, sequence

INTERPOLATION = "sklearn.isotonic:interpolation"
"""What an isotonic regression interpolates with; pickles leave it out, and its class makes it anew."""


def isotonic(state: State, then: Version) -> None:
    """Thresholds have names without an underscore since 0.24."""
    rename(state, _necessary_X_="X_thresholds_", _necessary_y_="y_thresholds_")
    if "X_thresholds_" not in state:
        return
    x, y = (array_of(state[f"{axis}_thresholds_"]).astype(float) for axis in "Xy")
    if x.ndim != 1 or len(x) != len(y) or len(y) < 2:
        raise NotReadError("an isotonic regression with fewer than two thresholds is a function")
    found = {"x": x, "y": y, "bounds_error": state.get("out_of_bounds") == "raise"}
    state["f_"] = made(INTERPOLATION, found)


def calibrated(state: State, then: Version) -> None:
    """One calibrated classifier of several."""
    for old, new in (
        ("base_estimator", "estimator"),
        ("calibrators_", "calibrators"),
        ("classes_", "classes"),
    ):
        value = state.pop(old, None)
        if value is not None and state.get(new) is None:
            state[new] = value
    state.pop("label_encoder_", None)


def support(state: State, then: Version, regression: bool) -> None:
    """Support-vector machines: what is computed from private attributes since 0.23."""
    rename(state, n_support_="_n_support", probA_="_probA", probB_="_probB")
    state.pop("_impl", None)  # an attribute of the class since 0.20
    if regression and "support_" in state:
        state["_n_support"] = np.full(2, len(array_of(state["support_"])), np.int32)
    if "dual_coef_" in state:
        fitted = state.get("shape_fit_")
        if type(fitted) is tuple and fitted:
            state.setdefault("n_features_in_", fitted[-1])
        state.setdefault("_num_iter", 0)


def naive(state: State, then: Version) -> None:
    rename(state, sigma_="var_")


def gradients(state: State, then: Version) -> None:
    """Fitting makes its loss anew; the classes of older ones are gone."""
    if then < (1, 6):
        state.pop("_loss_function_", None)
    for name in ("loss_function", "loss_function_", "standard_coef_", "standard_intercept_", "average_coef_",
                 "average_intercept_"):  # fmt: skip
        state.pop(name, None)


def density(state: State, then: Version) -> None:
    tree = state.get("tree_")
    if type(tree) is Call:
        state.setdefault("bandwidth_", state.get("bandwidth"))
        points = array_of(sequence(tree.state, "the state of a search tree")[0])
        state.setdefault("n_features_in_", points.shape[-1])


def search(state: State, then: Version) -> None:
    """That the estimator scores itself was a function, and is an object since 1.3."""
    score = state.get("scorer_")
    if type(score) is Global and score.name == "_passthrough_scorer":
        kept = {"_estimator": state.get("estimator")}
        state["scorer_"] = made("sklearn.metrics._scorer:_PassthroughScorer", kept)
    refit = state.get("refit")
    if type(refit) is Global and refit.name == "_refit_callable":
        state["refit"] = True


def dummy(state: State, then: Version) -> None:
    state.setdefault("_strategy", state.get("strategy"))


def envelope(state: State, then: Version) -> None:
    """Outliers lie beyond an offset since 0.20, and beyond a threshold of distances before."""
    if "threshold_" in state and "offset_" not in state:
        state["offset_"] = -number_of(state["threshold_"], "the threshold")
    state.pop("threshold_", None)


def gaussian_process(state: State, then: Version) -> None:
    """Targets are divided by their deviation since 0.23."""
    targets = state.get("y_train_")
    if is_array(targets):
        state.setdefault("_y_train_std", np.ones(array_of(targets).shape[1:] or 1))


def clusters(state: State, then: Version) -> None:
    if "cluster_centers_" in state:
        state.setdefault("_n_threads", 1)


def radius(state: State, then: Version) -> None:
    if "classes_" in state and "outlier_label_" not in state:
        label, several = state.get("outlier_label"), type(state["classes_"]) is list
        state["outlier_label_"] = (
            None if label is None else [label] * (len(state["classes_"]) if several else 1)
        )


def discriminant(state: State, then: Version) -> None:
    """Probabilities of several classes are a softmax since 0.21."""
    classes = state.get("classes_")
    if then < (0, 21) and is_array(classes) and len(array_of(classes)) > 2:
        raise NotReadError(
            "linear discriminant analysis of several classes has other probabilities under scikit-learn of "
            "today; fit it again"
        )


def voting(state: State, then: Version) -> None:
    state.pop("named_estimators", None)  # a property of the class since 0.20


def centroids(state: State, then: Version) -> None:
    """Priors are new in 1.6; before, all classes were as likely."""
    if "classes_" in state and "centroids_" in state:
        classes = len(array_of(state["classes_"]))
        state.setdefault("class_prior_", np.full(classes, 1.0 / classes))


def ridge_classifier(state: State, then: Version) -> None:
    binarizer = state.get("_label_binarizer")
    if type(binarizer) is Call:
        state.setdefault("classes_", attributes_of(binarizer).get("classes_"))


def stacking(state: State, then: Version) -> None:
    rename(state, _le="_label_encoder")


def generalized(name: str) -> Any:
    """Of a generalized linear model: its loss is an object of today since 1.1."""

    def change(state: State, then: Version) -> None:
        rename(state, _linear_loss="_linear_loss_before")
        state.pop("_linear_loss_before", None)
        state.pop("_family_instance", None)
        state.pop("_link_instance", None)
        if "coef_" not in state or "_base_loss" in state:
            return
        power = number_of(state.get("power", 0.0), "the power")
        plain = name == "HalfTweedieLoss" and (
            state.get("link") == "identity" or (state.get("link") in (None, "auto") and power <= 0)
        )
        numbers = (power,) if name == "HalfTweedieLoss" else ()
        state["_base_loss"] = loss("HalfTweedieLossIdentity" if plain else name, None, *numbers)

    return change


CHANGES: dict[str, Callable[[State, Version], None]] = {
    "IsotonicRegression": isotonic,
    "_CalibratedClassifier": calibrated,
    "SVC": partial(support, regression=False),
    "NuSVC": partial(support, regression=False),
    "SVR": partial(support, regression=True),
    "NuSVR": partial(support, regression=True),
    "OneClassSVM": partial(support, regression=True),
    "GaussianNB": naive,
    "SGDClassifier": gradients,
    "SGDRegressor": gradients,
    "SGDOneClassSVM": gradients,
    "Perceptron": gradients,
    "PassiveAggressiveClassifier": gradients,
    "PassiveAggressiveRegressor": gradients,
    "KernelDensity": density,
    "NearestCentroid": centroids,
    "RidgeClassifier": ridge_classifier,
    "RidgeClassifierCV": ridge_classifier,
    "StackingClassifier": stacking,
    "PoissonRegressor": generalized("HalfPoissonLoss"),
    "GammaRegressor": generalized("HalfGammaLoss"),
    "TweedieRegressor": generalized("HalfTweedieLoss"),
    "LogisticRegression": logistic,
    "LogisticRegressionCV": logistic,
    "EllipticEnvelope": envelope,
    "GridSearchCV": search,
    "RandomizedSearchCV": search,
    "HalvingGridSearchCV": search,
    "HalvingRandomSearchCV": search,
    "DummyClassifier": dummy,
    "GaussianProcessRegressor": gaussian_process,
    "KMeans": clusters,
    "MiniBatchKMeans": clusters,
    "BisectingKMeans": clusters,
    "RadiusNeighborsClassifier": radius,
    "LinearDiscriminantAnalysis": discriminant,
    "VotingClassifier": voting,
}
"""Changes of one class, by its name; each changes the attributes in place, and knows their version."""
