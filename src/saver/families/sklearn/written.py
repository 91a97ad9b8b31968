"""scikit-learn's estimators as pickles of its own would hold them, from their trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from saver import registry
from saver.families.sklearn.pickled_trees import NODE, PREDICTOR
from saver.families.sklearn.trees import PredictorCodec, TreeCodec
from saver.pickled import Call, Global, Inert, Making, NotReadError, Pairs
from saver.tree import Node


def _class(node: Node) -> Global:
    """The class of a node, if the family lists it for that codec."""
    name = node.cls or ""
    if not registry.family("sklearn").admits(node.codec, name):
        raise NotReadError(f"{name[:80]!r} is a class of your own, which is not written")
    module, _, what = name.partition(":")
    return Global(module, what)


def _object(node: Node, making: Making, place: str) -> Inert:
    state = making.fields(node.state, place)
    return Call(_class(node), (), made=True, state=state, has_state=True)


def _estimator(node: Node, making: Making, place: str) -> Inert:
    call = _object(node, making, place)
    version = making.version("sklearn")
    if version is not None:
        call.state.items.append(("_sklearn_version", version))
    return call


def _bunch(node: Node, making: Making, place: str) -> Inert:
    items = making.fields(node.state, place).items
    return Call(Global("sklearn.utils._bunch", "Bunch"), (), made=True, pairs=items)


def _loss(node: Node, making: Making, place: str) -> Inert:
    if type(node.state) is not list:
        raise NotReadError("a loss has no numbers")
    return Call(_class(node), tuple(making.whole(value, place) for value in node.state))


class _Trees(TreeCodec):
    """Decision trees as calls that make them."""

    names = frozenset[str]()

    def dtype(self) -> Any:
        return NODE

    def made(self, features: int, classes: Any, outputs: int, state: dict[str, Any]) -> Call:
        maker = Global("sklearn.tree._tree", "Tree")
        return Call(maker, (features, classes, outputs), state=state, has_state=True)


class _Predictors(PredictorCodec):
    """Trees of histogram gradient boosting as instances with attributes."""

    names = frozenset[str]()

    def dtype(self) -> Any:
        return PREDICTOR

    def made(self, nodes: Any, binned: Any, raw: Any) -> Call:
        kind = Global("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor")
        state = {"nodes": nodes, "binned_left_cat_bitsets": binned, "raw_left_cat_bitsets": raw}
        return Call(kind, (), made=True, state=state, has_state=True)


def _batched(codec: Any) -> Callable[[Node, Making, str], Inert]:
    def write(node: Node, making: Making, place: str) -> Inert:
        found: Call = codec.decode(node, making.decoder)
        if type(found.state) is dict:
            found.args = tuple(making.ndarray(arg) if hasattr(arg, "dtype") else arg for arg in found.args)
            items = found.state.items()
            pairs = [(key, making.ndarray(item) if hasattr(item, "dtype") else item) for key, item in items]
            found.state = Pairs(pairs)
        return found

    return write


WRITERS: dict[str, Callable[[Node, Making, str], Inert]] = {
    "sklearn.estimator": _estimator,
    "sklearn.object": _object,
    "sklearn.bunch": _bunch,
    "sklearn.loss": _loss,
    "sklearn.tree": _batched(_Trees()),
    "sklearn.predictor": _batched(_Predictors()),
}
