"""Estimators within estimators: no other objects may be where methods are called by name.

A data frame has a `transform`, too, which takes the name of any of its other methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from saver.errors import kind_of
from saver.families.sklearn.checks.attributes import is_of, is_users_own, require

_ONE = frozenset(
    ("estimator", "estimator_", "base_estimator", "base_estimator_", "final_estimator", "final_estimator_",
     "best_estimator_", "regressor", "regressor_", "classifier", "classifier_", "transformer", "transformer_",
     "imputer", "imputer_", "initial_imputer_", "init_", "voting_estimator", "_estimator")
)  # fmt: skip
_MANY = frozenset(("estimators_", "calibrated_classifiers_", "pipelines_", "_transformers"))
_NAMED = frozenset(("steps", "transformers", "transformers_", "transformer_list", "estimators"))
"""Lists of `(name, estimator, …)`, or of estimators."""

_PLACES = _ONE | _MANY | _NAMED

_fit: set[type] = set()
"""Classes that were found to be allowed there."""


def members(estimator: Any) -> None:
    """Raise ValueError for an object other than an estimator where one is expected."""
    own = estimator.__dict__
    for name in own.keys() & _PLACES:
        for value in _held(name, own[name]):
            if type(value) not in _fit:
                require(_fits(value), f"{name} holds {kind_of(value)}, which is not an estimator")
                _fit.add(type(value))


def _held(name: str, value: Any) -> Iterator[Any]:
    if name in _ONE or type(value) not in (list, tuple, dict):
        if type(value).__module__ != "numpy":  # the checks of ensembles examine arrays of trees
            yield value
        return
    for item in value.values() if type(value) is dict else value:
        if name in _NAMED and type(item) is tuple and len(item) > 1:
            yield item[1]
        else:
            yield from item if type(item) in (list, tuple) else (item,)


def _fits(value: Any) -> bool:
    plain = value is None or type(value) in (str, bool, int, float, list, tuple, dict)
    return plain or is_of(value, "BaseEstimator") or is_of(value, type(value).__name__) or is_users_own(value)
