"""The state of an optimizer that has not been built yet: it gets it when it is built.

An optimizer makes most of its variables for those that it trains, and only the caller has these.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from keras.src import backend
from keras.src.utils.module_utils import tensorflow
from numpy.typing import NDArray

Shapes = list[list[int]]


class Waiting:
    """Stands in the place of `build` of an optimizer, once: builds it for variables of these shapes, and then
    gives it its state."""

    def __init__(self, optimizer: Any, arrays: list[NDArray[Any]], trained: Shapes) -> None:
        self._optimizer, self.arrays, self.trained = optimizer, arrays, trained

    def __call__(self, variables: Any) -> None:
        optimizer, variables = self._optimizer, list(variables)
        found = shapes_of(variables)
        if found != self.trained:
            raise ValueError(
                f"the optimizer was saved when it trained {len(self.trained)} variables of the shapes "
                f"{str(self.trained)[:120]}; build it for those, in that order, not for {str(found)[:120]}"
            )
        forget(optimizer)
        type(optimizer).build(optimizer, variables)
        optimizer.built = True
        assign(optimizer.variables, self.arrays)


def shapes_of(variables: Any) -> Shapes:
    """The shapes of variables of Keras or of the backend."""
    return [[int(size) for size in variable.shape] for variable in variables]


def waiting(optimizer: Any) -> Waiting | None:
    """What an optimizer waits for; None if nothing."""
    found = vars(optimizer).get("build")
    return found if type(found) is Waiting else None


def wait(optimizer: Any, arrays: list[NDArray[Any]], trained: Shapes) -> None:
    """Let an optimizer that was not built get this state when it is built. Those of its variables that it has
    already, such as the count of its steps, get their values now."""
    vars(optimizer)["build"] = Waiting(optimizer, arrays, trained)
    here = optimizer.variables
    if len(here) == len(optimizer._variables):  # those of an optimizer within others stand elsewhere later
        assign(here, arrays[: len(here)])


def forget(optimizer: Any) -> None:
    """Let an optimizer wait for nothing."""
    vars(optimizer).pop("build", None)


def assign(variables: list[Any], arrays: list[NDArray[Any]]) -> None:
    """Give variables their values, now, also while TensorFlow traces a function. Raises ValueError if they do
    not fit."""
    if len(variables) != len(arrays):
        raise ValueError(f"the optimizer has {len(variables)} variables, and {len(arrays)} were saved")
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape) != array.shape:
            raise ValueError(
                f"a variable of the optimizer was saved as {array.shape}, and is {tuple(variable.shape)}"
            )
    with _at_once():
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(np.asarray(array))


def _at_once() -> AbstractContextManager[Any]:
    if backend.backend() == "tensorflow":
        return tensorflow.init_scope()  # type: ignore[no-any-return]
    return nullcontext()
