"""Models as they compute in inference, for formats that hold nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras.src.export.export_utils import get_input_signature
from keras.src.models.functional import Functional

from saver.errors import IncompatibleError
from saver.format import Export, Loss


def inputs_of(export: Export) -> list[Any]:
    """The shapes and dtypes of the inputs of the model, whose first axis may have any length.

    A model of the user's own class is called with the example first: it makes its variables then. Raises
    IncompatibleError for what is not a model, and if nobody says what its inputs are.
    """
    model = export.obj
    if not isinstance(model, keras.Model):
        raise IncompatibleError(
            f"{export.place}: {type(model).__name__} is not a model; put it in a keras.Sequential"
        )
    if isinstance(model, (keras.Sequential, Functional)) and model.built:
        return list(get_input_signature(model))
    if export.example is None:
        raise IncompatibleError(
            f"{export.place}: {type(model).__name__} does not say what its inputs are; pass some, as in "
            "example=np.zeros((1, 224, 224, 3), np.float32) (--example 1x224x224x3)"
        )
    example = export.example if isinstance(export.example, tuple) else (export.example,)
    arrays = keras.tree.map_structure(np.asarray, example)
    model(*arrays)
    return keras.tree.map_structure(  # type: ignore[no-any-return]
        lambda array: keras.InputSpec(shape=(None, *array.shape[1:]), dtype=str(array.dtype)), list(arrays)
    )


def write(export: Export, inputs: list[Any], folder: str) -> None:
    """Write the model as a SavedModel to a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow and Keras, about their own code
        export.obj.export(folder, format="tf_saved_model", verbose=False, input_signature=inputs)


def lost(export: Export) -> list[Loss]:
    """What such formats do not hold."""
    name = f"{type(export.obj).__module__}.{type(export.obj).__qualname__}"
    return [Loss(export.place, f"{name}: all but what it computes in inference")]


def fixed(inputs: Sequence[Any]) -> list[Any]:
    """The same inputs, of one row each."""
    return keras.tree.map_structure(  # type: ignore[no-any-return]
        lambda spec: keras.InputSpec(shape=(1, *spec.shape[1:]), dtype=spec.dtype, name=spec.name),
        list(inputs),
    )
