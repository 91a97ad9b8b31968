"""TensorFlow in a training run: its global random generators, and what its objects are now."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops

from saver.families.tensorflow.fitting import assign
from saver.families.tensorflow.modules import DictWrapper, ListWrapper, TupleWrapper, objects_of
from saver.families.tensorflow.variables import (
    VARIABLES,
    check_generator,
    generator_made,
    generator_state,
    value_of,
)
from saver.framework import Framework, Held


class TensorFlowFramework(Framework):
    """Variables get new elements whenever they change, so those that a run saves need no copy. What training
    depends on is in the objects, beside the global generators."""

    title = "TensorFlow"
    deterministic = "tf.config.experimental.enable_op_determinism()"

    def random_state(self) -> Any:
        """The seed of `tf.random.set_seed` with the position of the sequence that operations without a seed
        of their own draw from, and the generator of `tf.random.get_global_generator`."""
        own = context.context()
        seed, drawn = context.global_seed(), getattr(own, "_rng", None)
        known = stateful_random_ops.global_generator
        return {
            "seed": None if seed is None else str(int(seed)),
            "drawn": None if seed is None or drawn is None else drawn.getstate(),
            "generator": None if known is None else list(generator_state(known)),
        }

    def random_continued(self, state: Any) -> Callable[[], None]:
        if type(state) is not dict or not {"seed", "drawn", "generator"} <= state.keys():
            raise ValueError("the state of TensorFlow's generators is not a dict of their states")
        changes = [_seeded(state["seed"], state["drawn"]), _global(state["generator"])]

        def change() -> None:
            for each in changes:
                each()

        return change

    def held(self, obj: Any) -> Held | None:
        cls = type(obj)
        if cls in VARIABLES:
            value = value_of(obj)
            return Held(partial(assign, obj, value))
        if cls in (ListWrapper, DictWrapper, TupleWrapper):
            return Held(lambda: None, (obj._storage if cls is ListWrapper else obj.__wrapped__,))
        if cls is tf.random.Generator:
            return Held(lambda: None, (obj.state,))
        if cls is tf.train.Checkpoint:
            return Held(lambda: None, tuple(objects_of(obj).values()))
        own = cls.__module__.partition(".")[0] == "tensorflow" and not issubclass(cls, tf.Module)
        return Held(lambda: None) if own else None  # functions, devices: training does not change them


def _seeded(seed: Any, drawn: Any) -> Callable[[], None]:
    """Continues the sequence that operations without a seed draw from."""
    if seed is None:
        return lambda: None
    if type(seed) is not str or len(seed) > 40:
        raise ValueError("the seed of TensorFlow is not a number")
    number, trial = int(seed), random.Random()
    if drawn is not None:
        trial.setstate(drawn)

    def change() -> None:
        tf.random.set_seed(number)
        if drawn is not None:
            context.context()._rng = trial

    return change


def _global(state: Any) -> Callable[[], None]:
    """Continues the global generator, which stays the same object if it can: functions hold its variable."""
    if state is None:
        return lambda: None
    if type(state) is not list or len(state) != 2:
        raise ValueError("the state of TensorFlow's global generator is malformed")
    kind, numbers = state
    found = check_generator(kind, numbers)

    def change() -> None:
        known = stateful_random_ops.global_generator
        if known is not None and int(known.algorithm) == kind:
            known.state.assign(tf.constant(found, tf.int64))
        else:
            tf.random.set_global_generator(generator_made(kind, numbers))

    return change


FRAMEWORK = TensorFlowFramework()
