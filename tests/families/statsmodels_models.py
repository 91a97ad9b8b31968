"""Fitted models of statsmodels, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.datasets import load_diabetes
from statsmodels.regression.quantile_regression import QuantReg
from statsmodels.tsa.ar_model import AutoReg


def data(frames: bool = False) -> tuple[Any, Any]:
    features, target = load_diabetes(return_X_y=True, as_frame=True)
    features, target = sm.add_constant(features[["age", "bmi", "bp"]][:120] * 10), target[:120] / 50
    return (features, target) if frames else (features.to_numpy(), target.to_numpy())


def _glm(family: Any) -> Callable[[], Any]:
    def made() -> Any:
        features, target = data()
        binary = isinstance(family, sm.families.Binomial)
        return sm.GLM(target > 2 if binary else target, features, family=family).fit()

    return made


def _robust(name: str) -> Any:
    features, target = data()
    return sm.RLM(target, features, M=getattr(sm.robust.norms, name)()).fit()


def _counts() -> Any:
    return np.round(data()[1]).astype(int)


FAMILIES = {
    "gaussian": sm.families.Gaussian(), "binomial": sm.families.Binomial(), "poisson": sm.families.Poisson(),
    "gamma": sm.families.Gamma(sm.families.links.Log()), "tweedie": sm.families.Tweedie(var_power=1.5),
    "inverse gaussian": sm.families.InverseGaussian(sm.families.links.Log()),
    "negative binomial": sm.families.NegativeBinomial(alpha=0.5),
    "probit": sm.families.Binomial(sm.families.links.Probit()),
    "cauchy": sm.families.Binomial(sm.families.links.Cauchy()),
}  # fmt: skip
NORMS = ("HuberT", "TukeyBiweight", "AndrewWave", "Hampel", "LeastSquares", "RamsayE", "TrimmedMean")

FITTED: dict[str, Callable[[], Any]] = {
    "OLS": lambda: sm.OLS(data()[1], data()[0]).fit(),
    "OLS of frames": lambda: sm.OLS(data(True)[1], data(True)[0]).fit(),
    "robust errors": lambda: sm.OLS(data()[1], data()[0]).fit(cov_type="HC3"),
    "WLS": lambda: sm.WLS(data()[1], data()[0], weights=np.linspace(1, 2, 120)).fit(),
    "GLS": lambda: sm.GLS(data()[1], data()[0], sigma=np.linspace(1, 2, 120)).fit(),
    "GLSAR": lambda: sm.GLSAR(data()[1], data()[0], rho=1).iterative_fit(2),
    "regularized": lambda: sm.OLS(data()[1], data()[0]).fit_regularized(alpha=0.01),
    "QuantReg": lambda: QuantReg(data()[1], data()[0]).fit(q=0.3),
    "Logit": lambda: sm.Logit(data()[1] > 2, data()[0]).fit(disp=0),
    "Logit of frames": lambda: sm.Logit(data(True)[1] > 2, data(True)[0]).fit(disp=0),
    "Probit": lambda: sm.Probit(data()[1] > 2, data()[0]).fit(disp=0),
    "MNLogit": lambda: sm.MNLogit(np.minimum(_counts(), 3), data()[0]).fit(disp=0),
    "Poisson": lambda: sm.Poisson(_counts(), data()[0]).fit(disp=0),
    "AutoReg": lambda: AutoReg(data()[1], 2).fit(),
    **{f"GLM {name}": _glm(family) for name, family in FAMILIES.items()},
    **{f"RLM {name}": partial(_robust, name) for name in NORMS},
}  # fmt: skip


def answers(found: Any) -> Iterator[Any]:
    """What results say: parameters, errors, intervals, predictions, and what they print."""
    for name in ("params", "bse", "pvalues", "llf", "aic", "fittedvalues", "resid"):
        try:
            yield name, getattr(found, name)
        except Exception as error:
            yield name, type(error).__name__
    for name in ("conf_int", "cov_params", "predict"):
        try:
            yield name, getattr(found, name)()
        except Exception as error:
            yield name, type(error).__name__
    try:
        yield "summary", [table.as_text() for table in found.summary().tables[1:]]
    except Exception as error:
        yield "summary", type(error).__name__


def plain(value: Any) -> Any:
    """With arrays and frames as bytes."""
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return list(map(str, value.index)), value.to_numpy().tobytes()
    return value.tobytes() if isinstance(value, np.ndarray) else value
