"""scikit-learn's compiled trees, search trees and distances as pickles hold them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import Encoder
from saver.families.numpy.pickles import array_of
from saver.families.sklearn.trees import PredictorCodec, TreeCodec
from saver.pickled import Call, Global, NotReadError, Pickled, fields_of, sequence
from saver.tree import Value

FRACTIONS = "fractions"
"""The mark of a tree whose values are to become fractions: it counts the samples of each class."""

NODE = np.dtype([
    ("left_child", "<i8"), ("right_child", "<i8"), ("feature", "<i8"), ("threshold", "<f8"),
    ("impurity", "<f8"), ("n_node_samples", "<i8"), ("weighted_n_node_samples", "<f8"),
    ("missing_go_to_left", "u1"),
])  # fmt: skip
"""The nodes of a tree since scikit-learn 1.3."""

_PREDICTOR_NEW = ("missing_go_to_left", "is_categorical", "bitset_idx")


class _Tree:
    """A tree as the codec of scikit-learn's own takes it."""

    def __init__(self, features: int, classes: NDArray[Any], outputs: int, state: dict[str, Any]) -> None:
        self.n_features, self.n_classes, self.n_outputs = features, classes, outputs
        self._state = state

    def __getstate__(self) -> dict[str, Any]:
        return self._state


class TreePickled(TreeCodec):
    """Decision trees: nodes and values."""

    names = frozenset[str]()

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return list(encoder.batch(self, self._tree(obj)))

    def _tree(self, call: Call) -> _Tree:
        if len(call.args) != 3 or not (type(call.args[0]) is type(call.args[2]) is int):
            raise NotReadError("a tree does not say how many features and outputs it has")
        features, classes, outputs = call.args
        counts = array_of(classes)
        state = fields_of(call.state, "the state of a tree")
        nodes, values = array_of(state.get("nodes")), array_of(state.get("values"))
        if counts.dtype.kind not in "iu" or values.ndim != 3 or not 0 <= features < 1 << 31:
            raise NotReadError("a tree has values of another shape")
        depth = state.get("max_depth")
        if type(depth) is not int or not 0 <= depth < 1 << 31:
            raise NotReadError("a tree has no depth")
        values = np.ascontiguousarray(values, np.float64)
        if FRACTIONS in call.marks:
            values = as_fractions(values)
        found = {"nodes": nodes_of(nodes), "values": values, "max_depth": depth, "node_count": len(nodes)}
        return _Tree(features, counts.astype(np.int64), outputs, found)


def nodes_of(nodes: NDArray[Any]) -> NDArray[Any]:
    """Nodes with the fields of today. Missing values went nowhere before 1.3."""
    names = nodes.dtype.names or ()
    if nodes.ndim == 1 and names == NODE.names and all(nodes.dtype[name] == NODE[name] for name in names):
        return nodes  # wherever its fields lie
    if (
        nodes.ndim != 1
        or not set(names) >= set((NODE.names or ())[:-1])
        or not set(names) <= set(NODE.names or ())
    ):
        raise NotReadError(f"the nodes of a tree have the fields {', '.join(names)[:200]}")
    found = np.zeros(len(nodes), NODE)
    for name in names:
        found[name] = nodes[name]
    return found


def as_fractions(values: NDArray[Any]) -> NDArray[Any]:
    """The share of each class in each node, which scikit-learn stores since 1.3, from their counts."""
    total = values.sum(axis=2, keepdims=True)
    total[total == 0.0] = 1.0
    found: NDArray[Any] = values / total
    return found


class _Predictor:
    """A tree of histogram gradient boosting as its codec takes it."""

    def __init__(self, nodes: Any, binned: Any, raw: Any) -> None:
        self.nodes, self.binned_left_cat_bitsets, self.raw_left_cat_bitsets = nodes, binned, raw


class PredictorPickled(PredictorCodec):
    """Trees of histogram gradient boosting."""

    names = frozenset[str]()

    def unsaved(self, obj: Any) -> Iterable[str]:
        return ()

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = fields_of(obj.state, "the state of a tree")
        none = np.zeros((0, 8), np.uint32)
        bitsets = [
            array_of(state[name]).astype(np.uint32) if name in state else none
            for name in ("binned_left_cat_bitsets", "raw_left_cat_bitsets")
        ]
        nodes = array_of(state.get("nodes"))
        if nodes.dtype.names is None or nodes.ndim != 1 or any(each.ndim != 2 for each in bitsets):
            raise NotReadError("the nodes of a tree have no fields")
        return list(encoder.batch(self, _Predictor(predictor_nodes(nodes), *bitsets)))


PREDICTOR = np.dtype([
    ("value", "<f8"), ("count", "<u4"), ("feature_idx", "<i8"), ("num_threshold", "<f8"),
    ("missing_go_to_left", "u1"), ("left", "<u4"), ("right", "<u4"), ("gain", "<f8"), ("depth", "<u4"),
    ("is_leaf", "u1"), ("bin_threshold", "u1"), ("is_categorical", "u1"), ("bitset_idx", "<u4"),
])  # fmt: skip
"""The nodes of such a tree since scikit-learn 0.24."""


def predictor_nodes(nodes: NDArray[Any]) -> NDArray[Any]:
    """Nodes with the fields of today; thresholds had another name before there were categories."""
    names = {"num_threshold" if name == "threshold" else name: name for name in nodes.dtype.names or ()}
    missing = set(PREDICTOR.names or ()) - set(names) - set(_PREDICTOR_NEW)
    if missing or set(names) - set(PREDICTOR.names or ()):
        raise NotReadError(f"the nodes of a tree have the fields {', '.join(names)[:200]}")
    found = np.zeros(len(nodes), PREDICTOR)
    for name, old in names.items():
        found[name] = nodes[old]
    return found


class DistancePickled(Pickled):
    """Distances: a class and its parameters."""

    name = "sklearn.distance"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind = obj.args[0] if obj.args else None
        if type(kind) is not Global:
            raise NotReadError("a distance has no class")
        p, vec, mat, *function = sequence(obj.state, "the state of a distance")
        if (
            kind.name.startswith("Minkowski") and array_of(vec).size == 1
        ):  # a place without weights, before 1.1
            vec = np.zeros(0)
        return [_sized(kind.name), encoder(float(p)), encoder(vec), encoder(mat), *map(encoder, function)]


def _sized(name: str) -> str:
    """Distances and search trees are named after their number of bits since 1.3."""
    return name if name.endswith(("32", "64")) else f"{name}64"


_TREES = {
    "sklearn.neighbors.kd_tree": "KDTree", "sklearn.neighbors.ball_tree": "BallTree",
}  # fmt: skip
"""Both were called BinaryTree before 0.20."""


class NeighborsPickled(Pickled):
    """KD trees and ball trees."""

    name = "sklearn.neighbors"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind = obj.args[0] if obj.args else None
        if type(kind) is not Global:
            raise NotReadError("a search tree has no class")
        state = sequence(obj.state, "the state of a search tree")
        if len(state) < 12:
            raise NotReadError("the state of a search tree lacks parts")
        data, index, nodes, bounds, *rest = state
        numbers, distance, weight = rest[:7], rest[7], rest[8] if len(rest) > 8 else None
        records = array_of(nodes)
        return {
            "class": _TREES.get(obj.function.module, kind.name) if kind.name == "BinaryTree" else kind.name,
            "data": encoder(np.ascontiguousarray(array_of(data)), "data"),
            "index": encoder.own(np.ascontiguousarray(array_of(index)), "index"),
            "nodes": {
                name: encoder(np.ascontiguousarray(records[name]), "nodes", name)
                for name in records.dtype.names or ()
            },
            "bounds": encoder(np.ascontiguousarray(array_of(bounds)), "bounds"),
            "numbers": [int(number) for number in numbers],
            "distance": encoder(distance, "distance"),
            "weight": encoder(weight, "weight"),
        }
