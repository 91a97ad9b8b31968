"""Modules of nnx and their variables, by attributes; and states, which are mappings of variables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import optax
from flax import nnx
from flax.nnx.graphlib import HashableMapping
from flax.nnx.pytreelib import PytreeState

from saver import trust
from saver.codec import Codec, Decoder, Encoder, own_dict, special
from saver.families.python.circles import leads_back
from saver.families.python.classes import declared
from saver.tree import Node, Value

OWN = frozenset(("_pytree__state", "_pytree__nodes"))
"""What Flax keeps in the dict of a module for itself."""

_FLAGS = ("hijax", "ref")
"""The settings of a variable whose elements are not in an array of its own."""


def left_out(cls: type) -> frozenset[str]:
    """The attributes that are not part of the state."""
    return OWN | {"tx"} if issubclass(cls, nnx.Optimizer) else OWN


class VariableCodec(Codec):
    """Variables of any kind, by their value and their metadata."""

    name = "flax.variable"
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, nnx.Variable)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def unsaved(self, obj: Any) -> Iterable[str]:
        return own_dict(obj)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        metadata = nnx.Variable.get_metadata(obj)
        encoder.check(check_metadata, metadata)
        return {
            "metadata": encoder.own(dict(metadata), "metadata"),
            "value": encoder.slot(nnx.Variable.get_raw_value(obj)),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and issubclass(cls, nnx.Variable)):
            raise ValueError(f"{cls!r} is not a kind of variable")
        metadata = decoder.own(node.state["metadata"])
        check_metadata(metadata)
        # not by `from_metadata` of the class, which may be code of its own
        made: Any = nnx.Variable._new.__func__(cls, None, metadata)
        decoder.keep(node, made)
        object.__setattr__(made, "_raw_value", decoder(node.state["value"]))
        return made

    def check(self, obj: Any) -> None:
        """JAX follows a variable that holds itself until Python can call nothing any more."""
        if leads_back(obj, _held):
            raise ValueError("the value of a variable holds the variable itself")


def _held(obj: Any) -> Iterable[Any]:
    if issubclass(type(obj), nnx.Variable):
        return (nnx.Variable.get_raw_value(obj),)
    return vars(obj).values() if issubclass(type(obj), nnx.Pytree) else ()


def check_metadata(metadata: Any) -> None:
    """Raise ValueError unless a variable can have this metadata and hold its value itself."""
    if type(metadata) is not dict or not all(type(name) is str for name in metadata):
        raise ValueError("the metadata of a variable are not a dict of names")
    for flag in _FLAGS:
        if metadata.get(flag) is not False:
            raise ValueError(f"a variable with {flag}=True does not hold its value itself; make it without")
    if type(metadata.get("eager_sharding")) is not bool:
        raise ValueError("a variable does not say whether its sharding is eager")


class ModuleCodec(Codec):
    """Modules, random streams, optimizers and metrics, by their attributes; and which of these are data, so
    that JAX transforms them.

    An optimizer is saved without `tx`, which is made of functions: set it again after loading, or restore
    in place, where the optimizer keeps its own.
    """

    name = "flax.module"
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, nnx.Pytree)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        cls = type(obj)
        own, always = obj._pytree__state, _always(cls)
        nodes = {name: data for name, data in obj._pytree__nodes.items() if always.get(name) is not data}
        state: dict[str, Value] = {
            "attributes": encoder.attributes(obj, left_out(cls), declared(cls)),
            "data": [name for name, data in nodes.items() if data],
            "static": [name for name, data in nodes.items() if not data],
        }
        if own.initializing or own.is_setup:
            state["setup"] = [own.initializing, own.is_setup]
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and issubclass(cls, nnx.Pytree)):
            raise ValueError(f"{cls!r} is not a module")
        attributes = node.state["attributes"]
        initializing, is_setup = node.state.get("setup", (False, False))
        nodes = _always(cls)
        for word in ("data", "static"):
            names = node.state[word]
            if type(names) is not list or not all(type(name) is str for name in names):
                raise ValueError("the names of a module's data are not a list of names")
            nodes.update(dict.fromkeys(names, word == "data"))
        made: Any = object.__new__(cls)
        object.__setattr__(made, "_pytree__state", PytreeState(bool(initializing), bool(is_setup)))
        if issubclass(cls, nnx.Optimizer):
            if "tx" in attributes:
                raise ValueError("the functions of an optimizer are not saved")
            object.__setattr__(made, "tx", NO_OPTIMIZER)
        object.__setattr__(made, "_pytree__nodes", HashableMapping(nodes))
        decoder.keep(node, made)
        decoder.fill_attributes(made, attributes, declared(cls))
        return made


def _always(cls: type) -> dict[str, bool]:
    """Which attributes a class says itself to be data, or not."""
    return dict(getattr(cls, "_pytree__nodes", {}))


def _no_functions(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError(
        "this optimizer was loaded without its functions, which are not saved: set its `tx` to what it was "
        "made with, as in optimizer.tx = optax.adam(1e-3), or TrainState.replace(tx=..., apply_fn=...)"
    )


NO_OPTIMIZER = optax.GradientTransformation(_no_functions, _no_functions)
"""Stands for the functions that are not saved, until the caller gives them."""


class AxesCodec(Codec):
    """`nnx.StateAxes`: along which axis a layer such as `nnx.RNN` goes through the variables that a filter
    chooses."""

    name = "flax.axes"
    types = (nnx.StateAxes,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [[encoder(chosen, "filter"), encoder(axis, "axis")] for chosen, axis in obj.items()]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = [(decoder(chosen), decoder(axis)) for chosen, axis in node.state]
        if not all(axis is None or axis is nnx.Carry or type(axis) is int for _, axis in found):
            raise ValueError("an axis is a number, Carry or None")
        return nnx.StateAxes(found)


class StateCodec(Codec):
    """`nnx.State`: what `nnx.split` and `nnx.state` return."""

    name = "flax.state"
    types = (nnx.State,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(obj.raw_mapping)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = decoder(node.state)
        if type(found) is not dict:
            raise ValueError("the content is not a dict")
        return nnx.State(found, _copy=False)

    def check(self, obj: Any) -> None:
        check_names(obj.raw_mapping)


def check_names(mapping: dict[Any, Any]) -> None:
    """Raise ValueError for names that libraries look up on a state, which shows its items as attributes that
    its class does not have; also in the dicts within."""
    waiting, met = [mapping], set[int]()
    while waiting:
        found = waiting.pop()
        if id(found) not in met:
            met.add(id(found))
            for name in found:
                if type(name) is str and special(name):
                    raise ValueError(f"a state cannot have the name {name!r}, which libraries look up")
            waiting += [item for item in found.values() if isinstance(item, dict)]
