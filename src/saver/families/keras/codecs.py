"""Keras 3: models, layers and optimizers, by their configuration and their state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np
from keras.src.layers.layer import Layer
from keras.src.losses.loss import Loss
from keras.src.metrics.metric import Metric

from saver.codec import Codec, Decoder, Encoder
from saver.families.keras import making
from saver.families.keras.arrays import decoded, encoded
from saver.families.keras.configs import Configurations, described, is_own, is_registered
from saver.families.keras.files import TRAINABLE
from saver.families.keras.optimizers import OptimizerCodec, OptimizerRestorer
from saver.families.keras.state import Optimized, State, compiled, put, state_of
from saver.families.keras.walking import saveables
from saver.families.python.restoring import told
from saver.restoring import PartReport, Plan, Restorer, Saved
from saver.restoring.contract import kind
from saver.restoring.report import Mismatch
from saver.tree import Node, Value


class LayerCodec(Codec):
    """Models and layers: Sequential, Functional, and classes of the user that derive from Model or Layer.

    They come back compiled, with their optimizer, if they were compiled. Metrics begin anew, as they do in
    each epoch.
    """

    name = "keras.layer"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, Layer)

    def registers(self, cls: type) -> bool:
        return issubclass(cls, Layer)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        try:
            config, own = making.configuration(obj)
            state = state_of(obj)
            settings = {"": own} | {path: making.configuration(model)[1] for path, model in compiled(obj)}
        except (ValueError, TypeError, NotImplementedError, AttributeError, UnicodeDecodeError) as error:
            encoder.refuse(f"Keras cannot write its configuration and variables: {error}")
        lost = [path for path in state.optimizers if settings.get(path) is None]
        if lost:
            encoder.refuse(
                f"{lost[0] or 'it'} is compiled by a method of its own, which Keras does not repeat; give "
                "its class get_compile_config and compile_from_config"
            )
        found: dict[str, Value] = {
            "config": described(config, encoder),
            "compiled": {path: described(each, encoder) for path, each in sorted(settings.items()) if each},
        }
        for path, model in (("", obj), *compiled(obj)):
            if settings[path]:
                encoder.check(making.check_settings, model, settings[path])
        for function in _functions(obj):
            encoder.check(_check_function, function)
        return found | _encoded_state(state, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found: Any = node.state
        configurations = Configurations(decoder)
        config = configurations.of(found["config"])
        settings = {path: configurations.of(each) for path, each in found["compiled"].items()}
        state = _decoded_state(found, decoder)
        model = making.made(config, configurations.custom, decoder.budget.charge)
        here = dict(saveables(model)) if settings else {}
        for path, each in settings.items():
            making.compile(here[path], each, configurations.custom)
        put(model, state)
        return model


def _functions(root: Any) -> Iterator[Any]:
    """The functions that Keras' own layers, losses and metrics hold: Keras writes their bare names."""
    models = [root, *(model for _, model in compiled(root))]
    settings = [getattr(getattr(model, "_compile_config", None), "config", {}) for model in models]
    layers = [layer for _, layer in saveables(root) if is_own(type(layer))]
    stack: list[Any] = [*map(vars, layers), *settings]
    seen: set[int] = set()
    while stack:
        found = stack.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, FunctionType):
            yield found
        elif isinstance(found, (list, tuple, dict)):
            stack.extend(found.values() if isinstance(found, dict) else found)
        elif isinstance(found, (Loss, Metric)):
            stack.append(vars(found))


_LIBRARIES = frozenset(("keras", "tensorflow", "jax", "torch"))


def _check_function(function: Any) -> None:
    """Raise ValueError for a function that Keras would not find when it loads. It may find one of its own
    instead, which has the same name."""
    if str(function.__module__).partition(".")[0] not in _LIBRARIES and not is_registered(function):
        raise ValueError(
            f"Keras cannot find your function {function.__name__} when it loads; decorate it with "
            "keras.saving.register_keras_serializable()"
        )


def _encoded_state(state: State, encoder: Encoder) -> dict[str, Value]:
    def listed(arrays: list[Any], *steps: str) -> list[Value]:
        return [encoded(array, encoder, *steps, place) for place, array in enumerate(arrays)]

    found: dict[str, Value] = {
        "variables": {
            path: {name: encoded(array, encoder, *_steps(path), name) for name, array in sorted(own.items())}
            for path, own in sorted(state.variables.items())
        },
        "adapters": {
            path: listed(own, *_steps(path), "adapters") for path, own in sorted(state.adapters.items())
        },
        "generators": {
            path: [[int(number) for number in position] for position in own]
            for path, own in sorted((state.generators or {}).items())
        },
        "vocabularies": {
            path: encoder.own(words, *_steps(path), "vocabulary")
            for path, words in sorted(state.vocabularies.items())
        },
        "frozen": state.frozen,
        "optimizers": {
            path: {"places": own.places, "variables": listed(own.variables, *_steps(path), "optimizer")}
            for path, own in sorted(state.optimizers.items())
        },
    }
    return found


def _steps(path: str) -> list[str]:
    return path.split("/") if path else []


def _decoded_state(found: Any, decoder: Decoder) -> State:
    frozen, generators, ordered = found["frozen"], found["generators"], found.get("ordered")
    if frozen is not None and (type(frozen) is not list or any(type(path) is not str for path in frozen)):
        raise ValueError("the paths of frozen layers are not texts")
    return State(
        {
            path: {name: decoded(ref, decoder) for name, ref in own.items()}
            for path, own in found["variables"].items()
        },
        {path: [decoded(ref, decoder) for ref in own] for path, own in found["adapters"].items()},
        generators
        if generators is None
        else {path: [_position(each) for each in own] for path, own in generators.items()},
        {path: decoder.own(words) for path, words in found["vocabularies"].items()},
        frozen,
        {path: _optimized(each, decoder) for path, each in found["optimizers"].items()},
        ordered if ordered is None else [[decoded(ref, decoder) for ref in own] for own in ordered],
    )


def _optimized(found: Any, decoder: Decoder) -> Optimized:
    places = found["places"]
    known = places is None or places == TRAINABLE
    if not known and (type(places) is not list or any(type(place) is not int for place in places)):
        raise ValueError("the places of the variables of an optimizer are not integers")
    return Optimized([decoded(ref, decoder) for ref in found["variables"]], places)


def _position(value: Any) -> Any:
    if (
        type(value) is not list
        or len(value) != 2
        or any(type(n) is not int or not -(1 << 63) <= n < 1 << 63 for n in value)
    ):
        raise ValueError("the position of a random generator is not two integers")
    return np.array(value, np.int64)


class LayerRestorer(Restorer):
    """Models and layers in place: variables, vocabularies, generators and the state of the optimizer."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, Layer)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if type(node) is not Node or node.codec != LayerCodec.name:
            saved.refuse(f"{told(node)} was saved, not a layer or model of Keras; take it from `load`")
        found: Any = node.state
        if found.get("ordered") is not None:
            saved.refuse("its variables are in the order of an older file; take it from `load`")
        try:
            report = _report(found, target, saved)
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"the state of a model is malformed: {error}") from error
        saved.want({name: tree for name, tree in found.items() if name not in ("config", "compiled")})
        if not report and not saved.strict:
            saved.refuse("its layers differ, and a part of a model of Keras cannot be restored")

        def ready(decoder: Decoder) -> Callable[[], None]:
            state = _decoded_state(found, decoder)
            return lambda: put(target, state)

        return Plan(report, ready)


def _report(found: Any, target: Any, saved: Saved) -> PartReport:
    """How the saved variables fit those of a model."""
    here = state_of(target)
    optimizers = {path: Optimized(**each) for path, each in found["optimizers"].items()}
    for path in optimizers.keys() & here.optimizers.keys():
        if here.optimizers[path].places is None:
            # it is built for what was saved, whose shapes are those of the variables
            del optimizers[path], here.optimizers[path]
    own = _shapes(here.variables, here.adapters, here.optimizers, lambda array: tuple(array.shape))
    other = _shapes(
        found["variables"], found["adapters"], optimizers, lambda ref: tuple(saved.entry(ref).shape)
    )
    wrong = [
        Mismatch(name, other[name], own[name]) for name in own if name in other and own[name] != other[name]
    ]
    return PartReport(
        kind(target),
        tuple(name for name in own if own[name] == other.get(name)),
        tuple(name for name in own if name not in other),
        tuple(name for name in other if name not in own),
        tuple(wrong),
    )


def _shapes(variables: Any, adapters: Any, optimizers: Any, shape: Callable[[Any], Any]) -> dict[str, Any]:
    found = {f"{path}/{name}": shape(each) for path, own in variables.items() for name, each in own.items()}
    for path, own in adapters.items():
        found |= {f"{path}/adapters/{place}": shape(each) for place, each in enumerate(own)}
    for path, optimizer in optimizers.items():
        at = "/".join((*_steps(path), "optimizer"))
        found |= {f"{at}/{place}": shape(each) for place, each in enumerate(optimizer.variables)}
    return found


CODECS: tuple[Codec, ...] = (LayerCodec(), OptimizerCodec())

RESTORERS: tuple[Restorer, ...] = (LayerRestorer(), OptimizerRestorer())
