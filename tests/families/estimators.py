"""An instance or more of every estimator of scikit-learn, which its own tests make, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn import linear_model, preprocessing
from sklearn.utils import all_estimators

try:
    from sklearn.frozen import FrozenEstimator
    from sklearn.utils._test_common.instance_generator import _construct_instances
except ImportError:  # before 1.6
    FrozenEstimator = _construct_instances = None

_RIDGE = linear_model.Ridge()


def named_instances(fitted: Any) -> Iterator[tuple[str, Any]]:
    """Names and estimators; `fitted` is one that can be frozen."""
    for name, cls in all_estimators():
        found = [FrozenEstimator(fitted)] if cls is FrozenEstimator else _constructed(name, cls)
        for number, estimator in enumerate(found):
            yield f"{name}-{number}", estimator


_OPTIONS: dict[str, dict[str, Any]] = {
    "CCA": {"n_components": 1},
    "PLSCanonical": {"n_components": 1},
    "PLSSVD": {"n_components": 1},
    "GaussianRandomProjection": {"n_components": 2},
    "SparseRandomProjection": {"n_components": 2},
    "ColumnTransformer": {"transformers": [("scale", preprocessing.StandardScaler(), [0, 1])]},
    "FeatureUnion": {"transformer_list": [("scale", preprocessing.StandardScaler())]},
    "GridSearchCV": {"estimator": _RIDGE, "param_grid": {"alpha": [0.1, 1.0]}},
    "Pipeline": {"steps": [("scale", preprocessing.StandardScaler()), ("ridge", _RIDGE)]},
    "RandomizedSearchCV": {"estimator": _RIDGE, "param_distributions": {"alpha": [0.1, 1.0]}, "n_iter": 2},
    "SparseCoder": {"dictionary": np.random.default_rng(0).normal(size=(4, 3))},
}


def _constructed(name: str, cls: Any) -> list[Any]:
    if _construct_instances is None:
        return [_construct_one(name, cls)]
    try:
        return list(_construct_instances(cls))
    except SkipTest:  # 1.6 cannot make one without arguments
        return [cls(**_OPTIONS[name])]


def _construct_one(name: str, cls: Any) -> Any:
    from sklearn.utils.estimator_checks import _construct_instance

    return cls(**_OPTIONS[name]) if name in _OPTIONS else _construct_instance(cls)
