"""Optimizers by themselves, as a loop of one's own uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras.src.optimizers.base_optimizer import BaseOptimizer
from numpy.typing import NDArray

from saver.codec import Codec, Decoder, Encoder
from saver.errors import with_article
from saver.families.keras import making
from saver.families.keras.arrays import decoded, encoded, numpy_of
from saver.families.keras.configs import Configurations, described
from saver.families.keras.waiting import Shapes, assign, forget, shapes_of, wait, waiting
from saver.families.python.restoring import told
from saver.restoring import Mismatch, PartReport, Plan, Restorer, Saved
from saver.restoring.contract import a_kind, kind
from saver.tree import EXACT_INTEGER, Node, Value


class OptimizerCodec(Codec):
    """Optimizers, by their configuration, their variables, and the shapes of what they train.

    One that was built gets its state again when it is built: by its first `apply`, or by a model that is
    compiled with it.
    """

    name = "keras.optimizer"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, BaseOptimizer)

    def registers(self, cls: type) -> bool:
        return issubclass(cls, BaseOptimizer)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        try:
            config, _ = making.configuration(obj)
        except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
            encoder.refuse(f"Keras cannot write its configuration: {error}")
        arrays, trained = _state_of(obj)
        return {
            "config": described(config, encoder),
            "variables": [encoded(array, encoder, "variables", at) for at, array in enumerate(arrays)],
            "trained": trained,
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        configurations = Configurations(decoder)
        optimizer = making.made_optimizer(configurations.of(state["config"]), configurations.custom)
        _put(optimizer, *_decoded(state, decoder))
        return optimizer


def _state_of(optimizer: Any) -> tuple[list[NDArray[Any]], Shapes | None]:
    """Its variables, and the shapes of what it trains; None if it was not built."""
    later = waiting(optimizer)
    if later is not None:
        return later.arrays, later.trained
    arrays = [numpy_of(variable) for variable in optimizer.variables]
    return arrays, shapes_of(optimizer._trainable_variables) if optimizer.built else None


def _decoded(state: Any, decoder: Decoder) -> tuple[list[NDArray[Any]], Shapes | None]:
    trained = state["trained"]
    if trained is not None and not (type(trained) is list and all(map(_is_shape, trained))):
        raise ValueError("the shapes of what an optimizer trains are not lists of sizes")
    return [decoded(ref, decoder) for ref in state["variables"]], trained


def _is_shape(shape: Any) -> bool:
    return type(shape) is list and all(type(n) is int and 0 <= n <= EXACT_INTEGER for n in shape)


def _put(optimizer: Any, arrays: list[NDArray[Any]], trained: Shapes | None) -> None:
    """Let an optimizer have a state: now if it is built as the saved one was, else when it is built."""
    if trained is not None and not optimizer.built:
        wait(optimizer, arrays, trained)
        return
    forget(optimizer)
    assign(optimizer.variables, arrays)


class OptimizerRestorer(Restorer):
    """Optimizers in place: their variables. One that has not been built gets them when it is built."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, BaseOptimizer)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if type(node) is not Node or node.codec != OptimizerCodec.name:
            saved.refuse(f"{told(node)} was saved, not an optimizer of Keras; take it from `load`")
        state: Any = node.state
        name = state["config"].get("class_name")
        if type(name) is str and name != type(target).__name__:
            saved.refuse(f"{with_article(name)} was saved, not {a_kind(target)}; take it from `load`")
        report = _report(state, target, saved)
        saved.want(state)
        saved.stands_for(node, target)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found = _decoded(state, decoder)
            return lambda: _put(target, *found)

        return Plan(report, ready if report else None)


def _report(state: Any, target: Any, saved: Saved) -> PartReport:
    """How the saved variables fit those of an optimizer."""
    other = {str(at): tuple(saved.entry(ref).shape) for at, ref in enumerate(state["variables"])}
    if not target.built and state["trained"] is not None:
        return PartReport(kind(target), tuple(other))
    own = {str(at): tuple(variable.shape) for at, variable in enumerate(target.variables)}
    wrong = [Mismatch(at, other[at], own[at]) for at in own if at in other and own[at] != other[at]]
    return PartReport(
        kind(target),
        tuple(at for at in own if own[at] == other.get(at)),
        tuple(at for at in own if at not in other),
        tuple(at for at in other if at not in own),
        tuple(wrong),
    )
