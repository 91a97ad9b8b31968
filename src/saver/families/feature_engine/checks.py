"""Which functions an object of feature-engine may hold, beside what any estimator may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_OF_COLUMNS = frozenset(("array", "elementwise", "number"))


def of_columns(obj: Any) -> Mapping[str, frozenset[str]]:
    """What pandas aggregates columns with."""
    return {"func": _OF_COLUMNS, "functions": _OF_COLUMNS}


def of_pairs(obj: Any) -> Mapping[str, frozenset[str]]:
    """What tells how alike two columns are."""
    return {"method": frozenset(("distance",))}


CALLABLES: dict[str, Callable[[Any], Mapping[str, frozenset[str]]]] = {
    "feature_engine.creation.math_features:MathFeatures": of_columns,
    "feature_engine.timeseries.forecasting.expanding_window_features:ExpandingWindowFeatures": of_columns,
    "feature_engine.timeseries.forecasting.window_features:WindowFeatures": of_columns,
    "feature_engine.selection.drop_correlated_features:DropCorrelatedFeatures": of_pairs,
    "feature_engine.selection.smart_correlation_selection:SmartCorrelatedSelection": of_pairs,
}
