"""Converters of skl2onnx for boosted histograms, whose numbers today's ONNX takes.

skl2onnx 1.20 gives flags of nodes as booleans, where ONNX 1.23 wants integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter, get_shape_calculator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor


def converters() -> tuple[dict[type, Callable[..., Any]], dict[type, Callable[..., Any]]]:
    """By class, the functions that convert, and those that find the shapes of outputs."""
    functions, shapes = {}, {}
    for cls in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        alias = sklearn_operator_name_map[cls]
        functions[cls], shapes[cls] = _whole(get_converter(alias)), get_shape_calculator(alias)
    return functions, shapes


def _whole(convert: Callable[..., Any]) -> Callable[..., Any]:
    def converted(scope: Any, operator: Any, container: Any) -> None:
        add = container.add_node

        def added(*args: Any, **attributes: Any) -> Any:
            return add(*args, **{name: _integers(value) for name, value in attributes.items()})

        container.add_node = added
        try:
            convert(scope, operator, container)
        finally:
            del container.add_node

    return converted


def _integers(value: Any) -> Any:
    """A list without booleans."""
    if isinstance(value, list) and any(isinstance(each, bool | np.bool_) for each in value):
        return [int(each) for each in value]
    return value
