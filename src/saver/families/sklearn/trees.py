"""Decision trees, many at a time: the nodes of a whole forest are a few tensors, one for each field.

scikit-learn's compiled code follows child indices without looking, so a file's trees are checked here
first: children lie behind their parent and inside the tree, none has two parents, features exist, and the
declared depth covers the real one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import BatchCodec, Decoder, Encoder, added, private
from saver.tree import Value

_NARROW = np.dtype(np.int32)
_BITSET_WORDS = 8
"""A bitset has one bit for each of the 256 values of a binned category."""


def _joined(records: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Structured arrays of one dtype, one after another; NumPy would compare their fields, each time."""
    dtype = records[0].dtype
    if any(found.dtype != dtype for found in records):
        return np.concatenate(records)
    plain = np.dtype((np.void, dtype.itemsize))
    return np.concatenate([np.ascontiguousarray(found).view(plain) for found in records]).view(dtype)


def _encode_records(records: NDArray[Any], encoder: Encoder) -> dict[str, Value]:
    """A structured array as one tensor for each field; integers in 32 bits where they fit."""
    return {name: encoder.tensor(_narrow(records[name]), name) for name in records.dtype.names or ()}


def _narrow(column: NDArray[Any]) -> NDArray[Any]:
    limits = np.iinfo(_NARROW)
    if column.dtype == np.int64 and column.size and limits.min <= column.min() and column.max() <= limits.max:
        return column.astype(_NARROW)
    return np.ascontiguousarray(column)


def _decode_records(state: Any, dtype: np.dtype[Any], decoder: Decoder) -> NDArray[Any]:
    columns = {name: decoder.array(tensor, ndim=1) for name, tensor in state.items()}
    if set(columns) != set(dtype.names or ()):
        raise ValueError(
            f"nodes have the fields {sorted(columns)}, this scikit-learn's have {sorted(dtype.names or ())}"
        )
    sizes = {column.size for column in columns.values()}
    if len(sizes) != 1:
        raise ValueError("the fields of the nodes have different lengths")
    whole = np.zeros(sizes.pop(), dtype)
    for name, column in columns.items():
        if not np.can_cast(column.dtype, dtype[name], "same_kind") and column.dtype.kind != dtype[name].kind:
            raise ValueError(f"nodes have {column.dtype} for {name!r}, expected {dtype[name]}")
        whole[name] = column
    return whole


def bounds_of(counts: NDArray[Any], total: int, what: str) -> NDArray[np.int64]:
    """The offset at which each tree's share begins, and the end of the last one. Raises ValueError if the
    shares do not add up to `total`."""
    if counts.size and (counts.min() < 0 or counts.max() > total):
        raise ValueError(f"the trees declare {int(counts.min())} to {int(counts.max())} {what} of {total}")
    ends = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    if ends[-1] != total:
        raise ValueError(f"the trees declare {int(ends[-1])} {what}, the file has {total}")
    return ends


def check_children(
    left: NDArray[Any], right: NDArray[Any], leaf: NDArray[np.bool_], bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The depth of every tree, once all nodes are known to form trees. Nodes that no other leads to, as when
    a tree was pruned by hand, are harmless.

    `left`, `right` and `leaf` are those of all trees, one after another; children count from their tree's
    first node. Time: linear in the nodes, and one pass for each level.
    """
    sizes = np.diff(bounds)
    if sizes.size and sizes.min() < 1:
        raise ValueError("a tree has no nodes")
    first = np.repeat(bounds[:-1], sizes)
    last = np.repeat(bounds[1:], sizes)
    parents = np.flatnonzero(~leaf)
    children = np.concatenate((left[parents], right[parents])).astype(np.int64) + np.tile(first[parents], 2)
    if (children <= np.tile(parents, 2)).any() or (children >= np.tile(last[parents], 2)).any():
        raise ValueError("a child of a node comes before it or is outside of its tree")
    reached = np.bincount(children, minlength=len(left))
    reached[bounds[:-1]] += 1
    if (reached > 1).any():
        raise ValueError("a node has more than one parent")
    return _depths(children, parents, leaf, bounds)


def _depths(
    children: NDArray[np.int64],
    parents: NDArray[Any],
    leaf: NDArray[np.bool_],
    bounds: NDArray[np.int64],
) -> NDArray[np.int64]:
    to_left = np.full(len(leaf), -1, np.int64)
    to_right = np.full(len(leaf), -1, np.int64)
    to_left[parents], to_right[parents] = np.split(children, 2)
    owner = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    depths = np.zeros(len(bounds) - 1, np.int64)
    level, front = 0, bounds[:-1]
    while front.size:
        depths[owner[front]] = level
        inner = front[~leaf[front]]
        front = np.concatenate((to_left[inner], to_right[inner]))
        level += 1
    return depths


def _check(nodes: NDArray[Any], bounds: NDArray[Any], depths: NDArray[Any], features: NDArray[Any]) -> None:
    """Raise ValueError unless the nodes form trees of those depths, which ask for features that they have."""
    left, right = nodes["left_child"], nodes["right_child"]
    leaf = left == -1
    if (right[leaf] != -1).any():
        raise ValueError("a leaf has a right child")
    real = check_children(left, right, leaf, bounds)
    sizes = np.diff(bounds)
    if (depths < real).any() or (depths > sizes).any():
        raise ValueError("a tree is deeper than it declares")
    owner_features = np.repeat(features, sizes)[~leaf]
    feature = nodes["feature"][~leaf]
    if (feature < 0).any() or (feature >= owner_features).any():
        raise ValueError("a node refers to a feature that the tree does not have")


class TreeCodec(BatchCodec):
    """`sklearn.tree._tree.Tree`, the compiled part of every decision tree."""

    name = "sklearn.tree"
    names = frozenset(("sklearn.tree._tree:Tree",))

    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        states = [tree.__getstate__() for tree in objects]
        nodes = _joined([state["nodes"] for state in states])
        trees = np.array(
            [
                (len(state["nodes"]), state["max_depth"], tree.n_features, tree.n_outputs)
                for tree, state in zip(objects, states, strict=True)
            ],
            np.int64,
        )
        counts, depths, features, _ = trees.T
        encoder.check(_check, nodes, bounds_of(counts, len(nodes), "nodes"), depths, features)
        return {
            "nodes": _encode_records(nodes, encoder),
            "values": encoder.tensor(np.concatenate([state["values"].ravel() for state in states]), "values"),
            "trees": encoder.tensor(trees, "trees"),
            "classes": encoder.tensor(
                np.concatenate([np.asarray(tree.n_classes, np.int64) for tree in objects]),
                "classes",
            ),
        }

    def decode_batch(self, state: Any, decoder: Decoder) -> Sequence[Any]:
        nodes = _decode_records(state["nodes"], self.dtype(), decoder)
        values = decoder.array(state["values"], "F64", 1)
        counts, depths, features, outputs = columns_of(decoder.array(state["trees"], "I64", 2), 4)
        classes = decoder.array(state["classes"], "I64", 1)
        bounds = bounds_of(counts, len(nodes), "nodes")
        class_bounds = bounds_of(outputs, len(classes), "outputs")
        _check(nodes, bounds, depths, features)
        if (classes < 1).any() or (outputs < 1).any() or (classes > values.size).any():
            raise ValueError("a tree has an impossible number of classes or outputs")
        most = np.maximum.reduceat(classes, class_bounds[:-1]) if len(classes) else classes
        strides = [o * m for o, m in zip(outputs.tolist(), most.tolist(), strict=True)]
        sizes = [n * s for n, s in zip(counts.tolist(), strides, strict=True)]
        if sum(sizes) != values.size:
            raise ValueError(f"the trees need {sum(sizes)} values, the file has {values.size}")
        return self._build(nodes, values, bounds, sizes, depths, features, classes, class_bounds)

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
        nodes: NDArray[Any],
        values: NDArray[Any],
        bounds: NDArray[Any],
        sizes: list[int],
        depths: NDArray[Any],
        features: NDArray[Any],
        classes: NDArray[Any],
        class_bounds: NDArray[Any],
    ) -> list[Any]:
        found, at = [], 0
        spans = zip(
            pairwise(bounds.tolist()),
            pairwise(class_bounds.tolist()),
            sizes,
            depths.tolist(),
            features.tolist(),
            strict=True,
        )
        for (start, end), (first, last), size, depth, n_features in spans:
            n_classes = np.array(classes[first:last], np.intp)
            shape = (end - start, last - first, int(n_classes.max()))
            state = {
                "max_depth": depth,
                "node_count": end - start,
                "nodes": nodes[start:end],
                "values": values[at : at + size].reshape(shape),
            }
            at += size
            found.append(self.made(n_features, n_classes, last - first, state))
        return found


def columns_of(table: NDArray[Any], count: int) -> list[NDArray[Any]]:
    """The columns of a table. Raises ValueError unless there are `count` of them."""
    if table.shape[1] != count:
        raise ValueError(f"a table has {table.shape[1]} columns, expected {count}")
    return [table[:, i] for i in range(count)]


def _check_predictors(
    nodes: NDArray[Any], counts: NDArray[Any], binned: NDArray[Any], raw: NDArray[Any]
) -> None:
    """Raise ValueError unless the nodes form trees, whose categorical splits have bitsets of both kinds."""
    leaf = nodes["is_leaf"] != 0
    check_children(nodes["left"], nodes["right"], leaf, bounds_of(counts, len(nodes), "nodes"))
    split = ~leaf & (nodes["is_categorical"] != 0)
    available = np.minimum(binned, raw)
    if (nodes["bitset_idx"][split] >= np.repeat(available, counts)[split]).any():
        raise ValueError("a categorical split refers to a bitset that is missing")
    if (nodes["feature_idx"][~leaf] < 0).any():
        raise ValueError("a node refers to a feature with a negative index")


class PredictorCodec(BatchCodec):
    """`TreePredictor`, a tree of histogram gradient boosting, with the bitsets of its categorical splits."""

    name = "sklearn.predictor"
    names = frozenset(("sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor",))

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "nodes", "binned_left_cat_bitsets", "raw_left_cat_bitsets", *private(obj))

    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        binned = [np.asarray(tree.binned_left_cat_bitsets) for tree in objects]
        raw = [np.asarray(tree.raw_left_cat_bitsets) for tree in objects]
        nodes = _joined([tree.nodes for tree in objects])
        counts = [(len(t.nodes), len(b), len(r)) for t, b, r in zip(objects, binned, raw, strict=True)]
        trees = np.array(counts, np.int64)
        encoder.check(_check_predictors, nodes, *trees.T)
        return {
            "nodes": _encode_records(nodes, encoder),
            "binned_bitsets": encoder.tensor(np.concatenate(binned), "binned_bitsets"),
            "raw_bitsets": encoder.tensor(np.concatenate(raw), "raw_bitsets"),
            "trees": encoder.tensor(trees, "trees"),
        }

    def decode_batch(self, state: Any, decoder: Decoder) -> Sequence[Any]:
        nodes = _decode_records(state["nodes"], self.dtype(), decoder)
        bitsets = [decoder.array(state[f"{kind}_bitsets"], "U32", 2) for kind in ("binned", "raw")]
        counts, *bitset_counts = columns_of(decoder.array(state["trees"], "I64", 2), 3)
        if any(table.shape[1] != _BITSET_WORDS for table in bitsets):
            raise ValueError("a bitset must have 256 bits")
        bounds = bounds_of(counts, len(nodes), "nodes")
        binned, raw = (
            bounds_of(declared, len(table), "bitsets")
            for declared, table in zip(bitset_counts, bitsets, strict=True)
        )
        _check_predictors(nodes, counts, *bitset_counts)
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
