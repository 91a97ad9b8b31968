"""Predictions with plain Python and NumPy: what every library has that says nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.predicting.contract import Column, Method, Predicting, Taken
from saver.schema import Schema


class Plain(Predicting):
    """Arrays, nested lists of numbers, lists of texts, dicts of those; models with `predict`."""

    def taken(self, example: Any) -> Taken | None:
        if isinstance(example, dict):
            return _several(example)
        if isinstance(example, (list, tuple)) and example and all(isinstance(each, str) for each in example):
            texts = Column(_objects(example), "str")
            return Taken("texts", {"text": texts}, len(example), lambda rows: [example[at] for at in rows])
        array = _numbers(example)
        if array is None or array.ndim == 0:
            return None
        return Taken("array", {"input": column_of(array)}, len(array), lambda rows: array[rows])

    def made(self, schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> Any:
        if schema.container in ("arrays", "frame"):
            return dict(arrays)
        (found,) = arrays.values()
        return found.tolist() if schema.container == "texts" else found

    def array(self, value: Any) -> NDArray[Any] | None:
        if isinstance(value, (np.ndarray, np.generic)):
            return np.asarray(value)
        if isinstance(value, (list, tuple, int, float, bool, str)):
            found = np.asarray(value)
            return found if found.dtype != object else None
        return None

    def methods(self, model: Any) -> Mapping[str, Method]:
        """`predict`, and `predict_proba` if there is one, of the class of the model: a file cannot put
        another function in their place."""
        kind = type(model)
        if not callable(getattr(kind, "predict", None)) or not hasattr(model, "predict"):
            return {}  # some classes have it only if what they hold does
        found = {"prediction": lambda inputs: kind.predict(model, inputs)}
        if hasattr(model, "predict_proba") and hasattr(kind, "predict_proba"):
            found["probability"] = lambda inputs: kind.predict_proba(model, inputs)
        return found

    def transform(self, model: Any) -> Method | None:
        kind = type(model)
        if not callable(getattr(kind, "transform", None)) or not hasattr(model, "transform"):
            return None
        return lambda inputs: kind.transform(model, inputs)


def column_of(array: NDArray[Any]) -> Column:
    """The column that an array is."""
    if array.dtype.kind in "OUT":
        return Column(_objects(array.tolist()).reshape(array.shape) if array.ndim == 1 else array, "str")
    return Column(array, array.dtype.name)


def _objects(values: Any) -> NDArray[Any]:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _numbers(example: Any) -> NDArray[Any] | None:
    if isinstance(example, (list, tuple)):
        found = np.asarray(example)
        return found if found.dtype.kind in "biufc" else None
    if isinstance(example, np.ma.MaskedArray):  # whose mask would be lost
        return None
    return np.asarray(example) if isinstance(example, np.ndarray) else None


def _several(example: Mapping[Any, Any]) -> Taken | None:
    arrays = {name: _numbers(value) for name, value in example.items() if isinstance(name, str)}
    found = {name: array for name, array in arrays.items() if array is not None and array.ndim > 0}
    if not found or len(found) != len(example):
        return None
    rows = len(next(iter(found.values())))
    columns = {name: column_of(array) for name, array in found.items()}
    return Taken("arrays", columns, rows, lambda rows: {name: array[rows] for name, array in found.items()})


PREDICTING = Plain()
