"""Decision trees, many at a time: the nodes of a whole forest are a few tensors, one for each field.

scikit-learn's compiled code follows child indices without looking, so a file's trees are checked first
(`nodes.py`): children lie behind their parent and inside the tree, none has two parents, features exist, and
the declared depth covers the real one. What is checked is a copy that nothing else can change, and the trees
are built from that copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import BatchCodec, Decoder, Encoder, added, private
from saver.families.sklearn.nodes import (
    Columns,
    bounds_of,
    check_children,
    check_nodes,
    columns_from,
    columns_in,
    records_from,
    runs,
)
from saver.rules import Broken
from saver.tree import Value

_CHECKED = ("left_child", "right_child", "feature")
_BITSET_WORDS = 8
"""A bitset has one bit for each of the 256 values of a binned category."""


class TreeCodec(BatchCodec):
    """`sklearn.tree._tree.Tree`, the compiled part of every decision tree."""

    name = "sklearn.tree"
    names = frozenset(("sklearn.tree._tree:Tree",))

    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        states = [tree.__getstate__() for tree in objects]
        nodes = columns_from([state["nodes"] for state in states])
        trees = np.array(
            [
                (len(state["nodes"]), state["max_depth"], tree.n_features, tree.n_outputs)
                for tree, state in zip(objects, states, strict=True)
            ],
            np.int64,
        )
        counts, depths, features, _ = trees.T
        bounds = bounds_of(counts, len(nodes["feature"]), "nodes")
        encoder.check(check_nodes, nodes, bounds, depths, features)
        return {
            "nodes": {name: encoder.tensor(column, name) for name, column in nodes.items()},
            "values": encoder.tensor(np.concatenate([state["values"].ravel() for state in states]), "values"),
            "trees": encoder.tensor(trees, "trees"),
            "classes": encoder.tensor(
                np.concatenate([np.asarray(tree.n_classes, np.int64) for tree in objects]),
                "classes",
            ),
        }

    def decode_batch(self, state: Any, decoder: Decoder) -> Sequence[Any]:
        nodes = columns_in(state["nodes"], self.dtype(), decoder)
        values = decoder.array(state["values"], "F64", 1)
        counts, depths, features, outputs = columns_of(decoder.array(state["trees"], "I64", 2), 4)
        classes = decoder.array(state["classes"], "I64", 1).astype(np.intp)  # a copy
        bounds = bounds_of(counts, len(nodes["feature"]), "nodes")
        class_bounds = bounds_of(outputs, len(classes), "outputs")
        if (classes < 1).any() or (outputs < 1).any() or (classes > values.size).any():
            raise Broken("4.08", "a tree has an impossible number of classes or outputs")
        most = np.maximum.reduceat(classes, class_bounds[:-1]) if len(classes) else classes
        shapes = [*zip(counts.tolist(), outputs.tolist(), most.tolist(), strict=True)]
        need = sum(map(math.prod, shapes))
        if need != values.size:
            raise Broken("4.08", f"the trees need {need} values, the file has {values.size}")
        checked = _checked(nodes, self.dtype(), bounds, depths, features)
        return self._build(checked, values, shapes, depths, features, np.split(classes, class_bounds[1:-1]))

    def dtype(self) -> np.dtype[Any]:
        """That of the nodes."""
        from sklearn.tree._tree import NODE_DTYPE

        return NODE_DTYPE  # type: ignore[no-any-return]

    def made(self, features: int, classes: NDArray[np.intp], outputs: int, state: dict[str, Any]) -> Any:
        """A tree."""
        from sklearn.tree._tree import Tree

        found = Tree(features, classes, outputs)
        found.__setstate__(state)
        return found

    def _build(
        self,
        nodes: Iterable[NDArray[Any]],
        values: NDArray[Any],
        shapes: Iterable[tuple[int, int, int]],
        depths: NDArray[Any],
        features: NDArray[Any],
        classes: Iterable[NDArray[np.intp]],
    ) -> list[Any]:
        found, at = [], 0
        each = zip(nodes, shapes, depths.tolist(), features.tolist(), classes, strict=True)
        for own, shape, depth, n_features, n_classes in each:
            size = math.prod(shape)
            state = {
                "max_depth": depth,
                "node_count": len(own),
                "nodes": own,
                "values": values[at : at + size].reshape(shape),
            }
            at += size
            found.append(self.made(n_features, n_classes, len(n_classes), state))
        return found


def _checked(
    nodes: Columns,
    dtype: np.dtype[Any],
    bounds: NDArray[np.int64],
    depths: NDArray[Any],
    features: NDArray[Any],
) -> Iterator[NDArray[Any]]:
    """The nodes of each tree, in memory of their own, once they are known to be sound."""
    for some, span in runs(bounds):
        part = {name: column[span] for name, column in nodes.items()}
        part |= {name: part[name].astype(np.int64) for name in _CHECKED}
        own = bounds[some.start : some.stop + 1] - span.start
        check_nodes(part, own, depths[some], features[some])
        records = records_from(part, dtype)
        yield from (records[start:end] for start, end in pairwise(own.tolist()))


def columns_of(table: NDArray[Any], count: int) -> list[NDArray[Any]]:
    """The columns of a table, copied. Raises ValueError unless there are `count` of them."""
    if table.shape[1] != count:
        raise Broken("4.08", f"a table has {table.shape[1]} columns, expected {count}")
    return [table[:, i].copy() for i in range(count)]


def _check_predictors(nodes: Columns, counts: NDArray[Any], binned: NDArray[Any], raw: NDArray[Any]) -> None:
    """Raise ValueError unless the nodes form trees, whose categorical splits have bitsets of both kinds."""
    leaf = nodes["is_leaf"] != 0
    check_children(nodes["left"], nodes["right"], leaf, bounds_of(counts, len(leaf), "nodes"))
    split = ~leaf & (nodes["is_categorical"] != 0)
    available = np.minimum(binned, raw)
    if (nodes["bitset_idx"][split] >= np.repeat(available, counts)[split]).any():
        raise Broken("4.07", "a categorical split refers to a bitset that is missing")
    if (nodes["feature_idx"][~leaf] < 0).any():
        raise Broken("4.07", "a node refers to a feature with a negative index")


class PredictorCodec(BatchCodec):
    """`TreePredictor`, a tree of histogram gradient boosting, with the bitsets of its categorical splits."""

    name = "sklearn.predictor"
    names = frozenset(("sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor",))

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "nodes", "binned_left_cat_bitsets", "raw_left_cat_bitsets", *private(obj))

    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        binned = [np.asarray(tree.binned_left_cat_bitsets) for tree in objects]
        raw = [np.asarray(tree.raw_left_cat_bitsets) for tree in objects]
        nodes = columns_from([tree.nodes for tree in objects])
        counts = [(len(t.nodes), len(b), len(r)) for t, b, r in zip(objects, binned, raw, strict=True)]
        trees = np.array(counts, np.int64)
        encoder.check(_check_predictors, nodes, *trees.T)
        return {
            "nodes": {name: encoder.tensor(column, name) for name, column in nodes.items()},
            "binned_bitsets": encoder.tensor(np.concatenate(binned), "binned_bitsets"),
            "raw_bitsets": encoder.tensor(np.concatenate(raw), "raw_bitsets"),
            "trees": encoder.tensor(trees, "trees"),
        }

    def decode_batch(self, state: Any, decoder: Decoder) -> Sequence[Any]:
        nodes = records_from(columns_in(state["nodes"], self.dtype(), decoder), self.dtype())
        bitsets = [decoder.array(state[f"{kind}_bitsets"], "U32", 2) for kind in ("binned", "raw")]
        counts, *bitset_counts = columns_of(decoder.array(state["trees"], "I64", 2), 3)
        if any(table.shape[1] != _BITSET_WORDS for table in bitsets):
            raise Broken("4.08", "a bitset must have 256 bits")
        bounds = bounds_of(counts, len(nodes), "nodes")
        binned, raw = (
            bounds_of(declared, len(table), "bitsets")
            for declared, table in zip(bitset_counts, bitsets, strict=True)
        )
        _check_predictors({name: nodes[name] for name in nodes.dtype.names or ()}, counts, *bitset_counts)
        return [
            self.made(nodes[a:b], bitsets[0][c:d], bitsets[1][e:f])
            for (a, b), (c, d), (e, f) in zip(
                *(pairwise(ends.tolist()) for ends in (bounds, binned, raw)), strict=True
            )
        ]

    def dtype(self) -> np.dtype[Any]:
        """That of the nodes."""
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

        return PREDICTOR_RECORD_DTYPE  # type: ignore[no-any-return]

    def made(self, nodes: NDArray[Any], binned: NDArray[Any], raw: NDArray[Any]) -> Any:
        from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

        return TreePredictor(nodes, binned, raw)
