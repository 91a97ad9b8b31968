"""The CF tree of `Birch` as pickles hold it: nodes and subclusters, which lead to each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from saver.codec import Encoder
from saver.families.numpy.pickles import array_of
from saver.families.sklearn.birch import BirchNodeCodec
from saver.families.sklearn.old_values import number_of
from saver.pickled import Call, NotReadError, Pickled, attributes_of, sequence
from saver.tree import Value

_NODE = ("n_features", "branching_factor", "is_leaf", "threshold")
_SUBCLUSTER = ("n_samples_", "squared_sum_", "sq_norm_")


class BirchNodePickled(BirchNodeCodec):
    """Nodes, with all that they lead to."""

    names = frozenset[str]()

    def unsaved(self, obj: Any) -> tuple[()]:
        return ()

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return list(encoder.batch(self, obj))

    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        graph = _Graph()
        found = [graph.node(each) for each in objects]
        graph.fill()
        return super().encode_batch(found, encoder)


class SubclusterPickled(Pickled):
    """A subcluster, which belongs to a node."""

    name = "sklearn.birch_node"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        raise NotReadError("a subcluster lies outside of its tree")


class _Graph:
    """The nodes as the codec of scikit-learn's own takes them. They are filled one after the other, since
    chains of leaves are long."""

    def __init__(self) -> None:
        self._nodes: dict[int, SimpleNamespace] = {}
        self._arrays: dict[int, Any] = {}
        self._waiting: list[Call] = []

    def node(self, value: Any) -> Any:
        """What stands for a node; it has no attributes yet."""
        if value is None:
            return None
        if type(value) is not Call or value.function.name != "_CFNode":
            raise NotReadError("a CF tree has other nodes than its own")
        if id(value) not in self._nodes:
            self._nodes[id(value)] = SimpleNamespace()
            self._waiting.append(value)
        return self._nodes[id(value)]

    def fill(self) -> None:
        """Give all nodes their attributes."""
        while self._waiting:
            call = self._waiting.pop()
            own = attributes_of(call)
            subclusters = sequence(own.get("subclusters_"), "the subclusters of a node")
            vars(self._nodes[id(call)]).update(
                {name: _number(own, name) for name in _NODE},
                init_centroids_=self._array(own.get("init_centroids_")),
                init_sq_norm_=self._array(own.get("init_sq_norm_")),
                subclusters_=[self._subcluster(each) for each in subclusters],
                prev_leaf_=self.node(own.get("prev_leaf_")), next_leaf_=self.node(own.get("next_leaf_")),
            )  # fmt: skip

    def _subcluster(self, call: Any) -> SimpleNamespace:
        own = attributes_of(call) if type(call) is Call else {}
        arrays = {name: self._array(own.get(name)) for name in ("centroid_", "linear_sum_")}
        numbers = {name: _number(own, name) for name in _SUBCLUSTER}
        return SimpleNamespace(**numbers, **arrays, child_=self.node(own.get("child_")))

    def _array(self, value: Any) -> Any:
        return self._arrays.setdefault(id(value), array_of(value))


def _number(own: dict[str, Any], name: str) -> Any:
    value = own.get(name)
    if type(value) is bool:
        return value
    found = number_of(value, f"the attribute {name} of a CF tree")
    return int(found) if name in ("n_features", "branching_factor", "n_samples_") else found
