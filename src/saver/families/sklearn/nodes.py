"""The nodes of many trees, one after another: as records, which scikit-learn has, and as columns, which files
have; and what must be true of them before compiled code follows their children.

Everything takes a run of whole trees at a time, so that what one step wrote is still in the processor's cache
when the next one reads it: the check of 2.3 million nodes took 170 ms all at once, and takes 40 so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from saver.codec import Decoder
from saver.rules import Broken

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""The fields of nodes by name; a structured array has them by name as well."""

RUN = 64 << 10
"""The nodes of a run of trees, unless one tree has more."""

_NARROW = np.dtype(np.int32)


def bounds_of(counts: NDArray[Any], total: int, what: str) -> NDArray[np.int64]:
    """The offset at which each tree's share begins, and the end of the last one. Raises ValueError if the
    shares do not add up to `total`."""
    if counts.size and (counts.min() < 0 or counts.max() > total):
        raise Broken(
            "4.08", f"the trees declare {int(counts.min())} to {int(counts.max())} {what} of {total}"
        )
    ends = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    if ends[-1] != total:
        raise Broken("4.08", f"the trees declare {int(ends[-1])} {what}, the file has {total}")
    return ends


def runs(bounds: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Runs of trees: which trees, and which nodes these have."""
    first, count = 0, len(bounds) - 1
    while first < count:
        fitting = int(bounds.searchsorted(bounds[first] + RUN, "right")) - 1
        last = max(first + 1, fitting)
        yield slice(first, last), slice(int(bounds[first]), int(bounds[last]))
        first = last


def columns_from(records: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Structured arrays with the same fields as one column for each field; integers in 32 bits where they
    fit."""
    dtype = records[0].dtype
    bounds = np.cumsum([0, *map(len, records)])
    kinds = {name: dtype[name] for name in dtype.names or ()}
    found = {
        name: np.empty(bounds[-1], _NARROW if kind == np.int64 else kind) for name, kind in kinds.items()
    }
    for some, span in runs(bounds):
        joined = _joined(records[some])
        for name in found:
            found[name] = _with(found[name], span, joined[name])
    return found


def _joined(records: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Structured arrays, one after another; NumPy would compare the fields of their dtypes, each time."""
    dtype = records[0].dtype
    if len(records) == 1 or any(found.dtype != dtype for found in records):
        return np.concatenate(records) if len(records) > 1 else records[0]
    plain = np.dtype((np.void, dtype.itemsize))
    return np.concatenate([np.ascontiguousarray(found).view(plain) for found in records]).view(dtype)


def _with(column: NDArray[Any], span: slice, values: NDArray[Any]) -> NDArray[Any]:
    """The column with these values in it, which is a wider one if they do not fit."""
    if column.dtype == _NARROW and values.dtype == np.int64 and values.size:
        limits, values = np.iinfo(_NARROW), np.ascontiguousarray(values)
        if values.min() < limits.min or values.max() > limits.max:
            column = column.astype(np.int64)
    column[span] = values
    return column


def columns_in(state: Any, dtype: np.dtype[Any], decoder: Decoder) -> dict[str, NDArray[Any]]:
    """The columns of a file, of one length, whose values the fields of that dtype can hold."""
    columns = {name: decoder.array(tensor, ndim=1) for name, tensor in state.items()}
    if set(columns) != set(dtype.names or ()):
        raise Broken(
            "4.08",
            f"nodes have the fields {sorted(columns)}, this scikit-learn's have {sorted(dtype.names or ())}",
        )
    if len({column.size for column in columns.values()}) != 1:
        raise Broken("4.08", "the fields of the nodes have different lengths")
    for name, column in columns.items():
        kind = dtype[name]
        if not np.can_cast(column.dtype, kind, "same_kind") and column.dtype.kind != kind.kind:
            raise Broken("4.08", f"nodes have {column.dtype} for {name!r}, expected {kind}")
        if not np.can_cast(column.dtype, kind):
            columns[name] = column.astype(kind)
    return columns


def records_from(columns: Columns, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Columns as a structured array."""
    found = np.zeros(len(next(iter(columns.values()))), dtype)
    for name, column in columns.items():
        found[name] = column
    return found


def check_nodes(
    nodes: Columns, bounds: NDArray[np.int64], depths: NDArray[Any], features: NDArray[Any]
) -> None:
    """Raise ValueError unless the nodes form trees of those depths, which ask for features that they have."""
    left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    leaf = left == -1
    if (leaf & (right != -1)).any():
        raise Broken("4.07", "a leaf has a right child")
    real = check_children(left, right, leaf, bounds)
    sizes = np.diff(bounds)
    if (depths < real).any() or (depths > sizes).any():
        raise Broken("4.07", "a tree is deeper than it declares")
    if (~leaf & ((feature < 0) | (feature >= np.repeat(features, sizes)))).any():
        raise Broken("4.07", "a node refers to a feature that the tree does not have")


def check_children(
    left: NDArray[Any], right: NDArray[Any], leaf: NDArray[np.bool_], bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The depth of every tree, once all nodes are known to form trees. Nodes that no other leads to, as when
    a tree was pruned by hand, are harmless.

    `left`, `right` and `leaf` are those of all trees, one after another; children count from their tree's
    first node. Time: linear in the nodes, and one pass for each level of a run of trees.
    """
    if (np.diff(bounds) < 1).any():
        raise Broken("4.07", "a tree has no nodes")
    depths = np.zeros(len(bounds) - 1, np.int64)
    for some, span in runs(bounds):
        own = bounds[some.start : some.stop + 1] - span.start
        depths[some] = _depths(left[span], right[span], ~leaf[span], own)
    return depths


def _depths(
    left: NDArray[Any], right: NDArray[Any], inner: NDArray[np.bool_], bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    sizes = np.diff(bounds)
    parents = np.flatnonzero(inner)
    first, last = (np.repeat(ends, sizes).take(parents) for ends in (bounds[:-1], bounds[1:]))
    to_left, to_right = (side.take(parents).astype(np.int64) + first for side in (left, right))
    if (np.minimum(to_left, to_right) <= parents).any() or (np.maximum(to_left, to_right) >= last).any():
        raise Broken("4.07", "a child of a node comes before it or is outside of its tree")
    reached = np.zeros(len(inner), np.bool_)
    reached[to_left] = True
    reached[to_right] = True
    if np.count_nonzero(reached) != 2 * len(parents):  # a root is nobody's child: none is before it
        raise Broken("4.07", "a node has more than one parent")
    number = np.cumsum(inner) * inner - 1  # among the inner nodes; a leaf has -1
    children = np.stack((number.take(to_left), number.take(to_right)), axis=1)
    return _levels(children, number.take(bounds[:-1]), parents.searchsorted(bounds))


def _levels(
    children: NDArray[np.int64], roots: NDArray[np.int64], bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many levels of inner nodes each tree has. The nodes of each level stay in the order of their trees,
    so a search for where a tree begins among them finds it."""
    depths = np.zeros(len(roots), np.int64)
    level, front = 0, roots.compress(roots >= 0)
    while front.size and level < len(children):  # no tree is deeper; a cycle would be
        level += 1
        ends = front.searchsorted(bounds)
        depths[ends[1:] > ends[:-1]] = level
        front = children.take(front, axis=0).ravel()
        front = front.compress(front >= 0)
    return depths
