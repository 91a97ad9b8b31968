"""The CF tree of `Birch`."""

from __future__ import annotations

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
        nodes = list({id(node): node for node in objects}.values())
        number = {id(node): index for index, node in enumerate(nodes)}
        for node in nodes:
            near = (node.prev_leaf_, node.next_leaf_, *(sub.child_ for sub in node.subclusters_))
            for other in near:
                if other is not None and id(other) not in number:
                    number[id(other)] = len(nodes)
                    nodes.append(other)
        number[id(None)] = -1
        subs = [sub for node in nodes for sub in node.subclusters_]
        real = nodes[0].init_centroids_.dtype
        links = [
            (len(n.init_centroids_), n.n_features, n.branching_factor, bool(n.is_leaf), len(n.subclusters_),
             number[id(n.prev_leaf_)], number[id(n.next_leaf_)])
            for n in nodes
        ]  # fmt: skip
        numbers = [(s.n_samples_, number[id(s.child_)], s.centroid_ is s.linear_sum_) for s in subs]
        return {
            "asked": [number[id(node)] for node in objects],
            "threshold": encoder(nodes[0].threshold),
            "nodes": encoder.tensor(np.array(links, np.int64), "nodes"),
            "centroids": encoder.tensor(
                np.concatenate([n.init_centroids_.ravel() for n in nodes]), "centroids"
            ),
            "norms": encoder.tensor(np.concatenate([n.init_sq_norm_ for n in nodes]), "norms"),
            "subclusters": encoder.tensor(np.array(numbers, np.int64).reshape(-1, 3), "subclusters"),
            "sums": encoder.tensor(_joined([s.linear_sum_ for s in subs], real), "sums"),
            "means": encoder.tensor(_joined([s.centroid_ for s in subs], real), "means"),
            "squares": encoder.tensor(
                np.array([(s.squared_sum_, s.sq_norm_) for s in subs], real).reshape(-1, 2),
                "squares",
            ),
        }

    def decode_batch(self, state: Any, decoder: Decoder) -> Any:
        table = columns_of(decoder.array(state["nodes"], "I64", 2), 7)
        rows, features, _, _, counts, previous, following = table
        numbers = decoder.array(state["subclusters"], "I64", 2)
        centroids, norms, sums, means = (
            decoder.array(state[key], ndim=1) for key in ("centroids", "norms", "sums", "means")
        )
        squares = decoder.array(state["squares"], ndim=2)
        count = len(rows)
        links = np.concatenate((previous, following, numbers[:, 1]))
        if (links < -1).any() or (links >= count).any() or (counts > rows).any() or (features < 0).any():
            raise ValueError("a node of the CF tree refers to a node, row or feature that does not exist")
        norm_ends = bounds_of(rows, len(norms), "rows")
        sub_ends = bounds_of(counts, len(numbers), "subclusters")
        sizes = [r * f for r, f in zip(rows.tolist(), features.tolist(), strict=True)]
        if sum(sizes) != len(centroids) or len(set(features.tolist())) > 1 or len(squares) != len(numbers):
            raise ValueError("the centroids do not fit the nodes of the CF tree")
        width = int(features[0]) if count else 0
        vectors = [array.reshape(len(numbers), width) for array in (sums, means)]
        threshold = decoder(state["threshold"])
        from sklearn.cluster._birch import _CFNode

        nodes = [_CFNode.__new__(_CFNode) for _ in range(count)]
        subs = [
            _subcluster(n, nodes[child] if child >= 0 else None, total, total if single else mean, square)
            for (n, child, single), total, mean, square in zip(
                numbers.tolist(), *vectors, squares, strict=True
            )
        ]
        at = 0
        for index, node in enumerate(nodes):
            row_count, _, factor, is_leaf, own, before, after = (int(column[index]) for column in table)
            first, size = int(norm_ends[index]), sizes[index]
            block = centroids[at : at + size].reshape(row_count, width)
            norm = norms[first : first + row_count]
            at += size
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
        return [nodes[index] for index in state["asked"]]


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
