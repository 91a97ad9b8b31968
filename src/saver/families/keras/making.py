"""Models and layers from configurations that were checked, by Keras' own functions."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
from keras import saving
from keras.initializers import Zeros
from keras.src import backend
from keras.src.backend.common import global_state
from keras.src.layers.layer import Layer
from keras.src.optimizers.base_optimizer import BaseOptimizer
from keras.src.saving import serialization_lib
from keras.src.trainers.trainer import Trainer

from saver.errors import kind_of, with_article
from saver.families.keras.plain import plain
from saver.tree import EXACT_INTEGER

_COMPILED = frozenset(
    (
        "optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly",
        "steps_per_execution", "jit_compile", "auto_scale_loss",
    )
)  # fmt: skip


_SEED = "seed_generator_state"
"""Keras' name for the position of a random generator."""


def configuration(root: Any) -> tuple[Any, Any]:
    """The configuration of a model or layer, and how it was compiled; None if it was not."""
    with serialization_lib.ObjectSharingScope(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is refused anyway
        config = serialization_lib.serialize_keras_object(root)
    compiled = config.pop("compile_config", None) or None
    return plain(config, {}), plain(compiled, {})


def made(config: Any, custom: Mapping[str, Any], charge: Callable[[int], None]) -> Any:
    """The model or layer of a checked configuration, not compiled. ValueError if it is another object.

    `charge` gets the bytes of each variable before there is memory for it: a few numbers of a
    configuration may ask for more than a machine has. Variables of the user's classes, which may be made from
    values, are not charged.
    """
    if custom:
        return _made(config, custom, Layer)
    with _without_values(charge) as waiting:
        found = _made(copy.deepcopy(config), custom, Layer)
    if backend.backend() == "torch":  # whose modules would keep what variables are without values
        return _made(config, custom, Layer)
    for variable in waiting:
        if variable.name != _SEED:  # which files of Keras leave as the configuration has it
            variable._initializer = Zeros()  # what was saved comes next
        variable._deferred_initialize()
    return found


def made_optimizer(config: Any, custom: Mapping[str, Any]) -> Any:
    """The optimizer of a checked configuration, not built. ValueError if it is another object."""
    return _made(config, custom, BaseOptimizer)


def _made(config: Any, custom: Mapping[str, Any], kind: type) -> Any:
    own = dict(custom)
    with serialization_lib.ObjectSharingScope(), saving.custom_object_scope(own):
        found = serialization_lib.deserialize_keras_object(config, custom_objects=own, safe_mode=True)
    if not isinstance(found, kind):
        raise ValueError(
            f"the configuration is that of {kind_of(found)}, not of {with_article(kind.__name__)}"
        )
    return found


class _Waiting(list[Any]):
    """The variables without values, which Keras appends when it makes them."""

    def __init__(self, charge: Callable[[int], None]) -> None:
        self._charge = charge

    def append(self, variable: Any) -> None:
        self._charge(math.prod(variable._shape) * 8)
        super().append(variable)


@contextmanager
def _without_values(charge: Callable[[int], None]) -> Iterator[list[Any]]:
    """Variables that are made within get no values; yields them."""
    name, waiting = "uninitialized_variables", _Waiting(charge)
    others = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, waiting)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield waiting
    finally:
        global_state.set_global_attribute(name, others)


def check_settings(model: Any, config: Any) -> None:
    """Raise ValueError unless a model may have been compiled so by Keras' own method: it takes settings as
    they are, and comes to use them at the first step."""
    if getattr(type(model), "compile", None) is not Trainer.compile:
        return
    if type(config) is not dict or not set(config) <= _COMPILED:
        raise ValueError("a model was compiled with settings that Keras does not have")
    steps = config.get("steps_per_execution")
    if steps is not None and (not isinstance(steps, int) or not 1 <= steps <= EXACT_INTEGER):
        raise ValueError(f"a model was compiled with {steps!r:.40} as steps_per_execution; give it a number")
    for key in ("run_eagerly", "jit_compile", "auto_scale_loss"):
        if config.get(key) not in (True, False, None, "auto"):
            raise ValueError(f"a model was compiled with {config[key]!r:.40} as {key}; give it True or False")
    if isinstance(config.get("loss"), (int, float)):
        raise ValueError(f"a model was compiled with {config['loss']!r:.40} as its loss; name a loss")
    if isinstance(config.get("loss_weights"), str):
        raise ValueError("a model was compiled with a text as loss_weights; give it a list of numbers")


def compile(model: Any, config: Any, custom: Mapping[str, Any]) -> None:
    """Compile a model as it was compiled. Its optimizer is not built: that is done once, for the variables
    that it trained."""
    if not isinstance(model, Trainer):
        raise ValueError(f"{kind_of(model)} is not a model that can be compiled")
    with serialization_lib.ObjectSharingScope(), saving.custom_object_scope(dict(custom)):
        if type(model).compile is not Trainer.compile:
            model.compile_from_config(config)
            return
        check_settings(model, config)
        with serialization_lib.SafeModeScope(True):
            found = serialization_lib.deserialize_keras_object(config, custom_objects=dict(custom))
            model.compile(**found)
