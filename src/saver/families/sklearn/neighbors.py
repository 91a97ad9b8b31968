"""KD trees, ball trees and distances, which compiled code walks without checking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver import trust, uses
from saver.codec import Codec, Decoder, Encoder, added, is_array, private
from saver.tree import Node, Value

_TREES = {
    name: f"sklearn.neighbors._{kind}_tree:{name}"
    for kind, names in (("kd", "KDTree KDTree32 KDTree64"), ("ball", "BallTree BallTree32 BallTree64"))
    for name in names.split()
}
_DISTANCE_NAMES = """
    BrayCurtis Canberra Chebyshev Dice Euclidean Hamming Haversine Jaccard Kulsinski Mahalanobis Manhattan
    Matching Minkowski PyFunc RogersTanimoto RussellRao SEuclidean SokalMichener SokalSneath
""".split()  # noqa: SIM905  a list of one word in quotes each would take a page
_DISTANCES = {
    f"{name}Distance{bits}": f"sklearn.metrics._dist_metrics:{name}Distance{bits}"
    for name in _DISTANCE_NAMES
    for bits in ("", "32", "64")
}
_NODE = np.dtype([("idx_start", "<i8"), ("idx_end", "<i8"), ("is_leaf", "<i8"), ("radius", "<f8")])
_MAX_LEVELS = 60


class DistanceCodec(Codec):
    """Compiled distances: a class and its parameters."""

    name = "sklearn.distance"
    names = frozenset(_DISTANCES.values())

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        p, vec, mat, *function = obj.__getstate__()
        encoder.check(_check_distance, type(obj).__name__, p, vec, mat, function)
        state: list[Value] = [type(obj).__name__, encoder(p), encoder(vec), encoder(mat)]
        return state + [encoder(item, "func") for item in function]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name = node.state[0]
        p, vec, mat, *function = (decoder(item) for item in node.state[1:])
        _check_distance(name, p, vec, mat, function)
        cls = trust.resolve(_DISTANCES[name])
        found = cls.__new__(cls)
        found.__setstate__((p, vec, mat, *function))
        return found


def _check_distance(name: str, p: Any, vec: Any, mat: Any, function: list[Any]) -> None:
    """Raise ValueError unless these are the parameters of a distance of that name."""
    _check_array(vec, np.float64, 1)
    _check_array(mat, np.float64, 2)
    if type(p) is not float or mat.shape[0] != mat.shape[1]:
        raise ValueError("the parameters are not those of a distance")
    if name.startswith("PyFunc") != (len(function) == 2) or (
        function and not (uses.is_callable_value(function[0]) and uses.may_be(function[0], ("distance",)))
    ):
        raise ValueError("the function of a distance is not one that gives the distance of two samples")


def check_distance(distance: Any, features: int) -> None:
    """Raise unless the parameters of `distance` fit vectors of that many features."""
    name = type(distance).__name__
    _, vec, mat, *_ = distance.__getstate__()
    fits = True
    if name.startswith("SEuclidean"):
        fits = len(vec) == features
    elif name.startswith("Minkowski"):
        fits = len(vec) in (0, features)
    elif name.startswith("Mahalanobis"):
        fits = len(mat) == features
    elif name.startswith("Haversine"):
        fits = features == 2
    if not fits:
        raise ValueError(f"the parameters of {name} do not fit {features} features")


def _check_array(value: Any, dtype: Any, ndim: int) -> None:
    if not is_array(value) or value.dtype != dtype or value.ndim != ndim:
        raise ValueError(f"expected an array of {np.dtype(dtype)} with {ndim} axes")


class NeighborTreeCodec(Codec):
    """KD trees and ball trees, stored whole, so that they need not be built again for queries."""

    name = "sklearn.neighbors"
    names = frozenset(_TREES.values())

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        data, index, nodes, bounds, *numbers, distance, weight = obj.__getstate__()
        parts = [None if part is None else np.asarray(part) for part in (data, index, bounds, weight)]
        encoder.check(_check_tree, type(obj).__name__, *parts, nodes, numbers, distance)
        return {
            "class": type(obj).__name__,
            "data": encoder(np.asarray(data), "data"),
            "index": encoder.own(np.asarray(index), "index"),
            "nodes": {
                name: encoder(np.ascontiguousarray(nodes[name]), "nodes", name) for name in nodes.dtype.names
            },
            "bounds": encoder(np.asarray(bounds), "bounds"),
            "numbers": numbers,
            "distance": encoder(distance, "distance"),
            "weight": encoder(None if weight is None else np.asarray(weight), "weight"),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        cls = trust.resolve(_TREES[state["class"]])
        data, bounds, weight = (decoder(state[key]) for key in ("data", "bounds", "weight"))
        index = decoder.own(state["index"])
        decoder.budget.charge(getattr(data, "nbytes", 0))
        nodes = _records({name: decoder(value) for name, value in state["nodes"].items()})
        numbers, distance = state["numbers"], decoder(state["distance"])
        _check_tree(state["class"], data, index, bounds, weight, nodes, numbers, distance)
        tree = cls.__new__(cls)
        tree.__setstate__((data, index, nodes, bounds, *numbers, distance, weight))
        return tree


def _records(columns: dict[str, Any]) -> NDArray[Any]:
    if set(columns) != set(_NODE.names or ()):
        raise ValueError("the nodes do not have the fields of this scikit-learn")
    for name, column in columns.items():
        _check_array(column, _NODE[name], 1)
    sizes = {len(column) for column in columns.values()}
    nodes = np.zeros(sizes.pop(), _NODE)
    if sizes:
        raise ValueError("the fields of the nodes have different lengths")
    for name, column in columns.items():
        nodes[name] = column
    return nodes


def _check_tree(
    kind: str, data: Any, index: Any, bounds: Any, weight: Any, nodes: Any, numbers: list[int], distance: Any
) -> None:
    """Raise ValueError unless these are the parts of one tree, as far as native code relies on them."""
    real = np.float32 if kind.endswith("32") else np.float64
    for array, dtype, ndim in ((data, real, 2), (index, np.int64, 1), (bounds, real, 3)):
        _check_array(array, dtype, ndim)
    if len(numbers) != 7 or not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
        raise ValueError("the counts of a tree are not integers that can be counts")
    if weight is not None:
        _check_array(weight, real, 1)
        if len(weight) != len(data):
            raise ValueError("there is not one weight for each sample")
    _check_nodes(kind, data, index, nodes, bounds, numbers)
    if not DistanceCodec().accepts(type(distance)):
        raise ValueError("a distance is missing")
    check_distance(distance, data.shape[1])


def _check_nodes(
    kind: str,
    data: NDArray[Any],
    index: NDArray[Any],
    nodes: NDArray[Any],
    bounds: NDArray[Any],
    numbers: list[int],
) -> None:
    rows, features = data.shape
    leaf_size, levels, count = numbers[:3]
    if len(index) != rows or not _is_permutation(index):
        raise ValueError("the index is not a permutation of the samples")
    if leaf_size < 1 or not 1 <= levels <= _MAX_LEVELS or count != 2**levels - 1 or count != len(nodes):
        raise ValueError("the number of nodes does not fit the number of levels")
    sides = 2 if kind.startswith("KD") else 1
    if bounds.shape != (sides, count, features):
        raise ValueError("the bounds do not fit the nodes")
    start, end = nodes["idx_start"], nodes["idx_end"]
    if (start < 0).any() or (end < start).any() or (end > rows).any():
        raise ValueError("the samples of a node are outside of the data")
    if (nodes["is_leaf"][count // 2 :] == 0).any():
        raise ValueError("a node of the last level has children")


def _is_permutation(index: NDArray[Any]) -> bool:
    """Whether each of 0 to n - 1 occurs once."""
    if index.size and not 0 <= int(index.min()) <= int(index.max()) < len(index):
        return False
    seen = np.zeros(len(index), bool)
    seen[index] = True
    return bool(seen.all())
