"""Estimators of libraries that build on scikit-learn, fitted to what they take, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import saver
from saver import trust

FAMILIES = ("imblearn", "category_encoders", "feature_engine")

ARGUMENTS: dict[str, dict[str, Any]] = {
    "MathFeatures": {"variables": ["one", "two"], "func": ["sum", "mean"]},
    "RelativeFeatures": {"variables": ["one"], "reference": ["two"], "func": ["sub"]},
    "DatetimeSubtraction": {"variables": ["day"], "reference": ["day"]},
    "ArbitraryDiscretiser": {"binning_dict": {"one": [0.0, 0.5, 1.0]}},
    "ArbitraryOutlierCapper": {"max_capping_dict": {"one": 0.9}},
    "DropFeatures": {"features_to_drop": ["one"]},
    "DecisionTreeFeatures": {"regression": False},
    "DecisionTreeDiscretiser": {"regression": False},
    "DecisionTreeEncoder": {"regression": False},
    "GeoDistanceFeatures": {"lat1": "one", "lon1": "two", "lat2": "two", "lon2": "one"},
    "StringSimilarityEncoder": {"top_categories": 2},
    "OrdinalEncoder": {}, "LagFeatures": {"variables": ["one"], "periods": [1, 2]},
    "WindowFeatures": {"variables": ["one"], "window": 3},
    "ExpandingWindowFeatures": {"variables": ["one"]},
    "TextFeatures": {"variables": ["kind"]},
    "ProbeFeatureSelection": {"n_probes": 1},
    "PowerTransformer": {"variables": ["one"]},
    "HashingEncoder": {"max_process": 1, "process_creation_method": "fork"},
    "SMOTENC": {"categorical_features": [2]},
}  # fmt: skip


def frame() -> tuple[Any, Any]:
    """Numbers, categories and days, of 60 rows; and two classes, one of them rare."""
    draw = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=60)
    found = pd.DataFrame(
        {
            "one": draw.uniform(0.1, 0.9, 60), "two": draw.uniform(0.1, 0.9, 60) ** 2,
            "kind": np.array(["red", "green", "blue"])[draw.integers(0, 3, 60)],
            "other": np.array(["left", "right"])[draw.integers(0, 2, 60)],
            "day": days, "three": draw.normal(size=60),
        }
    )  # fmt: skip
    target = pd.Series((draw.uniform(size=60) < 0.3).astype(int), name="target")
    return found, target


def names(family: str) -> list[str]:
    path = Path(saver.__file__).parent / "families" / family / "classes.json"
    return list(json.loads(path.read_text())["codecs"]["sklearn.estimator"])


def made(name: str) -> Any:
    """The estimator with the arguments that it needs; None for what cannot be made alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    cls = trust.resolve(name)
    steps = [("scale", StandardScaler()), ("fit", LogisticRegression())]
    given = {
        "Pipeline": {"steps": steps}, "SklearnTransformerWrapper": {"transformer": StandardScaler()},
        "RecursiveFeatureElimination": {"estimator": LogisticRegression(), "scoring": "accuracy"},
        "RecursiveFeatureAddition": {"estimator": LogisticRegression(), "scoring": "accuracy"},
        "SelectByShuffling": {"estimator": LogisticRegression(), "scoring": "accuracy", "random_state": 0},
        "SelectBySingleFeaturePerformance": {"estimator": LogisticRegression(), "scoring": "accuracy"},
        "SelectByTargetMeanPerformance": {"scoring": "accuracy"},
        "SVMSMOTE": {"svm_estimator": SVC()},
    }  # fmt: skip
    given["ProbeFeatureSelection"] = {"estimator": LogisticRegression(), "scoring": "accuracy", "n_probes": 1}
    arguments = {**ARGUMENTS.get(name.rpartition(":")[2], {}), **given.get(name.rpartition(":")[2], {})}
    try:
        found = cls(**arguments)
    except TypeError:
        return None
    if "random_state" in vars(found):
        found.random_state = 0
    return found


def fitted(name: str) -> tuple[Any, Any]:
    """The estimator, fitted to the first of a few tables that it takes, and that table; else None."""
    whole, target = frame()
    numbers = whole[["one", "two", "three"]]
    missing = whole.copy()
    missing.loc[3, ["one", "kind"]] = None
    for data in (whole, numbers, numbers[["one", "two"]], whole[["kind", "other"]], missing, whole[["day"]]):
        estimator = made(name)
        if estimator is None:
            return None, None
        try:
            if hasattr(estimator, "fit_resample") and not hasattr(estimator, "predict"):
                estimator.fit_resample(data, target)
            else:
                estimator.fit(data, target)
            next(answers(estimator, data))
        except Exception:  # it takes other data
            continue
        return estimator, data
    return None, None


def answers(estimator: Any, data: Any) -> Iterator[Any]:
    """What it makes of the data, by each of its methods."""
    np.random.seed(0)
    for method in ("transform", "predict", "predict_proba"):
        if hasattr(estimator, method):
            yield getattr(estimator, method)(data.copy())
    if hasattr(estimator, "fit_resample"):
        yield estimator.fit_resample(data.copy(), frame()[1])
