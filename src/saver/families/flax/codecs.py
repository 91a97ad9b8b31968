"""Flax: nnx, frozen dicts and train states."""

from __future__ import annotations

from typing import Any

from flax.core import FrozenDict
from flax.training.train_state import TrainState

from saver import trust
from saver.codec import Codec, Decoder, Encoder
from saver.families.flax.nnx import NO_OPTIMIZER, AxesCodec, ModuleCodec, StateCodec, VariableCodec
from saver.families.flax.restoring import ModuleRestorer, TrainStateRestorer
from saver.families.python.classes import declared
from saver.restoring import Restorer
from saver.tree import Node, Value

FUNCTIONS = frozenset(("apply_fn", "tx"))
"""The fields of a train state that are functions."""


class FrozenDictCodec(Codec):
    """Frozen dicts, with the dicts in them."""

    name = "flax.FrozenDict"
    types = (FrozenDict,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(dict(obj.items()))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = decoder(node.state)
        if type(found) is not dict:
            raise ValueError("the content is not a dict")
        return FrozenDict(found)


class LinenCodec(Codec):
    """Modules of linen, which are functions with settings."""

    name = "flax.linen"

    def accepts(self, cls: type) -> bool:
        return any((base.__module__, base.__qualname__) == _LINEN for base in cls.__mro__)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.refuse(
            "a module of linen holds no weights and has no data form; save its variables, and make it again "
            "with the same arguments"
        )

    def decode(self, node: Node, decoder: Decoder) -> Any:
        raise ValueError("a module of linen is not data")


_LINEN = ("flax.linen.module", "Module")


class TrainStateCodec(Codec):
    """`TrainState` and classes that derive from it, without their functions: give them to the loaded one
    with `replace(apply_fn=..., tx=...)`."""

    name = "flax.TrainState"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, TrainState)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.attributes(obj, FUNCTIONS, declared(type(obj)))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and issubclass(cls, TrainState)):
            raise ValueError(f"{cls!r} is not a TrainState")
        if type(node.state) is not dict or not FUNCTIONS.isdisjoint(node.state):
            raise ValueError("the functions of a train state are not saved")
        made: Any = object.__new__(cls)
        decoder.fill_attributes(made, node.state, declared(cls))
        object.__setattr__(made, "apply_fn", NO_OPTIMIZER.update)
        object.__setattr__(made, "tx", NO_OPTIMIZER)
        return made


CODECS: tuple[Codec, ...] = (
    VariableCodec(), ModuleCodec(), StateCodec(), AxesCodec(), FrozenDictCodec(), TrainStateCodec(),
    LinenCodec(),
)  # fmt: skip

RESTORERS: tuple[Restorer, ...] = (ModuleRestorer(), TrainStateRestorer())
