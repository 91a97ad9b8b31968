"""Writes estimators in ONNX, with skl2onnx."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from skl2onnx import convert_sklearn, get_latest_tested_opset_version
from skl2onnx.common.data_types import (
    BooleanTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.base import is_classifier

from saver.errors import IncompatibleError
from saver.families.sklearn.onnx_trees import converters
from saver.format import Export, Loss

_TYPES = {
    "f": FloatTensorType, "i": Int64TensorType, "u": Int64TensorType, "b": BooleanTensorType,
    "U": StringTensorType, "S": StringTensorType, "O": StringTensorType, "T": StringTensorType,
}  # fmt: skip
"""By the kind of a dtype. Floats have 32 bits: the runtime lacks many operators for those of 64."""

_OPERATORS = {"": get_latest_tested_opset_version(), "ai.onnx.ml": 3}
"""Of the operators for trees and the like, the version that every converter knows; of others, the newest."""

_GRAPH = "skl2onnx writes it as a graph that runtimes cannot run"

_WRONG = {
    "GaussianProcessClassifier": _GRAPH, "RadiusNeighborsClassifier": _GRAPH,
    "RadiusNeighborsRegressor": _GRAPH,
    "TunedThresholdClassifierCV": "skl2onnx leaves its threshold out",
}  # fmt: skip
"""What skl2onnx 1.20 writes, but not so that it predicts the same, and why not."""

_CLASS = re.compile(r"<class '([\w.]+)'>")


def export(export: Export) -> Sequence[Loss]:
    """Write a fitted estimator. Classifiers give a matrix of probabilities, not a list of dicts."""
    model, place = export.obj, export.place
    types = _types(model, export.example, place)
    for each in _nested(model):
        if type(each).__name__ in _WRONG:
            name = type(each).__name__
            raise IncompatibleError(f"{place}: {name} cannot be written as ONNX: {_WRONG[name]}")
        if getattr(each, "flatten_transform", False):  # of no effect on predictions, and not converted
            each.flatten_transform = False
    try:
        found = _converted(model, types)
    except (MissingShapeCalculator, MissingConverter) as error:
        named = _CLASS.search(str(error))
        what = named[1] if named else " ".join(str(error).split())[:200]
        raise IncompatibleError(
            f"{place}: skl2onnx has no converter for {what}; leave it out, or export another part"
        ) from error
    with open(export.out.path(""), "wb") as file:
        file.write(found.SerializeToString(deterministic=True))
    kind = f"{type(model).__module__.partition('.')[0]}.{type(model).__qualname__}"
    losses = [Loss(place, f"{kind}: all but what it computes; floats are float32")]
    own = {each.domain for each in found.functions}
    losses += [
        Loss(place, f"it takes a runtime that has operators of {each}, as ONNX Runtime does")
        for each in sorted({each.domain for each in found.opset_import} - {"", "ai.onnx.ml"} - own)
    ]
    if hasattr(model, "ranking_"):
        losses.append(Loss(place, "what it predicts: ONNX has which features it selects"))
    return losses


def _converted(model: Any, types: list[tuple[str, Any]]) -> Any:
    options = {id(model): {"zipmap": False}} if is_classifier(model) else None
    functions, shapes = converters()
    more = {"custom_conversion_functions": functions, "custom_shape_calculators": shapes}
    try:
        return convert_sklearn(model, initial_types=types, target_opset=_OPERATORS, options=options, **more)
    except NameError:  # there are classifiers that have no probabilities, and no such option
        return convert_sklearn(model, initial_types=types, target_opset=_OPERATORS, **more)


def _nested(model: Any) -> list[Any]:
    """The estimator and all that are its parameters."""
    try:
        return [model, *model.get_params(deep=True).values()]
    except AttributeError:
        return [model]


def _types(model: Any, example: Any, place: str) -> list[tuple[str, Any]]:
    """The inputs: a column each for a ColumnTransformer of a frame, otherwise one matrix."""
    columns = _columns(example)
    by_name = any(type(each).__name__ == "ColumnTransformer" for each in _nested(model))
    if columns is not None and by_name:
        return [(name, _type(column, place)([None, 1])) for name, column in columns.items()]
    width = getattr(model, "n_features_in_", None)
    if columns is not None:
        kind = np.result_type(*columns.values()) if columns else np.dtype("f4")
        return [("X", _type(np.zeros(0, kind), place)([None, len(columns)]))]
    if example is None and (width is None or (by_name and hasattr(model, "feature_names_in_"))):
        raise IncompatibleError(
            f"{place}: it does not say what its columns hold; pass some rows of what it was fitted on, as in "
            "example=X[:1] (--example FILE)"
        )
    if example is None:
        return [("X", FloatTensorType([None, int(width)]))]  # type: ignore[arg-type]
    rows = np.asarray(example)
    return [("X", _type(rows, place)([None, *rows.shape[1:]]))]


def _columns(example: Any) -> dict[str, Any] | None:
    """The columns of a frame or a dict; None for anything else."""
    if isinstance(example, Mapping):
        return {str(name): np.asarray(column) for name, column in example.items()}
    if hasattr(example, "columns") and hasattr(example, "dtypes"):
        return {str(name): np.asarray(example[name]) for name in example.columns}
    return None


def _type(column: Any, place: str) -> Any:
    found = _TYPES.get(column.dtype.kind)
    if found is None:
        raise IncompatibleError(f"{place}: skl2onnx has no inputs of the dtype {column.dtype}")
    return found
