"""Losses of today for boosted trees and generalized linear models whose own losses are gone."""

from __future__ import annotations

import math
from typing import Any

from saver.families.sklearn.old_values import State, made
from saver.pickled import Call, Global

_LOSS, _LINK, _COMPILED = "sklearn._loss.loss", "sklearn._loss.link", "sklearn._loss._loss"
_ANY = (-math.inf, math.inf, False, False)
_POSITIVE = (0, math.inf, False, False)
_NOT_NEGATIVE = (0, math.inf, True, False)
_PART, _WITHIN = (0, 1, True, True), (0, 1, False, False)
_SHAPES: dict[str, tuple[str, tuple[Any, ...], tuple[Any, ...], bool]] = {
    "HalfBinomialLoss": ("LogitLink", _PART, _WITHIN, False),
    "ExponentialLoss": ("HalfLogitLink", _PART, _WITHIN, False),
    "HalfMultinomialLoss": ("MultinomialLogit", _NOT_NEGATIVE, _WITHIN, False),
    "HalfSquaredError": ("IdentityLink", _ANY, _ANY, False),
    "AbsoluteError": ("IdentityLink", _ANY, _ANY, True),
    "HuberLoss": ("IdentityLink", _ANY, _ANY, True),
    "PinballLoss": ("IdentityLink", _ANY, _ANY, True),
    "HalfPoissonLoss": ("LogLink", _NOT_NEGATIVE, _POSITIVE, False),
    "HalfGammaLoss": ("LogLink", _POSITIVE, _POSITIVE, False),
    "HalfTweedieLoss": ("LogLink", _ANY, _POSITIVE, False),
    "HalfTweedieLossIdentity": ("IdentityLink", _ANY, _ANY, False),
}
"""Of each loss: its link, the ranges of targets and predictions, whether its Hessian is approximate."""


def loss(name: str, classes: int | None = None, *numbers: float) -> Call:
    """A loss of today. `numbers` are those that its compiled part takes: a quantile, a power."""
    link, targets, predictions, approximate = _SHAPES[name]
    state: State = {
        "closs": Call(Global(_COMPILED, f"Cy{name}"), numbers),
        "link": made(f"{_LINK}:{link}", {}),
        "n_classes": classes, "xp": None, "device": None,
        "approx_hessian": approximate, "constant_hessian": False,
        "interval_y_true": _interval(*targets), "interval_y_pred": _interval(*predictions),
    }  # fmt: skip
    if name == "HalfMultinomialLoss":
        state |= dict.fromkeys(("class_indexing_offsets", "y_true_int", "y_true_one_hot"))
    if name == "HuberLoss":
        state |= {"quantile": numbers[0], "closs": Call(Global(_COMPILED, "CyHuberLoss"), (1.0,))}
    return made(f"{_LOSS}:{name}", state)


def _interval(low: float, high: float, low_inclusive: bool, high_inclusive: bool) -> Call:
    state = {"low": low, "high": high, "low_inclusive": low_inclusive, "high_inclusive": high_inclusive}
    return made(f"{_LINK}:Interval", state)


_GRADIENTS, _HISTOGRAMS = "sklearn.ensemble._gb_losses", "sklearn.ensemble._hist_gradient_boosting.loss"
_OLD = {
    "LeastSquaresError": "HalfSquaredError", "LeastAbsoluteError": "AbsoluteError",
    "HuberLossFunction": "HuberLoss", "QuantileLossFunction": "PinballLoss",
    "BinomialDeviance": "HalfBinomialLoss", "MultinomialDeviance": "HalfMultinomialLoss",
    "ExponentialLoss": "ExponentialLoss", "LeastSquares": "HalfSquaredError",
    "LeastAbsoluteDeviation": "AbsoluteError", "Poisson": "HalfPoissonLoss",
    "BinaryCrossEntropy": "HalfBinomialLoss", "CategoricalCrossEntropy": "HalfMultinomialLoss",
}  # fmt: skip
_DISTRIBUTIONS = ("Normal", "Poisson", "Gamma", "InverseGaussian", "Tweedie")
_INITIAL = {
    "LogOddsEstimator": "Classifier", "ScaledLogOddsEstimator": "Classifier",
    "PriorProbabilityEstimator": "Classifier", "MeanEstimator": "Regressor", "QuantileEstimator": "Regressor",
    "ZeroEstimator": "Regressor",
}  # fmt: skip

MOVED: dict[str, str] = {
    **{
        f"{module}:{old}": f"{_LOSS}:{new}"
        for module in (
            _GRADIENTS,
            _HISTOGRAMS,
            _HISTOGRAMS.replace("._hist", ".hist"),
            "sklearn.ensemble.gradient_boosting",
        )
        for old, new in _OLD.items()
    },
    **{
        f"sklearn._loss.glm_distribution:{name}Distribution": f"{_LOSS}:HalfTweedieLoss"
        for name in _DISTRIBUTIONS
    },
    "sklearn._loss.glm_distribution:DistributionBoundary": f"{_LINK}:Interval",
    **{
        f"sklearn.linear_model._glm.link:{name}Link": f"{_LINK}:{name}Link"
        for name in ("Identity", "Log", "Logit")
    },
    **{
        f"sklearn.ensemble.gradient_boosting:{old}": f"sklearn.dummy:Dummy{new}"
        for old, new in _INITIAL.items()
    },
}
"""Under which names today's are read; the estimators that hold them get new ones."""
