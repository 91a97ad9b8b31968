"""The nodes of trees: what is checked of them, and how they become columns and records again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver.families.sklearn import nodes as found
from saver.families.sklearn.nodes import check_children, check_nodes, columns_from, records_from, runs

Tree = tuple[list[int], list[int]]

KIND = np.dtype([("left_child", "<i8"), ("right_child", "<i8"), ("flag", "u1"), ("weight", "<f8")])


def depth_of(left: list[int], right: list[int]) -> int | None:
    """The depth of a tree, node by node; None if it is not one: a child comes before its parent, is missing,
    or has two."""
    size, parents, depths = len(left), [0] * len(left), [0] * len(left)
    for node in range(size):
        if left[node] == -1:
            continue
        for child in (left[node], right[node]):
            if not node < child < size or parents[child]:
                return None
            parents[child] = 1
    deepest = 0
    waiting = [0]
    while waiting:
        node = waiting.pop()
        deepest = max(deepest, depths[node])
        if left[node] != -1:
            for child in (left[node], right[node]):
                depths[child] = depths[node] + 1
                waiting.append(child)
    return deepest


def checked(trees: list[Tree]) -> list[int] | None:
    """What the check says of the same trees."""
    left = np.array([child for tree in trees for child in tree[0]], np.int32)
    right = np.array([child for tree in trees for child in tree[1]], np.int32)
    bounds = np.cumsum([0, *(len(tree[0]) for tree in trees)])
    try:
        return check_children(left, right, left == -1, bounds).tolist()
    except ValueError:
        return None


@st.composite
def sound_trees(draw: st.DrawFn) -> Tree:
    """A tree whose nodes were split in any order, of which some can no longer be reached."""
    left, right = [-1], [-1]
    for _ in range(draw(st.integers(0, 8))):
        leaves = [node for node, child in enumerate(left) if child == -1]
        parent = draw(st.sampled_from(leaves))
        sides = draw(st.permutations([len(left), len(left) + 1]))
        left[parent], right[parent] = sides
        left += [-1, -1]
        right += [-1, -1]
    if draw(st.booleans()):
        node = draw(st.integers(0, len(left) - 1))
        left[node] = right[node] = -1
    return left, right


@pytest.fixture(params=[1, 8, 1 << 16], ids="runs of {} nodes".format, scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found, "RUN", request.param)
        yield


@pytest.mark.usefixtures("run")
@given(st.lists(sound_trees(), min_size=1, max_size=6))
def test_the_depth_of_each_tree_is_found(trees: list[Tree]) -> None:
    assert checked(trees) == [depth_of(*tree) for tree in trees]


SMALL: Tree = ([1, 3, -1, -1, -1], [2, 4, -1, -1, -1])


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_any_two_children_make_a_tree_or_an_error(place: int) -> None:
    for node, one, other in product(range(5), range(-1, 7), range(-1, 7)):
        left, right = [*SMALL[0]], [*SMALL[1]]
        left[node], right[node] = one, other
        if one == -1 != other:
            continue  # half a leaf, which `check_nodes` refuses
        expected = depth_of(left, right)
        trees = [SMALL, SMALL, SMALL]
        trees[place] = left, right
        whole = [2, 2, 2]
        whole[place] = expected or 0
        assert checked(trees) == (None if expected is None else whole), (left, right)


def columns(**changes: list[int]) -> dict[str, Any]:
    return {
        name: np.array(values)
        for name, values in {
            "left_child": SMALL[0], "right_child": SMALL[1], "feature": [0, 1, -2, -2, -2], **changes
        }.items()
    }  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "depth", "why"),
    [
        (columns(), 1, "deeper than it declares"),
        (columns(), 6, "deeper than it declares"),
        (columns(right_child=[2, 4, 3, -1, -1]), 2, "a leaf has a right child"),
        (columns(feature=[0, 2, -2, -2, -2]), 2, "a feature that the tree does not have"),
        (columns(feature=[0, -1, -2, -2, -2]), 2, "a feature that the tree does not have"),
    ],
)
def test_a_tree_that_compiled_code_would_misread_is_refused(nodes: Any, depth: int, why: str) -> None:
    bounds, features = np.array([0, 5]), np.array([2])
    check_nodes(columns(), bounds, np.array([2]), features)
    check_nodes(columns(feature=[0, 1, 9, -7, 0]), bounds, np.array([2]), features)  # of leaves, nobody asks
    with pytest.raises(ValueError, match=why):
        check_nodes(nodes, bounds, np.array([depth]), features)


def test_a_tree_without_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="no nodes"):
        check_children(np.array([-1]), np.array([-1]), np.array([True]), np.array([0, 1, 1]))


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 20))
def test_runs_are_whole_trees_in_their_order(sizes: list[int], most: int) -> None:
    bounds = np.cumsum([0, *sizes])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found, "RUN", most)
        spans = [*runs(bounds)]
    assert [tree for some, _ in spans for tree in range(some.start, some.stop)] == [*range(len(sizes))]
    for some, span in spans:
        assert (span.start, span.stop) == (bounds[some.start], bounds[some.stop])
        assert some.stop == some.start + 1 or span.stop - span.start <= most


@pytest.mark.usefixtures("run")
@given(st.lists(st.lists(st.sampled_from([-1, 0, 7, 2**31 - 1, -(2**31), 2**31, -(2**40)]), max_size=4)))
def test_columns_hold_every_value_and_give_the_same_records(trees: list[list[int]]) -> None:
    records = [np.zeros(len(values), KIND) for values in [[3], *trees]]
    for record, values in zip(records, [[3], *trees], strict=True):
        record["left_child"], record["flag"], record["weight"] = values, 1, np.array(values) / 3
    made = columns_from(records)
    narrow = all(-(2**31) <= value < 2**31 for values in trees for value in values)
    assert made["left_child"].dtype == (np.int32 if narrow else np.int64)
    assert made["right_child"].dtype == np.int32
    assert all(column.flags.c_contiguous for column in made.values())
    assert records_from(made, KIND).tobytes() == np.concatenate(records).tobytes()


def test_records_may_lie_in_memory_in_other_ways() -> None:
    packed = np.array([(1, 2, 1, 0.5), (-1, -1, 0, 0.25)], KIND)
    loose = packed.astype(np.dtype({
        "names": KIND.names, "formats": [KIND[name] for name in KIND.names or ()], "offsets": [0, 16, 8, 40],
        "itemsize": 64,
    }))  # fmt: skip
    twice = columns_from([packed, loose, loose[::-1]])
    assert records_from(twice, KIND).tolist() == [*packed.tolist(), *packed.tolist(), *packed.tolist()[::-1]]


@pytest.mark.usefixtures("run")
def test_forests_come_back_whatever_the_runs(tmp_path: Any) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    data, classes = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    for kind in (ensemble.RandomForestClassifier, ensemble.HistGradientBoostingClassifier):
        model = kind(random_state=0).fit(data, classes)
        saver.dump(model, tmp_path / "a.saver")
        again = saver.load(tmp_path / "a.saver")
        assert again.predict_proba(data).tobytes() == model.predict_proba(data).tobytes()
        saver.dump(again, tmp_path / "b.saver")
        parts = [saver.describe(tmp_path / name).parts[0].hash for name in ("a.saver", "b.saver")]
        assert parts[0] == parts[1]


def test_the_check_sees_what_compiled_code_gets(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Whatever happens to the file's own bytes after the check: the nodes are a copy by then."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    from saver.families.sklearn import trees

    data = np.random.default_rng(0).normal(size=(60, 4))
    model = ensemble.RandomForestRegressor(3, random_state=0).fit(data, data[:, 0])
    saver.dump(model, tmp_path / "a.saver")
    columns: list[dict[str, Any]] = []

    def read(*args: Any) -> dict[str, Any]:
        columns.append(found.columns_in(*args))
        return columns[0]

    def spoil(*args: Any) -> None:
        check_nodes(*args)
        for name in ("left_child", "right_child", "feature"):
            columns[0][name][:] = 10**6

    monkeypatch.setattr(trees, "columns_in", read)
    monkeypatch.setattr(trees, "check_nodes", spoil)
    monkeypatch.setattr(found, "RUN", 1 << 16)
    assert saver.load(tmp_path / "a.saver").predict(data).tobytes() == model.predict(data).tobytes()
