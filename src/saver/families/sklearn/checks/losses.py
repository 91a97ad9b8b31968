"""Losses in estimators: a wrong one returns other columns than those to which compiled code writes."""

from __future__ import annotations

from typing import Any

from saver.families.sklearn.checks.attributes import is_of, is_users_own, require, whole

_LINKS = {
    "HalfSquaredError": "IdentityLink", "AbsoluteError": "IdentityLink", "PinballLoss": "IdentityLink",
    "HuberLoss": "IdentityLink", "HalfPoissonLoss": "LogLink", "HalfGammaLoss": "LogLink",
    "HalfTweedieLoss": "LogLink", "HalfTweedieLossIdentity": "IdentityLink", "HalfBinomialLoss": "LogitLink",
    "HalfMultinomialLoss": "MultinomialLogit", "ExponentialLoss": "HalfLogitLink",
    "HalfBinomialLossArrayAPI": "LogitLink", "HalfMultinomialLossArrayAPI": "MultinomialLogit",
    "HalfPoissonLossArrayAPI": "LogLink",
}  # fmt: skip


def check_loss(loss: Any, *, classifies: bool, width: int | None) -> None:
    """Raise ValueError unless `loss` is one of scikit-learn, complete, for `width` columns of predictions."""
    if is_users_own(loss) and is_of(loss, "BaseLoss"):
        return
    name = type(loss).__name__
    require(name in _LINKS, "a loss is missing")
    link, compiled = loss.__dict__.get("link"), loss.__dict__.get("closs")
    require(
        type(link).__module__ == "sklearn._loss.link" and type(link).__name__ == _LINKS[name],
        f"{name} has the link of another loss",
    )
    from sklearn._loss import _loss as compiled_losses  # before 1.7, its classes had another `__module__`

    expected = getattr(compiled_losses, "Cy" + name.removesuffix("ArrayAPI"))
    require(type(compiled) is expected, f"{name} has the compiled code of another loss")
    require("is_multiclass" not in loss.__dict__, f"{name} has its own is_multiclass")
    many = name.startswith("HalfMultinomial")
    of_classes = many or name.startswith(("HalfBinomial", "Exponential"))
    require(of_classes == classifies, f"{name} is in an estimator of another kind")
    if width is not None:
        require(many == (width > 1), f"{name} does not fit {width} predictions in each round")
    if many and width is not None:
        require(whole(loss.__dict__.get("n_classes")) == width, f"{name} has another number of classes")


def generalized_linear(estimator: Any) -> None:
    """Check the loss with which scores are computed: one for classes would use targets as class numbers."""
    if "_base_loss" in estimator.__dict__:
        check_loss(estimator.__dict__["_base_loss"], classifies=False, width=1)
