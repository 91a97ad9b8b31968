"""Keras in a training run: the generator that random operations use which got no seed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from keras.src.backend.common import global_state
from keras.src.layers.layer import Layer
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR, global_seed_generator

from saver.families.keras.arrays import numpy_of
from saver.families.keras.beside import BesideTarget, lost, own_state
from saver.framework import Framework, Rest


class KerasFramework(Framework):
    """Optimizers have no hooks before their steps, so variables are copied at once. What training depends on
    is in the models and in attributes of users' own layers, beside the global generator."""

    title = "Keras"
    deterministic = "keras.utils.set_random_seed(0)"

    def random_state(self) -> Any:
        generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        return {"seed": None if generator is None else [int(n) for n in numpy_of(generator.state)]}

    def random_continued(self, state: Any) -> Callable[[], None]:
        if type(state) is not dict or "seed" not in state:
            raise ValueError("the state of Keras' generator is not a dict with a seed")
        seed = state["seed"]
        if seed is None:
            return lambda: global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
        if type(seed) is not list or len(seed) != 2 or not all(type(number) is int for number in seed):
            raise ValueError("the state of Keras' generator does not consist of two whole numbers")
        numbers = np.array(seed, np.int64)

        def change() -> None:
            own = global_seed_generator().state
            own.assign(numbers.astype(own.dtype))

        return change

    def rest(self, objects: Mapping[str, Any], by_state: Collection[str]) -> Rest:
        models = _models(objects)
        state = {name: found for name, model in models.items() if (found := own_state(model))}
        return Rest(
            state, lost=tuple(f"{name}.{path}" for name, model in models.items() for path in lost(model))
        )

    def targets(self, objects: Mapping[str, Any]) -> tuple[Any, Any]:
        return BesideTarget(_models(objects)), BesideTarget({})


def _models(objects: Mapping[str, Any]) -> dict[str, Any]:
    return {name: obj for name, obj in objects.items() if isinstance(obj, Layer)}


FRAMEWORK = KerasFramework()
