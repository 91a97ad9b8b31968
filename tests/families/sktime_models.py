"""One object of sktime of each kind, fitted, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Made = tuple[Any, Callable[[Any], Any]]
"""An object, and the question to ask it."""


def series() -> Any:
    draw = np.random.default_rng(0)
    days = pd.period_range("2020-01", periods=48, freq="M")
    return pd.Series(50 + np.arange(48) + 5 * np.sin(np.arange(48)) + draw.normal(size=48), days, name="sold")


def panel() -> tuple[Any, Any]:
    """Twelve series of 20 steps, and two classes of them."""
    draw = np.random.default_rng(0)
    kinds = np.array(["flat", "steep"])[np.arange(12) % 2]
    return draw.normal(size=(12, 1, 20)) + (kinds == "steep")[:, None, None] * np.arange(20), kinds


def _forecaster(made: Any) -> Made:
    return made.fit(series(), fh=[1, 2, 5]), lambda found: (
        found.predict(),
        found.clone().fit(series()).cutoff,
    )


def _naive() -> Made:
    from sktime.forecasting.naive import NaiveForecaster

    return _forecaster(NaiveForecaster(strategy="drift", sp=12))


def _piped() -> Made:
    from sklearn.linear_model import LinearRegression
    from sktime.forecasting.compose import TransformedTargetForecaster, make_reduction
    from sktime.transformations.series.boxcox import LogTransformer
    from sktime.transformations.series.detrend import Detrender

    steps = [("log", LogTransformer()), ("trend", Detrender())]
    reduced = make_reduction(LinearRegression(), window_length=6, strategy="recursive")
    return _forecaster(TransformedTargetForecaster([*steps, ("forecast", reduced)]))


def _searched() -> Made:
    from sktime.forecasting.model_selection import ForecastingGridSearchCV
    from sktime.forecasting.naive import NaiveForecaster
    from sktime.performance_metrics.forecasting import MeanAbsoluteError
    from sktime.split import SlidingWindowSplitter

    splits = SlidingWindowSplitter(window_length=24, step_length=12, fh=[1, 2, 5])
    grid = {"strategy": ["last", "mean"]}
    return _forecaster(ForecastingGridSearchCV(NaiveForecaster(), splits, grid, scoring=MeanAbsoluteError()))


def _statistical() -> Made:
    from sktime.forecasting.sarimax import SARIMAX

    return _forecaster(SARIMAX(order=(1, 1, 0)))


def _vectors() -> Made:
    from sktime.forecasting.var import VAR

    both = pd.DataFrame({"one": series(), "two": series() ** 2})
    return VAR().fit(both, fh=[1, 2]), lambda found: found.predict()


def _many() -> Made:
    from sktime.forecasting.naive import NaiveForecaster

    both = pd.DataFrame({"one": series(), "two": series() ** 2})
    made = NaiveForecaster(strategy="mean", window_length=4).fit(both, fh=[1])
    return made, lambda found: found.predict_interval(coverage=0.8)


def _transformer() -> Made:
    from sktime.transformations.series.boxcox import BoxCoxTransformer

    return BoxCoxTransformer(sp=2).fit(series()), lambda found: found.transform(series())


def _classifier() -> Made:
    from sktime.classification.interval_based import TimeSeriesForestClassifier

    made = TimeSeriesForestClassifier(n_estimators=4, random_state=0).fit(*panel())
    return made, lambda found: found.predict_proba(panel()[0])


def _regressor() -> Made:
    from sktime.regression.interval_based import TimeSeriesForestRegressor

    rows, kinds = panel()
    made = TimeSeriesForestRegressor(n_estimators=4, random_state=0).fit(rows, np.arange(len(kinds)))
    return made, lambda found: found.predict(rows)


def _clusterer() -> Made:
    from sktime.clustering.dbscan import TimeSeriesDBSCAN
    from sktime.dists_kernels import AggrDist, ScipyDist

    made = TimeSeriesDBSCAN(AggrDist(ScipyDist()), eps=40.0, min_samples=2).fit(panel()[0])
    return made, lambda found: found.get_fitted_params()["labels"]


def _detector() -> Made:
    from sktime.detection.lof import SubLOF

    rows = series().reset_index(drop=True).to_frame()
    made = SubLOF(n_neighbors=5, window_size=10, novelty=True).fit(rows)
    return made, lambda found: found.predict(rows)


def _parameters() -> Made:
    from sktime.param_est.stationarity import StationarityADF

    return StationarityADF().fit(series()), lambda found: found.get_fitted_params()


def _aligner() -> Made:
    from sktime.alignment.naive import AlignerNaive

    frames = [series().reset_index(drop=True).to_frame()[:4], series().reset_index(drop=True).to_frame()[:6]]
    return AlignerNaive().fit(frames), lambda found: found.get_alignment()


def _distance() -> Made:
    from sktime.dists_kernels.scipy_dist import ScipyDist

    return ScipyDist("cityblock"), lambda found: found.transform(np.arange(6.0).reshape(3, 2))


def _splitter() -> Made:
    from sktime.split import ExpandingWindowSplitter

    made = ExpandingWindowSplitter(fh=[1, 2], initial_window=12, step_length=12)
    return made, lambda found: [list(map(list, each)) for each in found.split(series())]


def _metric() -> Made:
    from sktime.performance_metrics.forecasting import MeanAbsoluteScaledError

    made = MeanAbsoluteScaledError(sp=12)
    return made, lambda found: float(found(series()[24:], series()[24:] + 1, y_train=series()[:24]))


KINDS: dict[str, Callable[[], Made]] = {
    "forecaster": _naive, "forecasting pipeline": _piped, "search": _searched, "state space": _statistical,
    "vectors": _vectors,
    "several columns": _many, "transformer": _transformer, "classifier": _classifier,
    "regressor": _regressor, "clusterer": _clusterer, "detector": _detector, "parameters": _parameters,
    "aligner": _aligner, "distance": _distance, "splitter": _splitter, "metric": _metric,
}  # fmt: skip


def answer(kind: str, found: Any) -> Any:
    """What an object of this kind answers."""
    return KINDS[kind]()[1](found)
