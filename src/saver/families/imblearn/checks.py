"""Which functions an object of imbalanced-learn may hold, beside what any estimator may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def of_a_sampler(obj: Any) -> Mapping[str, frozenset[str]]:
    """It calls its function with features, classes and options, so that has to be the user's own."""
    return {"func": frozenset()}


CALLABLES: dict[str, Callable[[Any], Mapping[str, frozenset[str]]]] = {
    "imblearn.base:FunctionSampler": of_a_sampler
}
