"""What live and saved objects hold, by name, key or position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from saver.families.python.restoring import items
from saver.families.tensorflow import modules
from saver.families.tensorflow.modules import DictWrapper, ListWrapper, ModuleCodec, Trackable, TupleWrapper
from saver.restoring import Saved
from saver.tree import Node, Value

MODULES = ModuleCodec()
"""Says which classes are modules."""


def items_here(live: Any) -> Mapping[Any, Any] | None:
    """What a live object holds, by name, key or position; None if it is filled as a whole."""
    cls = type(live)
    if cls is ListWrapper:
        return dict(enumerate(live._storage))
    if cls is DictWrapper:
        return dict(live.__wrapped__)
    if cls is TupleWrapper:
        return dict(enumerate(live.__wrapped__))
    if cls is tf.train.Checkpoint:
        return modules.objects_of(live)
    if MODULES.accepts(cls):
        out = modules.left_out(live)
        return {name: item for name, item in vars(live).items() if name not in out}
    return None


def items_of(node: Value, saved: Saved) -> dict[Any, Value] | None:
    """The same of a saved one."""
    if type(node) is not Node:
        return None
    state: Any = node.state
    if node.codec == "tensorflow.module":
        return dict(state["attributes"])
    if node.codec == "tensorflow.checkpoint":
        return dict(state["objects"])
    if node.codec in ("tensorflow.list", "tuple", "list"):
        return dict(enumerate(state)) if type(state) is list else None
    if node.codec == "tensorflow.tuple":
        return items_of(saved.follow(state), saved)
    if node.codec == "namedtuple":
        fields = state[0] if type(state) is list else state
        return dict(enumerate(fields.values()))
    if node.codec == "tensorflow.dict":
        keys = [saved.follow(key) for key in state["keys"]]
        plain = all(type(key) in (str, int, bool, float, type(None)) for key in keys)
        return dict(zip(keys, state["values"], strict=True)) if plain else None
    return items(node, saved)


def has_variables(live: Any) -> bool:
    """Whether TensorFlow or Keras would miss an object that was replaced."""
    return isinstance(live, Trackable)


def holds_variables(value: Value, saved: Saved) -> bool:
    """Whether what was saved has elements."""
    node = saved.follow(value)
    return type(node) is Node and node.codec.partition(".")[0] in ("tensorflow", "keras")
