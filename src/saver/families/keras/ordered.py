"""The variables of a model in the order of Keras' older HDF5 files: by layer, trainable ones first."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def put(model: Any, arrays: list[list[NDArray[Any]]]) -> None:
    """Give the layers of a model these variables, those of the model itself last; layers without any are left
    out on both sides, as Keras does. Raises ValueError if they do not fit."""
    *layers, own = arrays
    lists = [each for layer in getattr(model, "layers", ()) if (each := _weights(layer))]
    layers = [each for each in layers if each]
    if len(lists) != len(layers):
        raise ValueError(f"{len(layers)} layers with variables were saved, and there are {len(lists)}")
    held = {id(variable) for variable in model.weights}
    variables = [*model._trainable_variables, *model._non_trainable_variables]
    lists.append([variable for variable in variables if id(variable) in held] if own else [])
    for at, (found, saved) in enumerate(zip(lists, [*layers, own], strict=True)):
        if len(found) != len(saved):
            raise ValueError(f"layer {at}: {len(saved)} variables were saved, and there are {len(found)}")
        for variable, array in zip(found, saved, strict=True):
            if tuple(variable.shape) != array.shape:
                raise ValueError(
                    f"layer {at}: a variable was saved as {array.shape}, and is {tuple(variable.shape)}"
                )
            variable.assign(array)
    for layer in getattr(model, "layers", ()):
        if hasattr(layer, "finalize_state") and _weights(layer):
            layer.finalize_state()


def _weights(layer: Any) -> list[Any]:
    return [*layer.trainable_weights, *layer.non_trainable_weights]
