"""The CF tree of `Birch`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import BatchCodec, Decoder, Encoder, added, private
from saver.families.sklearn.nodes import bounds_of
from saver.families.sklearn.trees import columns_of
from saver.tree import Value

_FIELDS = (
    "branching_factor", "centroids_", "init_centroids_", "init_sq_norm_", "is_leaf", "n_features",
    "next_leaf_", "prev_leaf_", "squared_norm_", "subclusters_", "threshold",
)  # fmt: skip


class BirchNodeCodec(BatchCodec):
    """The nodes of a CF tree: a graph with long chains of leaves, so it is stored flat.

    A node's centroids are views of its memory for them, and are again.
    """

    name = "sklearn.birch_node"
    names = frozenset(("sklearn.cluster._birch:_CFNode",))

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *_FIELDS, *private(obj))

    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        groups: dict[tuple[str, ...], list[Any]] = {}  # nodes of one model, or of models that are alike
        places = []
        for node in objects:
            like = (repr(node.threshold), repr(node.n_features), node.init_centroids_.dtype.str)
            group = groups.setdefault(like, [])
            places.append([list(groups).index(like), len(group)])
            group.append(node)
        return {"groups": [self._encode_group(group, encoder) for group in groups.values()], "places": places}

    def _encode_group(self, objects: list[Any], encoder: Encoder) -> Value:
        nodes, number = _reached(objects)
        subs = [sub for node in nodes for sub in node.subclusters_]
        real = nodes[0].init_centroids_.dtype
        links = [
            (len(n.init_centroids_), n.n_features, n.branching_factor, bool(n.is_leaf), len(n.subclusters_),
             number[id(n.prev_leaf_)], number[id(n.next_leaf_)])
            for n in nodes
        ]  # fmt: skip
        numbers = [(s.n_samples_, number[id(s.child_)], s.centroid_ is s.linear_sum_) for s in subs]
        squares = np.array([(s.squared_sum_, s.sq_norm_) for s in subs], real).reshape(-1, 2)
        arrays = {
            "nodes": np.array(links, np.int64),
            "centroids": np.concatenate([n.init_centroids_.ravel() for n in nodes]),
            "norms": np.concatenate([n.init_sq_norm_ for n in nodes]),
            "subclusters": np.array(numbers, np.int64).reshape(-1, 3),
            "sums": _joined([s.linear_sum_ for s in subs], real),
            "means": _joined([s.centroid_ for s in subs], real),
            "squares": squares,
        }
        return {
            "asked": [number[id(node)] for node in objects],
            "threshold": encoder(nodes[0].threshold),
            **{name: encoder.tensor(array, name) for name, array in arrays.items()},
        }

    def decode_batch(self, state: Any, decoder: Decoder) -> Any:
        groups = [self._decode_group(group, decoder) for group in state["groups"]]
        return [groups[group][place] for group, place in state["places"]]

    def _decode_group(self, state: Any, decoder: Decoder) -> Any:
        from sklearn.cluster._birch import _CFNode

        table = decoder.array(state["nodes"], "I64", 2)
        numbers = decoder.array(state["subclusters"], "I64", 2)
        centroids, norms, sums, means = (
            decoder.array(state[key], ndim=1) for key in ("centroids", "norms", "sums", "means")
        )
        squares = decoder.array(state["squares"], ndim=2)
        width = _check(table, numbers, centroids, squares)
        vectors = [array.reshape(len(numbers), width) for array in (sums, means)]
        nodes = [_CFNode.__new__(_CFNode) for _ in range(len(table))]
        subs = [
            _subcluster(n, nodes[child] if child >= 0 else None, total, total if single else mean, square)
            for (n, child, single), total, mean, square in zip(
                numbers.tolist(), *vectors, squares, strict=True
            )
        ]
        _fill(nodes, subs, table, centroids, norms, decoder(state["threshold"]))
        return [nodes[index] for index in state["asked"]]


def _reached(objects: list[Any]) -> tuple[list[Any], dict[int, int]]:
    """The nodes, all that they lead to, and the number of each by its id; None has the number -1."""
    nodes = list({id(node): node for node in objects}.values())
    number = {id(node): index for index, node in enumerate(nodes)}
    for node in nodes:
        near = (node.prev_leaf_, node.next_leaf_, *(sub.child_ for sub in node.subclusters_))
        for other in near:
            if other is not None and id(other) not in number:
                number[id(other)] = len(nodes)
                nodes.append(other)
    return nodes, {**number, id(None): -1}


def _check(table: NDArray[Any], numbers: NDArray[Any], centroids: NDArray[Any], squares: NDArray[Any]) -> int:
    """The width of the vectors, once links lead to nodes and sizes are known to fit."""
    rows, features, _, _, counts, previous, following = columns_of(table, 7)
    links = np.concatenate((previous, following, numbers[:, 1]))
    if (links < -1).any() or (links >= len(rows)).any() or (counts > rows).any() or (features < 0).any():
        raise ValueError("a node of the CF tree leads nowhere")
    size = sum(r * f for r, f in zip(rows.tolist(), features.tolist(), strict=True))
    if size != len(centroids) or len(set(features.tolist())) > 1 or len(squares) != len(numbers):
        raise ValueError("the centroids do not fit the nodes of the CF tree")
    return int(features[0]) if len(rows) else 0


def _fill(
    nodes: list[Any], subs: list[Any], table: NDArray[Any], centroids: Any, norms: Any, threshold: Any
) -> None:
    """Give the nodes their attributes: each its share of the centroids, norms and subclusters."""
    rows, _, _, _, counts, _, _ = table.T
    norm_ends, sub_ends = bounds_of(rows, len(norms), "rows"), bounds_of(counts, len(subs), "subclusters")
    width = int(table[0, 1]) if len(table) else 0
    for index, (node, row) in enumerate(zip(nodes, table.tolist(), strict=True)):
        row_count, _, factor, is_leaf, own, before, after = row
        first = int(norm_ends[index])
        block = centroids[first * width : (first + row_count) * width].reshape(row_count, width)
        norm = norms[first : first + row_count]
        node.__dict__.update(
            threshold=threshold, branching_factor=factor, is_leaf=bool(is_leaf), n_features=width,
            subclusters_=subs[int(sub_ends[index]) : int(sub_ends[index + 1])],
            init_centroids_=block, init_sq_norm_=norm,
            squared_norm_=norm[:own] if own else [],
            prev_leaf_=nodes[before] if before >= 0 else None,
            next_leaf_=nodes[after] if after >= 0 else None,
        )  # fmt: skip
        if own:
            node.__dict__["centroids_"] = block[:own]


def _joined(vectors: list[Any], real: np.dtype[Any]) -> NDArray[Any]:
    return np.concatenate([np.ravel(v) for v in vectors]).astype(real) if vectors else np.empty(0, real)


def _subcluster(samples: int, child: Any, total: Any, mean: Any, square: Any) -> Any:
    from sklearn.cluster._birch import _CFSubcluster

    sub = _CFSubcluster.__new__(_CFSubcluster)
    sub.__dict__.update(
        n_samples_=samples,
        squared_sum_=square[0],
        centroid_=mean,
        linear_sum_=total,
        sq_norm_=square[1],
        child_=child,
    )
    return sub
