"""Variables, and the random generators that keep their position in one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.polymorphic_function import polymorphic_function
from tensorflow.python.ops import resource_variable_ops

from saver.codec import Codec, Decoder, Encoder, added, private
from saver.families.tensorflow.named import shape_made, shape_state
from saver.families.tensorflow.tensors import described, made
from saver.tree import Node, Value

VARIABLES: tuple[type, ...] = (
    resource_variable_ops.ResourceVariable,
    polymorphic_function.UnliftedInitializerVariable,  # made within a tf.function; comes back as the other
)

_ENUMS = {"synchronization": tf.VariableSynchronization, "aggregation": tf.VariableAggregation}


def value_of(variable: Any) -> Any:
    """The value of a variable now, as a tensor that does not change."""
    with tf.init_scope():
        return variable.read_value()


class VariableCodec(Codec):
    """Variables, by their value, name and settings."""

    name = "tensorflow.Variable"
    types = VARIABLES

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "overwrite_with_gradient", *private(obj), *_private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj._in_graph_mode:
            encoder.refuse("a variable of a graph has no value here; make it outside of tf.Graph")
        with tf.init_scope():
            if not bool(obj.is_initialized()):
                encoder.refuse("the variable has no value yet; assign one first")
        if obj.constraint is not None:
            encoder.refuse(
                "the constraint of a variable is a function, which has no data form; apply it in the "
                "training step, and make the variable without"
            )
        value = value_of(obj)
        state = described(value, encoder)
        state |= {"name": obj.name.removesuffix(":0"), "trainable": bool(obj.trainable)}
        if obj.shape.as_list() != value.shape.as_list() if obj.shape.rank is not None else True:
            state["shape"] = shape_state(obj.shape)
        for name in _ENUMS:
            if getattr(obj, name).value:
                state[name] = getattr(obj, name).name
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        name, trainable = state["name"], state["trainable"]
        if type(name) is not str or type(trainable) is not bool:
            raise ValueError("the name of a variable is not a text, or it is not said whether it is trained")
        value = made(state, decoder)
        shape = shape_made(state["shape"]) if "shape" in state else value.shape
        settings = {key: _member(key, state[key]) for key in _ENUMS if key in state}
        with tf.init_scope():
            return tf.Variable(value, trainable=trainable, name=name, shape=shape, **settings)


def _private(obj: Any) -> list[str]:
    """What TensorFlow and Keras note on a variable under names that its class does not mention."""
    return [name for name in vars(obj) if name.startswith(("_self_", "_keras", "_distribut"))]


def _member(key: str, name: Any) -> Any:
    if type(name) is not str or name not in _ENUMS[key].__members__:
        raise ValueError(f"{name!r:.40} is not a known {key} of a variable")
    return _ENUMS[key][name]


SIZES = {1: 3, 2: 2}
"""The kinds of random generators (Philox, ThreeFry), and of how many numbers the state of each consists."""


class GeneratorCodec(Codec):
    """Random generators, by their position."""

    name = "tensorflow.Generator"
    types = (tf.random.Generator,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj._distribution_strategy is not None:
            encoder.refuse("a random generator of several devices has a state on each; make one without")
        encoder.check(check_generator, *generator_state(obj))
        return list(generator_state(obj))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, numbers = node.state
        return generator_made(kind, numbers)


def generator_state(generator: Any) -> tuple[int, list[str]]:
    """The kind of a generator, and the numbers that its state consists of: as texts, because JSON has none of
    64 bits."""
    return int(generator.algorithm), [str(n) for n in np.asarray(value_of(generator.state)).tolist()]


def check_generator(kind: Any, numbers: Any) -> list[int]:
    """The numbers of a state. Raises ValueError unless a generator of this kind can have it."""
    if type(kind) is not int or kind not in SIZES or type(numbers) is not list or len(numbers) != SIZES[kind]:
        raise ValueError("a random generator of that kind does not have such a state")
    if any(type(number) is not str or len(number) > 20 for number in numbers):
        raise ValueError("the state of a random generator does not consist of numbers")
    found = [int(number) for number in numbers]
    if not all(-(1 << 63) <= number < 1 << 63 for number in found):
        raise ValueError("a number in the state of a random generator is too large")
    return found


def generator_made(kind: Any, numbers: Any) -> Any:
    """A generator at this position."""
    state = tf.constant(check_generator(kind, numbers), tf.int64)
    with tf.init_scope():
        return tf.random.Generator.from_state(state, kind)
