"""The trees of a booster: LightGBM's text of them, and a few arrays with the nodes of all of them.

LightGBM's compiled code follows children, features, categories and the terms of linear leaves without
looking, so all of them are checked here, before a model is saved and before LightGBM sees what was loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.families.lightgbm import numbers
from saver.families.sklearn.nodes import bounds_of, check_children

Arrays = dict[str, NDArray[Any]]

_LINES: dict[str, tuple[str, Any]] = {
    "split_feature": ("nodes", np.int32),
    "split_gain": ("nodes", np.float64),
    "threshold": ("nodes", np.float64),
    "decision_type": ("nodes", np.int8),
    "left_child": ("nodes", np.int32),
    "right_child": ("nodes", np.int32),
    "leaf_value": ("leaves", np.float64),
    "leaf_weight": ("weights", np.float64),
    "leaf_count": ("counts", np.int32),
    "internal_value": ("nodes", np.float64),
    "internal_weight": ("nodes", np.float64),
    "internal_count": ("nodes", np.int32),
    "cat_boundaries": ("boundaries", np.int32),
    "cat_threshold": ("words", np.uint32),
    "is_linear": ("", None),
    "leaf_const": ("linear", np.float64),
    "num_features": ("linear", np.int32),
    "leaf_features": ("terms", np.int32),
    "leaf_coeff": ("terms", np.float64),
}
"""The lines of a tree in LightGBM's order: of which kind its values are, and their type."""

_FIELDS = {name: line for name, line in _LINES.items() if line[0]}
_CATEGORICAL = frozenset(("cat_boundaries", "cat_threshold"))
_LINEAR = frozenset(("leaf_const", "num_features", "leaf_features", "leaf_coeff"))
_SIX_DIGITS = frozenset(("split_gain", "internal_value", "internal_weight"))
"""Numbers that LightGBM writes with six digits; others have 17."""

_TABLE = ("leaves", "categorical", "linear", "weights", "counts", "words", "terms")
"""The columns of the array `trees`: how many leaves, categorical splits, weights and counts of leaves, words
of categories and terms of linear leaves a tree has, and whether its leaves are linear."""

NAMES = frozenset((*_FIELDS, "trees", "shrinkage"))
"""The arrays that hold all trees."""

_DEEPEST = 4096
"""LightGBM follows trees by recursion when it explains predictions."""


def read(text: bytes, sizes: Sequence[int]) -> Arrays:
    """The arrays of trees, from LightGBM's text of all of them and the bytes of each. Raises ValueError for
    what it never writes."""
    lines = _lines(text, np.cumsum([0, *sizes]))
    if lines["Tree"] != [b"%d" % number for number in range(len(sizes))]:
        raise ValueError("a tree has another number than its place")
    arrays: Arrays = {}
    for name, (_, dtype) in _FIELDS.items():
        array = numbers.read([line for line in lines[name] if line], dtype)
        arrays[name] = _short(array) if name in _SIX_DIGITS else array
    counted = [list(map(count, lines[name])) for name, count in _COUNTED.items()]
    arrays["trees"] = np.array(counted, np.int64).T.reshape(-1, len(_TABLE)).copy()
    arrays["shrinkage"] = np.array(list(map(float, lines["shrinkage"])), np.float64)
    return arrays


def _lines(text: bytes, bounds: NDArray[np.int64]) -> dict[str, list[bytes]]:
    """What the lines of each tree say, by name; nothing for a name that it does not have. How many lines a
    tree has says which."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    starts = np.append(0, ends + 1)[: len(ends)]
    starts, ends = starts[starts < ends], ends[starts < ends]
    first = starts.searchsorted(bounds)
    counts, fitting = np.diff(first), np.zeros(len(first) - 1, np.bool_)
    found = {name: [b""] * len(counts) for name in ("Tree", *_names(categorical=True, linear=True))}
    for kind in _SORTS:
        names = ("Tree", *_names(*kind))
        trees = np.flatnonzero(counts == len(names)).tolist()
        for place, name in enumerate(names if trees else ()):
            lines = first[trees] + place
            said = _said(text, starts[lines], ends[lines], f"{name}=".encode())
            if len(trees) == len(counts):
                found[name] = said
            for tree, line in zip(trees, said, strict=True) if len(trees) < len(counts) else ():
                found[name][tree] = line
        for tree in trees:
            fitting[tree] = (int(found["num_cat"][tree]) > 0, int(found["is_linear"][tree]) > 0) == kind
    if not fitting.all() or not np.array_equal(starts[first[:-1]], bounds[:-1]):
        raise ValueError("a tree has other lines than LightGBM writes")
    return found


def _said(text: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], head: bytes) -> list[bytes]:
    """What comes after this head in lines, all of which have it."""
    begins = starts + len(head)
    if (begins <= ends).all():
        every: NDArray[Any] = np.ndarray(
            len(text) - len(head) + 1, np.dtype((np.void, len(head))), text, strides=(1,)
        )
        if every[starts].tobytes() == head * len(starts):
            return [text[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    raise ValueError("a tree has other lines than LightGBM writes")


_SORTS = ((False, False), (True, False), (False, True), (True, True))
"""Whether a tree has categorical splits, and linear leaves."""


def _count(line: bytes) -> int:
    return line.count(b" ") + 1 if line else 0


_COUNTED: dict[str, Callable[[bytes], int]] = {
    "num_leaves": int, "num_cat": int, "is_linear": int, "leaf_weight": _count, "leaf_count": _count,
    "cat_threshold": _count, "leaf_coeff": lambda line: len(line.split()),
}  # fmt: skip
"""The lines that say how much of everything a tree has. That of coefficients has several blanks between some
of them."""


@cache
def _names(categorical: bool, linear: bool) -> tuple[str, ...]:
    """The names of the lines of a tree, in their order."""
    absent = (frozenset() if categorical else _CATEGORICAL) | (frozenset() if linear else _LINEAR)
    return ("num_leaves", "num_cat", *(name for name in _LINES if name not in absent), "shrinkage")


def _short(array: NDArray[np.float64]) -> NDArray[Any]:
    """Numbers of six digits in 32 bits, which hold them, unless they are out of range there."""
    limits, sizes = np.finfo(np.float32), np.abs(array[array != 0])
    fits = not sizes.size or (sizes.min() >= limits.tiny and sizes.max() <= limits.max)
    return array.astype(np.float32) if fits else array


def write(arrays: Arrays) -> list[bytes]:
    """The text of each tree for LightGBM's parser, from arrays that have been checked. Numbers have as many
    digits as they need to be read as the same ones."""
    ends, table = _ends(arrays), arrays["trees"]
    columns = {name: numbers.write(arrays[name], ends[kind]) for name, (kind, _) in _FIELDS.items()}
    each = np.arange(len(table) + 1)
    single = {"num_leaves": table[:, 0], "num_cat": table[:, 1], "is_linear": table[:, 2]}
    single |= {"shrinkage": arrays["shrinkage"], "Tree": each[:-1]}
    columns |= {name: numbers.write(array, each) for name, array in single.items()}
    texts: list[bytes] = [b""] * len(table)
    kinds = [(row[1] > 0, row[2] > 0) for row in table.tolist()]
    for kind in set(kinds):
        names = ("Tree", *_names(*kind))
        form = b"\n".join((*(b"%b=%%b" % name.encode() for name in names), b"\n\n"))
        rows = zip(kinds, zip(*(columns[name] for name in names), strict=True), strict=True)
        for number, (found, values) in enumerate(rows):
            if found == kind:
                texts[number] = form % values
    return texts


def _ends(arrays: Arrays) -> dict[str, NDArray[np.int64]]:
    """Where each tree's share of each kind of values begins, and the end of the last."""
    table = arrays["trees"]
    if table.ndim != 2 or table.shape[1] != len(_TABLE) or table.dtype != np.int64:
        raise ValueError("the table of the trees has another shape")
    leaves, categorical, linear, weights, counts, words, terms = table.T
    most = len(arrays["leaf_value"])
    if (table < 0).any() or (table > max(most, *map(len, arrays.values()))).any() or (leaves < 1).any():
        raise ValueError("a tree has no leaves, or an impossible number of something")
    if (linear > 1).any() or (categorical >= leaves).any():
        raise ValueError("a tree has more categorical splits than splits")
    totals = {
        "nodes": leaves - 1, "leaves": leaves, "weights": weights, "counts": counts, "words": words,
        "boundaries": np.where(categorical > 0, categorical + 1, 0), "linear": leaves * linear,
        "terms": terms,
    }  # fmt: skip
    first: dict[str, str] = {}
    for name, (kind, _) in _FIELDS.items():
        first.setdefault(kind, name)
    ends = {kind: bounds_of(each, len(arrays[first[kind]]), kind) for kind, each in totals.items()}
    for name, (kind, _) in _FIELDS.items():
        if len(arrays[name]) != ends[kind][-1]:
            raise ValueError(f"there are {len(arrays[name])} values of {name}, not {ends[kind][-1]}")
    if len(arrays["shrinkage"]) != len(table):
        raise ValueError("there are not as many rates as trees")
    return ends


def check(arrays: Arrays, features: int) -> None:
    """Raise ValueError unless the arrays are trees over so many features."""
    if arrays.keys() != NAMES:
        raise ValueError("the trees have other arrays than LightGBM writes")
    for name, array in arrays.items():
        expected = np.dtype(_FIELDS[name][1] if name in _FIELDS else np.float64)
        fits = array.dtype == expected or (name in _SIX_DIGITS and array.dtype == np.float32)
        if name != "trees" and (not fits or array.ndim != 1):
            raise ValueError(f"{name} is {array.dtype} with {array.ndim} axes")
    ends, table = _ends(arrays), arrays["trees"]
    leaves = table[:, 0]
    for column in (3, 4):
        absent = (table[:, column] == 0) & (leaves == 1)
        if (~absent & (table[:, column] != leaves)).any():
            raise ValueError("a tree has not a weight and a count for each leaf")
    if not len(table):
        return
    if (arrays["leaf_count"] < 0).any() or (arrays["internal_count"] < 0).any():
        raise ValueError("a node has a negative number of rows")
    _check_nodes(arrays, ends, features)
    _check_categories(arrays, ends)
    _check_linear(arrays, ends, features)


def _check_nodes(arrays: Arrays, ends: dict[str, NDArray[np.int64]], features: int) -> None:
    leaves = arrays["trees"][:, 0]
    feature, kind = arrays["split_feature"], arrays["decision_type"]
    if (feature < 0).any() or (feature >= features).any():
        raise ValueError("a node refers to a feature that the model does not have")
    if (kind < 0).any() or (kind > 11).any():
        raise ValueError("a node has a kind of decision that LightGBM does not have")
    bounds = np.concatenate(([0], np.cumsum(2 * leaves - 1)))
    inner = np.concatenate([np.arange(n - 1) for n in leaves.tolist()]) if len(leaves) else leaves
    splits = np.repeat(leaves - 1, leaves - 1)
    places = inner + np.repeat(bounds[:-1], leaves - 1)
    leaf = np.ones(bounds[-1], np.bool_)
    leaf[places] = False
    sides = []
    for name in ("left_child", "right_child"):
        child = arrays[name].astype(np.int64)
        if (child < -splits - 1).any() or (child >= splits).any():
            raise ValueError("a child of a node is outside of its tree")
        side = np.full(bounds[-1], -1, np.int64)
        side[places] = np.where(child < 0, splits - 1 - child, child)  # leaves follow the splits
        sides.append(side)
    if check_children(sides[0], sides[1], leaf, bounds).max() > _DEEPEST:
        raise ValueError(f"a tree is deeper than {_DEEPEST} levels")


def _check_categories(arrays: Arrays, ends: dict[str, NDArray[np.int64]]) -> None:
    """A categorical split has the number of a set of bits instead of a threshold."""
    table, limits = arrays["trees"], arrays["cat_boundaries"]
    marked = (arrays["decision_type"] & 1) == 1
    number = arrays["threshold"][marked]
    most = np.repeat(table[:, 1], table[:, 0] - 1)[marked]
    if not ((number >= 0) & (number < most) & (np.floor(number) == number)).all():
        raise ValueError("a split refers to categories that the tree does not have")
    starts, stops = ends["boundaries"][:-1], ends["boundaries"][1:]
    has = stops > starts
    rising = np.ones(len(limits), np.bool_)
    rising[1:] = np.diff(limits.astype(np.int64)) >= 0
    rising[starts[has]] = True
    if not rising.all() or (limits[starts[has]] != 0).any():
        raise ValueError("the categories of a tree do not follow each other")
    if (limits[stops[has] - 1] != table[has, 5]).any() or table[~has, 5].any():
        raise ValueError("a tree has another number of words of categories than it says")


def _check_linear(arrays: Arrays, ends: dict[str, NDArray[np.int64]], features: int) -> None:
    counts, feature = arrays["num_features"].astype(np.int64), arrays["leaf_features"]
    if (counts < 0).any() or (feature < 0).any() or (feature >= features).any():
        raise ValueError("a linear leaf refers to a feature that the model does not have")
    whole = np.concatenate(([0], np.cumsum(counts)))
    if not np.array_equal(whole[ends["linear"]], ends["terms"]):
        raise ValueError("the terms of linear leaves are not as many as they say")
