"""Modules, the containers in which TensorFlow wraps what they hold, and `tf.train.Checkpoint`.

What TensorFlow notes about an object, so that its own checkpoints find what it holds, is made again.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import Any

import tensorflow as tf
from tensorflow.python.trackable import autotrackable, base, data_structures

from saver import trust
from saver.codec import Codec, Decoder, Encoder, door
from saver.errors import kind_of
from saver.families.python.classes import declared
from saver.families.tensorflow.variables import value_of
from saver.tree import Node, Value

ListWrapper: Any = data_structures.ListWrapper
DictWrapper: Any = data_structures._DictWrapper
TupleWrapper: Any = data_structures._TupleWrapper
Trackable: Any = base.Trackable

_TRACKED = "_self_unconditional_dependency_names"
_REFERENCES = "_self_unconditional_checkpoint_dependencies"
_WAITING = "_self_unconditional_deferred_dependencies"

_SCOPES = ("_name_scope", "_scope_name")


def _is_own(name: Any) -> bool:
    """Whether TensorFlow keeps an attribute of this name for itself."""
    return type(name) is str and (name.startswith("_self_") or name in _SCOPES)


def left_out(obj: Any) -> frozenset[str]:
    """The attributes of a module that are made again."""
    return frozenset(filter(_is_own, vars(obj)))


def tracked(obj: Any) -> list[str]:
    """The attributes of an object that TensorFlow's own checkpoints would save."""
    own = vars(obj)
    return [name for name, held in own.get(_TRACKED, {}).items() if own.get(name) is held]


def _is_keras(cls: type) -> bool:
    return any(each.__module__.partition(".")[0] == "keras" for each in cls.__mro__)


class ModuleCodec(Codec):
    """`tf.Module`, and classes of the user that derive from it, by their attributes. No code of them runs."""

    name = "tensorflow.module"
    early = True
    bare = True

    def accepts(self, cls: type) -> bool:
        others = (tf.train.Checkpoint, tf.random.Generator)
        own = cls.__module__.partition(".")[0] == "tensorflow" and cls not in _BASES
        tracks = issubclass(cls, autotrackable.AutoTrackable)
        return tracks and not own and not issubclass(cls, others) and not _is_keras(cls)

    def registers(self, cls: type) -> bool:
        return self.accepts(cls)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own, held = vars(obj), tracked(obj)
        if waiting := own.get(_WAITING):
            encoder.refuse(
                f"it waits for values from a checkpoint, for {', '.join(map(str, waiting))!r:.80}, which it "
                "does not hold yet; call it once, so that it makes its variables"
            )
        beside = [name for name in own.get(_TRACKED, {}) if name not in own]
        if beside:
            encoder.refuse(
                f"it tracks {', '.join(map(str, beside))!r:.80}, which are not among its attributes; "
                "hold them in attributes"
            )
        state: dict[str, Value] = {
            "attributes": encoder.attributes(obj, left_out(obj), declared(type(obj))),
            "tracked": list(held),
        }
        if isinstance(obj, tf.Module):
            scope = own.get("_name_scope")
            state["scope"] = str(getattr(scope, "_name", ""))
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls, state = decoder.cls(node), node.state
        if not (isinstance(cls, type) and self.accepts(cls)) or type(state) is not dict:
            raise ValueError(f"{cls!r} is not a module")
        attributes, names = state["attributes"], state["tracked"]
        check_names(attributes, names)
        made: Any = object.__new__(cls)
        base.Trackable._maybe_initialize_trackable(made)
        object.__setattr__(made, "_self_setattr_tracking", True)
        if issubclass(cls, tf.Module):
            if type(state["scope"]) is not str:
                raise ValueError("the scope of a module is not a text")
            object.__setattr__(made, "_name_scope", tf.name_scope(state["scope"]))
        vars(made)[_TRACKED].update(dict.fromkeys(names))
        decoder.keep(node, made)
        decoder.fill_attributes(made, attributes, declared(cls))
        return made

    def claim(self, obj: Any) -> None:
        track(obj, list(vars(obj)[_TRACKED]))


_BASES = (tf.Module, autotrackable.AutoTrackable)


def check_names(attributes: Any, names: Any) -> None:
    """Raise ValueError unless these can be the attributes of a module, and some of them the tracked ones."""
    if type(attributes) is not dict or any(map(_is_own, attributes)):
        raise ValueError("an attribute has the name of one that TensorFlow keeps itself")
    if type(names) is not list or not all(type(name) is str and name in attributes for name in names):
        raise ValueError("what a module tracks is not a list of attributes")


def track(obj: Any, names: list[str]) -> None:
    """Let TensorFlow's own checkpoints save these attributes. Raises ValueError if one holds nothing that
    they can save."""
    own = vars(obj)
    for name in names:
        if not isinstance(own.get(name), Trackable):
            raise ValueError(f"TensorFlow cannot track the attribute {name!r:.80}")
    own[_TRACKED].clear()
    own[_TRACKED].update((name, own[name]) for name in names)
    own[_REFERENCES][:] = [base.TrackableReference(name, own[name]) for name in names]


class ListCodec(Codec):
    """The list that a module made of a list."""

    name = "tensorflow.list"
    types = (ListWrapper,)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder.slot(item, place) for place, item in enumerate(obj._storage)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        if type(node.state) is not list:
            raise ValueError("the content is not a list")
        made = ListWrapper([])
        decoder.keep(node, made)
        decoder.extend(made._storage, node.state)
        return made

    def claim(self, obj: Any) -> None:
        ListWrapper.__init__(obj, obj._storage)


class DictCodec(Codec):
    """The dict that a module made of a dict."""

    name = "tensorflow.dict"
    types = (DictWrapper,)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        held = obj.__wrapped__
        if type(held) not in (dict, OrderedDict):
            encoder.refuse(f"a module holds {kind_of(held)} as a dict; use a plain dict")
        return {
            "ordered": type(held) is OrderedDict,
            "keys": [encoder(key, "keys") for key in held],
            "values": [encoder.slot(value, str(key)) for key, value in held.items()],
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        keys, values = state["keys"], state["values"]
        if type(state["ordered"]) is not bool or type(keys) is not list or type(values) is not list:
            raise ValueError("the content is not a dict")
        held: dict[Any, Any] = OrderedDict() if state["ordered"] else {}
        made = DictWrapper(held)
        decoder.keep(node, made)
        for key, value in zip(map(decoder, keys), values, strict=True):
            if key in held:
                raise ValueError("a key is there twice")
            held[key] = None  # the order is that of the keys
            held[key] = decoder.slot(value, held, key)
        return made

    def claim(self, obj: Any) -> None:
        DictWrapper.__init__(obj, obj.__wrapped__)


class TupleCodec(Codec):
    """The tuple, or named tuple, that a module made of a tuple with variables."""

    name = "tensorflow.tuple"
    types = (TupleWrapper,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(obj.__wrapped__)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = decoder(node.state)
        if not isinstance(found, tuple):
            raise ValueError("the content is not a tuple")
        return TupleWrapper(found)


_EMPTY = frozenset(vars(tf.train.Checkpoint()))


def objects_of(checkpoint: Any) -> dict[str, Any]:
    """The objects that a checkpoint saves, by their names; `root` among them."""
    found = {name: held for name, held in vars(checkpoint).items() if name not in _EMPTY}
    root = checkpoint._root() if isinstance(checkpoint._root, weakref.ref) else checkpoint._root
    return found if root is None else found | {"root": root}


class CheckpointCodec(Codec):
    """`tf.train.Checkpoint`: its named objects, and how often it was saved."""

    name = "tensorflow.checkpoint"
    types = (tf.train.Checkpoint,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        objects = objects_of(obj)
        encoder.check(check_objects, objects)
        counter = obj._save_counter
        return {
            "objects": {name: encoder(held, name) for name, held in objects.items()},
            "saves": None if counter is None else int(value_of(counter)),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        objects, saves = state["objects"], state["saves"]
        if saves is not None and (type(saves) is not int or not 0 <= saves < 1 << 53):
            raise ValueError("it is not a number how often a checkpoint was saved")
        if type(objects) is not dict:
            raise ValueError("the objects of a checkpoint are not a JSON object")
        found = {name: decoder(held) for name, held in objects.items()}
        check_objects(found)
        made = tf.train.Checkpoint(**found)
        if saves is not None:
            made.save_counter.assign(saves)
        return made


def check_objects(objects: dict[str, Any]) -> None:
    """Raise ValueError unless a checkpoint can have these objects under these names."""
    way = door(tf.train.Checkpoint)
    for name, held in objects.items():
        why = None if name == "root" else way.refusal(name)
        if why is not None or name in _EMPTY or _is_own(name):
            raise ValueError(why or f"an object of a checkpoint cannot be called {name!r:.80}")
        if not isinstance(held, Trackable):
            raise ValueError(f"{name!r:.80} is not an object that a checkpoint can save")
