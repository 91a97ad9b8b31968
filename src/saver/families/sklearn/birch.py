"""The CF tree of `Birch`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import BatchCodec, Decoder, Encoder
from saver.families.sklearn.trees import bounds_of, columns_of
from saver.tree import Value


class BirchNodeCodec(BatchCodec):
    """The nodes of a CF tree: a graph with long chains of leaves, so it is stored flat.

    The centroids of a node are views of one array, and are views of one again after loading.
    """

    name = "sklearn.birch_node"
    names = frozenset(("sklearn.cluster._birch:_CFNode",))

    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        nodes, number = _reached(objects)
        subs = [sub for node in nodes for sub in node.subclusters_]
        real = nodes[0].init_centroids_.dtype
        links = [
            (len(n.init_centroids_), n.n_features, n.branching_factor, bool(n.is_leaf), len(n.subclusters_),
             number[id(n.prev_leaf_)], number[id(n.next_leaf_)])
            for n in nodes
        ]  # fmt: skip
        numbers = [(s.n_samples_, number[id(s.child_)], s.centroid_ is s.linear_sum_) for s in subs]
        arrays = {
            "nodes": np.array(links, np.int64),
            "centroids": np.concatenate([n.init_centroids_.ravel() for n in nodes]),
            "norms": np.concatenate([n.init_sq_norm_ for n in nodes]),
            "subclusters": np.array(numbers, np.int64).reshape(-1, 3),
            "sums": _joined([s.linear_sum_ for s in subs], real),
            "means": _joined([s.centroid_ for s in subs], real),
            "squares": np.array([(s.squared_sum_, s.sq_norm_) for s in subs], real).reshape(-1, 2),
        }
        return {
            "asked": [number[id(node)] for node in objects],
            "threshold": encoder(nodes[0].threshold),
            **{name: encoder.tensor(array, name) for name, array in arrays.items()},
        }

    def decode_batch(self, state: Any, decoder: Decoder) -> Any:
        table = columns_of(decoder.array(state["nodes"], "I64", 2), 7)
        rows, features, _, _, counts, *_ = table
        numbers = decoder.array(state["subclusters"], "I64", 2)
        centroids, norms, sums, means = (
            decoder.array(state[key], ndim=1) for key in ("centroids", "norms", "sums", "means")
        )
        squares = decoder.array(state["squares"], ndim=2)
        _check_links(table, numbers)
        norm_ends = bounds_of(rows, len(norms), "rows")
        sub_ends = bounds_of(counts, len(numbers), "subclusters")
        if (
            sum(r * f for r, f in zip(rows.tolist(), features.tolist(), strict=True)) != len(centroids)
            or len(set(features.tolist())) > 1
            or len(squares) != len(numbers)
        ):
            raise ValueError("the centroids do not fit the nodes of the CF tree")
        width = int(features[0]) if len(rows) else 0
        vectors = [array.reshape(len(numbers), width) for array in (sums, means)]
        threshold = decoder(state["threshold"])
        from sklearn.cluster._birch import _CFNode

        nodes = [_CFNode.__new__(_CFNode) for _ in range(len(rows))]
        subs = list(_subclusters(numbers, nodes, *vectors, squares))
        for index, node in enumerate(nodes):
            first, last = int(norm_ends[index]), int(norm_ends[index + 1])
            own = subs[int(sub_ends[index]) : int(sub_ends[index + 1])]
            block = centroids[first * width : last * width].reshape(last - first, width)
            row = [int(column[index]) for column in table]
            _fill(node, nodes, row, threshold, own, block, norms[first:last])
        return [nodes[index] for index in state["asked"]]


def _reached(objects: list[Any]) -> tuple[list[Any], dict[int, int]]:
    """These nodes and all that they lead to, and the number of each by its identity; -1 if there is none."""
    nodes = list({id(node): node for node in objects}.values())
    number = {id(node): index for index, node in enumerate(nodes)}
    for node in nodes:
        near = (node.prev_leaf_, node.next_leaf_, *(sub.child_ for sub in node.subclusters_))
        for other in near:
            if other is not None and id(other) not in number:
                number[id(other)] = len(nodes)
                nodes.append(other)
    number[id(None)] = -1
    return nodes, number


def _check_links(table: list[NDArray[Any]], numbers: NDArray[Any]) -> None:
    """Raise ValueError if a node refers to a missing one, or has more subclusters than memory."""
    rows, features, _, _, counts, previous, following = table
    links = np.concatenate((previous, following, numbers[:, 1]))
    if (links < -1).any() or (links >= len(rows)).any() or (counts > rows).any() or (features < 0).any():
        raise ValueError("a node of the CF tree refers to a node, row or feature that does not exist")


def _fill(
    node: Any, nodes: list[Any], row: list[int], threshold: Any, subs: list[Any], block: Any, norm: Any
) -> None:
    """Set the attributes of a node from its row of the table; `block` and `norm` are its memory."""
    _, features, factor, is_leaf, own, before, after = row
    node.__dict__.update(
        threshold=threshold, branching_factor=factor, is_leaf=bool(is_leaf), n_features=features,
        subclusters_=subs,
        init_centroids_=block, init_sq_norm_=norm,
        squared_norm_=norm[:own] if own else [],
        prev_leaf_=nodes[before] if before >= 0 else None,
        next_leaf_=nodes[after] if after >= 0 else None,
    )  # fmt: skip
    if own:
        node.__dict__["centroids_"] = block[:own]


def _joined(vectors: list[Any], real: np.dtype[Any]) -> NDArray[Any]:
    return np.concatenate([np.ravel(v) for v in vectors]).astype(real) if vectors else np.empty(0, real)


def _subclusters(numbers: NDArray[Any], nodes: list[Any], *vectors: Any) -> Iterator[Any]:
    """Subclusters from their samples, child and whether the mean is the sum itself; `vectors` are the sums,
    the means, and the squared sum and norm of each."""
    from sklearn.cluster._birch import _CFSubcluster

    for (samples, child, single), total, mean, square in zip(numbers.tolist(), *vectors, strict=True):
        sub = _CFSubcluster.__new__(_CFSubcluster)
        sub.__dict__.update(
            n_samples_=samples,
            squared_sum_=square[0],
            centroid_=total if single else mean,
            linear_sum_=total,
            sq_norm_=square[1],
            child_=nodes[child] if child >= 0 else None,
        )
        yield sub
