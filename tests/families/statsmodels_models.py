"""Fitted models of statsmodels, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.datasets import load_diabetes
from statsmodels.discrete.conditional_models import ConditionalLogit, ConditionalMNLogit, ConditionalPoisson
from statsmodels.discrete.truncated_model import (
    HurdleCountModel,
    TruncatedLFGeneralizedPoisson,
    TruncatedLFNegativeBinomialP,
    TruncatedLFPoisson,
)
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.regression.quantile_regression import QuantReg
from statsmodels.tsa.ar_model import AutoReg, ar_select_order
from statsmodels.tsa.ardl import ARDL
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.seasonal import STL
from statsmodels.tsa.vector_ar.vecm import VECM


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


def series(columns: int = 1, frames: bool = False) -> Any:
    """Random walks of 60 steps; as a series with months, if `frames`."""
    walks = 30 + np.cumsum(np.random.default_rng(0).normal(size=(60, columns)), 0)
    if frames:
        return pd.Series(walks[:, 0], pd.period_range("2020-01", periods=60, freq="M"))
    return walks[:, 0] if columns == 1 else walks


def _ets(**settings: Any) -> Any:
    return ETSModel(series(frames=True), seasonal_periods=4, **settings).fit(disp=0)


SPACES: dict[str, Callable[[], Any]] = {
    "SARIMAX": lambda: sm.tsa.SARIMAX(series(), order=(1, 1, 1), seasonal_order=(1, 0, 0, 4)).fit(disp=0),
    "SARIMAX of months": lambda: sm.tsa.SARIMAX(series(frames=True), order=(1, 1, 0)).fit(disp=0),
    "SARIMAX with features": lambda: sm.tsa.SARIMAX(
        series(), exog=series(2)[:, 1:], order=(1, 0, 0), trend="c"
    ).fit(disp=0),
    "ARIMA": lambda: sm.tsa.ARIMA(series(frames=True), order=(1, 0, 1)).fit(),
    "UnobservedComponents": lambda: sm.tsa.UnobservedComponents(
        series(), "local linear trend", cycle=True
    ).fit(disp=0),
    "VARMAX": lambda: sm.tsa.VARMAX(series(2), order=(1, 0)).fit(disp=0, maxiter=5),
    "DynamicFactor": lambda: sm.tsa.DynamicFactor(series(2), k_factors=1, factor_order=1).fit(
        disp=0, maxiter=5
    ),
    "ExponentialSmoothing": lambda: sm.tsa.statespace.ExponentialSmoothing(series(), trend=True).fit(disp=0),
    "RecursiveLS": lambda: sm.RecursiveLS(series(), sm.add_constant(series(2)[:, 1])).fit(),
}  # fmt: skip

SERIES: dict[str, Callable[[], Any]] = {
    **SPACES,
    "ETS": lambda: _ets(error="add", trend="add", seasonal="add"),
    "ETS mul": lambda: _ets(error="mul", seasonal="mul"),
    "ETS damped": lambda: _ets(error="mul", trend="mul", damped_trend=True),
    "VAR": lambda: sm.tsa.VAR(series(2)).fit(2),
    "VECM": lambda: VECM(series(2), k_ar_diff=1).fit(),
    "ARDL": lambda: ARDL(series(), 1, series(2)[:, 1:], 1).fit(),
    "STL": lambda: STL(series(frames=True), period=4).fit(),
    "orders": lambda: ar_select_order(series(), 2),
}
"""Models of time series."""


def _zeros() -> Any:
    return np.where(np.arange(120) % 3, _counts(), 0)


def _inflated(name: str, **settings: Any) -> Any:
    return getattr(sm, name)(_zeros(), data()[0], **settings).fit(disp=0, maxiter=20)


def _ordered(kind: str) -> Any:
    return OrderedModel(np.minimum(_counts(), 3), data()[0][:, 1:], distr=kind).fit(disp=0, maxiter=20)


def _truncated(cls: Any) -> Any:
    return cls(np.maximum(_counts(), 1), data()[0]).fit(disp=0, maxiter=20)


def _hurdle(count: str, zero: str) -> Any:
    return HurdleCountModel(_zeros(), data()[0], dist=count, zerodist=zero).fit(disp=0, maxiter=20)


def _conditional(cls: Any, frames: bool = False, **settings: Any) -> Any:
    features, target = data(frames)[0], np.minimum(_counts(), 3) if cls is ConditionalMNLogit else _counts()
    target = (target > 2).astype(int) if cls is ConditionalLogit else target
    features = features.iloc[:, 1:] if frames else features[:, 1:]
    return cls(target, features, groups=np.repeat(np.arange(30), 4), **settings)


CONDITIONAL: dict[str, Callable[[], Any]] = {
    "ConditionalLogit": lambda: _conditional(ConditionalLogit).fit(disp=0),
    "ConditionalLogit of frames": lambda: _conditional(ConditionalLogit, True).fit(disp=0),
    "ConditionalLogit regularized": lambda: _conditional(ConditionalLogit).fit_regularized(alpha=0.1),
    "ConditionalPoisson": lambda: _conditional(ConditionalPoisson).fit(disp=0),
    "ConditionalPoisson offset": lambda: _conditional(ConditionalPoisson, offset=np.linspace(0, 1, 120)).fit(
        disp=0
    ),
    "ConditionalMNLogit": lambda: _conditional(ConditionalMNLogit).fit(disp=0, rng=0),
}
"""Models of groups, each with an intercept that is not estimated."""

COUNTS: dict[str, Callable[[], Any]] = {
    "ZeroInflatedPoisson": lambda: _inflated("ZeroInflatedPoisson"),
    "ZeroInflatedPoisson probit": lambda: _inflated("ZeroInflatedPoisson", inflation="probit"),
    "ZeroInflatedNegativeBinomialP": lambda: _inflated("ZeroInflatedNegativeBinomialP"),
    "ZeroInflatedGeneralizedPoisson": lambda: _inflated("ZeroInflatedGeneralizedPoisson"),
    "TruncatedLFPoisson": lambda: _truncated(TruncatedLFPoisson),
    "TruncatedLFNegativeBinomialP": lambda: _truncated(TruncatedLFNegativeBinomialP),
    "TruncatedLFGeneralizedPoisson": lambda: _truncated(TruncatedLFGeneralizedPoisson),
    **{
        f"HurdleCountModel {count} {zero}": partial(_hurdle, count, zero)
        for count in ("poisson", "negbin")
        for zero in ("poisson", "negbin")
    },
    "OrderedModel logit": lambda: _ordered("logit"),
    "OrderedModel probit": lambda: _ordered("probit"),
}
"""Models of counts with too many zeros or none, and of ordered classes."""

REGIMES: dict[str, Callable[[], Any]] = {
    "MarkovRegression": lambda: sm.tsa.MarkovRegression(series(), k_regimes=2).fit(disp=0),
    "MarkovRegression of variances": lambda: sm.tsa.MarkovRegression(
        np.diff(series()), k_regimes=2, switching_variance=True
    ).fit(disp=0),
    "MarkovAutoregression": lambda: sm.tsa.MarkovAutoregression(series(), k_regimes=2, order=1).fit(disp=0),
}
"""Models that switch between regimes."""

FITTED: dict[str, Callable[[], Any]] = {
    **COUNTS, **CONDITIONAL, **REGIMES,
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
    **SERIES,
}  # fmt: skip


def fitted(model: Any, **settings: Any) -> Any:
    """The parameters that a model finds: one of them begins at random."""
    np.random.seed(0)
    return model.fit(**settings).params


ASKED: dict[str, Callable[[Any], Any]] = {
    "forecast": lambda found: found.forecast(3),
    "several forecast": lambda found: found.forecast(series(2)[-2:], 3),
    "interval": lambda found: found.get_prediction(50, 62).conf_int(),
    "simulate": lambda found: found.simulate(5, random_state=np.random.default_rng(0)),
    "smoothed": lambda found: found.smoothed_state,
    "append": lambda found: found.append(series()[:3]).forecast(2),
    "fitted anew": lambda found: fitted(found.model, disp=0, maxiter=3),
    "impulse": lambda found: found.impulse_responses(3),
    "trend": lambda found: found.trend,
    "probabilities": lambda found: found.predict(which="prob"),
    "components": lambda found: (found.alpha, found.beta),
}
"""More to ask of some models; the name of the error, if a result has no answer to it."""


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
    for name, ask in ASKED.items():
        try:
            yield name, ask(found)
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
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.tobytes() if isinstance(value, np.ndarray) else value
