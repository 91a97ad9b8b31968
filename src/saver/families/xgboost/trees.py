"""The trees of a booster: the nodes of all of them are a few arrays, one for each field.

XGBoost's compiled code follows children, parents, features, categories and leaves without looking, so all of
them are checked here, before a model is saved and before XGBoost sees what was loaded.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.families.sklearn.nodes import bounds_of, check_children
from saver.families.xgboost import ubj
from saver.families.xgboost.alike import Table

Arrays = dict[str, NDArray[Any]]

_NODES = {
    "left_children": np.int32,
    "right_children": np.int32,
    "parents": np.int32,
    "split_indices": np.int32,
    "split_type": np.uint8,
    "default_left": np.uint8,
    "split_conditions": np.float32,
    "loss_changes": np.float32,
    "sum_hessian": np.float32,
}
"""The fields with one value for each node."""

_OTHERS = {
    "base_weights": np.float32,
    "leaf_weights": np.float32,
    "categories": np.int32,
    "categories_nodes": np.int32,
    "categories_sizes": np.int64,
}

FIELDS = {**_NODES, **_OTHERS, "trees": np.int64}
"""The arrays that hold all trees. `trees` has a row for each: its nodes, how many of them are deleted, the
length of its leaf vectors, the group it adds to, the length of its leaf weights, of its categories, and of
its categorical nodes."""

_COLUMNS = 7
_PARAMETERS = ("num_nodes", "num_deleted", "size_leaf_vector")
_DELETED = 2**31 - 1
"""As the feature of a node: the node was pruned. As a parent: there is none."""

_MOST_CATEGORIES = 1 << 24
_DEEPEST = 4096
"""XGBoost follows trees by recursion when it explains predictions."""


def read(found: Table, groups: list[int]) -> Arrays:
    """The arrays of the trees that XGBoost wrote. Raises ValueError for what it never writes."""
    if len(groups) != len(found.which):
        raise ValueError("there are not as many groups as trees")
    table = np.zeros((len(groups), _COLUMNS), np.int64)
    for column, name in enumerate(_PARAMETERS):
        table[:, column] = np.array([int(tree[name]) for tree in found.last], np.int64)[found.which]
    table[:, 3] = groups
    for column, name in enumerate(("leaf_weights", "categories", "categories_nodes"), 4):
        table[:, column] = found.counts(name)
    arrays = {name: found.joined(name, dtype) for name, dtype in {**_NODES, **_OTHERS}.items()}
    arrays["trees"] = table
    if not np.array_equal(_segments(arrays), found.joined("categories_segments", np.int64)):
        raise ValueError("the categories of a tree do not follow each other")
    return arrays


def _starts(sizes: NDArray[Any]) -> NDArray[np.int64]:
    starts: NDArray[np.int64] = np.cumsum(sizes, dtype=np.int64) - sizes
    return starts


def write(arrays: Arrays, features: int) -> ubj.Raw:
    """The trees as XGBoost reads them. Those with as many of everything differ in numbers alone."""
    every = {**arrays, "categories_segments": _segments(arrays)}
    rows = [tuple(row) for row in np.delete(arrays["trees"], 3, axis=1).tolist()]
    bounds = _ends(arrays)
    vectors = bool(rows) and rows[0][2] > 1
    names = [name for name in (*_NODES, *_OTHERS, "categories_segments") if name != "leaf_weights" or vectors]
    columns = [_pieces(every[name], bounds[_KINDS.get(name, "nodes")]) for name in names]
    columns.append(_pieces(np.arange(len(rows)), np.arange(len(rows) + 1)))
    gaps = [_gap(name, every[name]) for name in names]
    form = b"{" + b"%%b".join((*gaps, ubj.named("id", b"L"), b"%(last)b}"))
    forms = {row: form % _numbers(row, features) for row in set(rows)}
    each = zip(rows, zip(*columns, strict=True), strict=True)
    return ubj.listed([forms[row] % numbers for row, numbers in each])


def _pieces(array: NDArray[Any], bounds: NDArray[np.int64]) -> list[bytes]:
    """The bytes of each tree's share of an array."""
    if not len(array):
        return [b""] * (len(bounds) - 1)
    data = ubj.big(array)
    return [data[start:end] for start, end in pairwise((bounds * array.itemsize).tolist())]


def _gap(name: str, array: NDArray[Any]) -> bytes:
    """What comes before the numbers of an array, for `%`, which fills in how many there are."""
    return ubj.named(name, ubj.head_of(array)) + b"%%(%b)b" % _KINDS.get(name, "nodes").encode()


def _numbers(row: tuple[int, ...], features: int) -> dict[bytes, bytes]:
    """What a tree with such a row (without its group) has in gaps and at its end, for `%` once more."""
    nodes, deleted, size, leaves, categories, categorical = row
    counts = {
        b"nodes": nodes, b"weights": nodes * size, b"leaves": leaves, b"categories": categories,
        b"categorical": categorical,
    }  # fmt: skip
    texts = {"num_feature": features, "num_nodes": nodes, "num_deleted": deleted, "size_leaf_vector": size}
    last = ubj.named("tree_param", bytes(ubj.write({name: str(number) for name, number in texts.items()})))
    found = {kind: ubj.length_of(count) for kind, count in counts.items()} | {b"last": last}
    return {name: value.replace(b"%", b"%%") for name, value in found.items()}


def _segments(arrays: Arrays) -> NDArray[np.int64]:
    """Where the categories of each categorical node begin, counted from those of its tree."""
    starts, ends = _starts(arrays["categories_sizes"]), _ends(arrays)
    return starts - np.repeat(ends["categories"][:-1], np.diff(ends["categorical"]))


_KINDS = {
    "base_weights": "weights",
    "leaf_weights": "leaves",
    "categories": "categories",
    "categories_nodes": "categorical",
    "categories_sizes": "categorical",
    "categories_segments": "categorical",
}
"""How the values of a field that has not one for each node are divided among the trees."""


def _ends(arrays: Arrays) -> dict[str, NDArray[np.int64]]:
    """Where each tree's share of each kind of field begins, and the end of the last."""
    table = arrays["trees"]
    counts, _, sizes, _, leaves, categories, categorical = (table[:, i] for i in range(_COLUMNS))
    most = max(1, len(arrays["base_weights"]))
    if (sizes < 1).any() or (sizes > most).any() or (counts < 1).any() or (counts > most).any():
        raise ValueError("a tree has no nodes, or an impossible number of them")
    return {
        "nodes": bounds_of(counts, len(arrays["left_children"]), "nodes"),
        "weights": bounds_of(counts * sizes, len(arrays["base_weights"]), "weights"),
        "leaves": bounds_of(leaves, len(arrays["leaf_weights"]), "leaf weights"),
        "categories": bounds_of(categories, len(arrays["categories"]), "categories"),
        "categorical": bounds_of(categorical, len(arrays["categories_nodes"]), "categorical nodes"),
    }


def check(arrays: Arrays, features: int, groups: int) -> int:
    """Raise ValueError unless the arrays are trees over so many features that add to so many groups. Returns
    how many bytes XGBoost needs for the bits of their categories."""
    table = arrays["trees"]
    if table.ndim != 2 or table.shape[1] != _COLUMNS:
        raise ValueError("the table of the trees has another shape")
    ends = _ends(arrays)
    for name in (*_NODES, "categories_sizes"):
        expected = ends[_KINDS.get(name, "nodes")][-1]
        if arrays[name].ndim != 1 or len(arrays[name]) != expected:
            raise ValueError(f"there are {len(arrays[name])} values of {name}, not {expected}")
    sizes, added = table[:, 2], table[:, 3]
    if len(set(sizes.tolist())) > 1 or not set(sizes.tolist()) <= {1, groups}:
        raise ValueError("leaf vectors have another length than there are outputs")
    if (added < 0).any() or (added >= groups).any() or (added[sizes > 1] != 0).any():
        raise ValueError("a tree adds to an output that the model does not have")
    if not len(table):
        return 0
    _check_nodes(arrays, ends["nodes"], features, bool(sizes[0] > 1))
    _check_leaves(arrays, ends)
    return _check_categories(arrays, ends)


def _check_nodes(arrays: Arrays, bounds: NDArray[np.int64], features: int, vectors: bool) -> None:
    left, right = arrays["left_children"], arrays["right_children"]
    leaf = left == -1
    if not vectors and (right[leaf] != -1).any():
        raise ValueError("a leaf has a right child")
    if check_children(left, right, leaf, bounds).max() > _DEEPEST:
        raise ValueError(f"a tree is deeper than {_DEEPEST} levels")
    feature = arrays["split_indices"]
    if (feature[~leaf] < 0).any() or (feature[~leaf] >= features).any():
        raise ValueError("a node refers to a feature that the model does not have")
    _check_parents(arrays, bounds, leaf)
    if (arrays["default_left"] > 1).any() or (arrays["split_type"] > 1).any():
        raise ValueError("a node has a flag that is neither 0 nor 1")


def _check_parents(arrays: Arrays, bounds: NDArray[np.int64], leaf: NDArray[np.bool_]) -> None:
    """Nodes name those that lead to them; others are deleted, and counted."""
    left, right, feature = arrays["left_children"], arrays["right_children"], arrays["split_indices"]
    sizes = np.diff(bounds)
    first = np.repeat(bounds[:-1], sizes)
    inner = np.flatnonzero(~leaf)
    parent = np.full(len(left), -1, np.int64)
    for side in (left, right):
        parent[side[inner] + first[inner]] = inner - first[inner]
    roots = np.zeros(len(left), np.bool_)
    roots[bounds[:-1]] = True
    deleted = feature == _DELETED
    reached = parent >= 0
    if (reached & deleted).any() or (~reached & ~deleted & ~roots).any() or deleted[roots].any():
        raise ValueError("a node of a tree is neither reached nor deleted")
    if (arrays["parents"][reached] != parent[reached]).any():
        raise ValueError("a node has another parent than the one that leads to it")
    if not np.isin(arrays["parents"][roots], (-1, _DELETED)).all():
        raise ValueError("the root of a tree has a parent")
    others = arrays["parents"][deleted]
    if (others < 0).any() or (others >= np.repeat(sizes, sizes)[deleted]).any() or not leaf[deleted].all():
        raise ValueError("a deleted node leads out of its tree")
    if (np.add.reduceat(deleted.astype(np.int64), bounds[:-1]) != arrays["trees"][:, 1]).any():
        raise ValueError("a tree has another number of deleted nodes than it says")


def _check_leaves(arrays: Arrays, ends: dict[str, NDArray[np.int64]]) -> None:
    """Leaves with vectors: their right child is the number of the vector."""
    size = int(arrays["trees"][0, 2])
    lengths = arrays["trees"][:, 4]
    if size == 1:
        if lengths.any():
            raise ValueError("a tree has leaf vectors, and says that it has none")
        return
    counts = np.repeat(lengths // size, np.diff(ends["nodes"]))
    leaf = arrays["left_children"] == -1
    number = arrays["right_children"]
    if (lengths % size).any() or (number[leaf] < 0).any() or (number[leaf] >= counts[leaf]).any():
        raise ValueError("a leaf refers to a vector that the tree does not have")


def _check_categories(arrays: Arrays, ends: dict[str, NDArray[np.int64]]) -> int:
    nodes, sizes, values = arrays["categories_nodes"], arrays["categories_sizes"], arrays["categories"]
    marked = arrays["split_type"] == 1
    if not len(nodes):
        if marked.any():
            raise ValueError("a categorical split has no categories")
        return 0
    owners = np.repeat(np.arange(len(arrays["trees"])), np.diff(ends["categorical"]))
    if (nodes < 0).any() or (nodes >= np.diff(ends["nodes"])[owners]).any():
        raise ValueError("categories belong to a node that the tree does not have")
    places = nodes + ends["nodes"][owners]
    if (np.diff(places) <= 0).any() or not np.array_equal(np.flatnonzero(marked), places):
        raise ValueError("the categorical nodes of a tree are not those that have categories")
    starts = bounds_of(sizes, len(values), "categories")
    if (sizes < 1).any() or not np.isin(ends["categories"], starts).all():
        raise ValueError("a categorical split has no categories")
    if not np.array_equal(starts[ends["categorical"]], ends["categories"]):
        raise ValueError("the categories of a tree belong to another one")
    if (values < 0).any() or (values >= _MOST_CATEGORIES).any():
        raise ValueError("a category is negative or too large")
    return int(np.maximum.reduceat(values, starts[:-1]).astype(np.int64).sum()) // 8 + 4 * len(nodes)
