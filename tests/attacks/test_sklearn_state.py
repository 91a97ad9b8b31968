"""Fitted state that compiled code would follow out of its arrays is refused: when it is saved, and before it
is built from a file.

The states are altered in the model, which is then saved without being checked, so that the file is valid in
every other respect, as an attacker's would be.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")

import numpy as np
from sklearn import cluster, ensemble, neighbors, svm, tree
from sklearn.datasets import make_blobs

import saver
from forging import dump_unchecked

X, Y = make_blobs(80, n_features=4, centers=3, cluster_std=4.0, random_state=0)


def refused(model: Any, folder: Path, why: str) -> None:
    with pytest.raises(saver.CannotSaveError, match=why):
        saver.dump(model, folder / "m.saver")
    assert not (folder / "m.saver").exists()
    dump_unchecked(model, folder / "m.saver")
    with pytest.raises(saver.IncompatibleError, match=why):
        saver.load(folder / "m.saver")
    (folder / "m.saver").unlink()


def inner_node(found: Any) -> int:
    return int(np.flatnonzero(found.children_left > 0)[1])


def point(name: str, value: int) -> Callable[[Any], None]:
    def alter(found: Any) -> None:
        getattr(found, name)[inner_node(found)] = value

    return alter


def cross(found: Any) -> None:
    found.children_right[0] = found.children_left[0]


TREES: dict[str, tuple[Callable[[Any], None], str]] = {
    "a child beyond the end": (point("children_left", 10**6), "outside of its tree"),
    "a negative child": (point("children_right", -7), "before it or is outside"),
    "a cycle": (point("children_left", 0), "before it"),
    "two parents": (cross, "more than one"),
    "half a leaf": (point("children_left", -1), "a leaf has a right child"),
    "a feature too many": (point("feature", 4), "feature that the tree does not have"),
    "a negative feature": (point("feature", -1), "feature that the tree does not have"),
}


@pytest.mark.parametrize("case", TREES)
def test_trees(case: str, tmp_path: Path) -> None:
    alter, why = TREES[case]
    model = tree.DecisionTreeClassifier(random_state=0).fit(X, Y)
    alter(model.tree_)
    refused(model, tmp_path, why)
    forest = ensemble.RandomForestRegressor(5, random_state=0).fit(X, Y)
    alter(forest.estimators_[3].tree_)
    refused(forest, tmp_path, why)


def test_a_tree_deeper_than_it_says(tmp_path: Path) -> None:
    model = tree.DecisionTreeClassifier(random_state=0).fit(X, Y)
    state = model.tree_.__getstate__()
    model.tree_.__setstate__({**state, "max_depth": 1})
    refused(model, tmp_path, "deeper than it declares")


@pytest.mark.parametrize(
    "kind",
    [
        ensemble.RandomForestClassifier,
        ensemble.GradientBoostingRegressor,
        tree.ExtraTreeRegressor,
        ensemble.HistGradientBoostingClassifier,
    ],
)
def test_trees_of_more_features_than_the_estimator_checks_for(kind: Any, tmp_path: Path) -> None:
    model = kind(random_state=0).fit(X, Y)
    model.n_features_in_ = 3
    refused(model, tmp_path, "feature")


def test_gradient_boosting_with_more_trees_in_a_round_than_predictions(tmp_path: Path) -> None:
    model = ensemble.GradientBoostingClassifier(n_estimators=4, random_state=0).fit(X, Y)
    model.estimators_ = np.hstack([model.estimators_, model.estimators_])
    refused(model, tmp_path, "predictions in each round")


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("left", 0, "before it"),
        ("right", 10**6, "outside"),
        ("feature_idx", 4, "feature"),
        ("feature_idx", -1, "feature"),
        ("is_categorical", 1, "bitset|without categories"),
    ],
)
def test_histogram_boosting(field: str, value: int, why: str, tmp_path: Path) -> None:
    model = ensemble.HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
    nodes = model._predictors[1][0].nodes
    nodes[field][0] = value
    refused(model, tmp_path, why)


def test_histogram_boosting_with_a_categorical_split_of_a_number(tmp_path: Path) -> None:
    data = np.column_stack([X, np.arange(len(X)) % 5])
    target = (data[:, 4] > 2).astype(int)
    model = ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features=[4]).fit(data, target)
    found = next(t for r in model._predictors for t in r if (t.nodes["is_categorical"] != 0).any())
    split = int(np.flatnonzero(found.nodes["is_categorical"])[0])
    found.nodes["feature_idx"][split] = 1  # categorical features come first, behind them the numbers
    refused(model, tmp_path, "without categories")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("_n_support", np.array([50, 50, 50], np.int32), "support vectors|indices"),
        ("_n_support", np.array([-1, 1, 1], np.int32), "count for each class"),
        ("_n_support", np.array([1, 1], np.int32), "count for each class"),
        ("_dual_coef_", np.zeros((1, 3)), "coefficients"),
        ("_intercept_", np.zeros(1), "intercept"),
        ("_probA", np.zeros(1), "probability"),
        ("support_vectors_", np.zeros((3, 4)), "support vectors"),
        ("n_features_in_", 9, "features"),
    ],
)
def test_support_vectors(name: str, value: Any, why: str, tmp_path: Path) -> None:
    model = svm.SVC().fit(X, Y)
    setattr(model, name, value)
    refused(model, tmp_path, why)


@pytest.mark.parametrize("kind", [neighbors.KDTree, neighbors.BallTree])
@pytest.mark.parametrize(
    ("position", "alter", "why"),
    [
        (1, lambda index: np.zeros_like(index), "permutation"),
        (1, lambda index: index + 10**6, "permutation"),
        (2, lambda nodes: _with(nodes, "idx_end", 10**6), "outside of the data"),
        (2, lambda nodes: _with(nodes, "idx_start", -1), "outside of the data"),
        (2, lambda nodes: _with(nodes, "is_leaf", 0), "last level has children"),
        (3, lambda bounds: bounds[:, :1].copy(), "bounds do not fit"),
        (0, lambda data: data[:5], "permutation"),
        (5, lambda levels: levels + 3, "number of levels"),
        (6, lambda count: count - 1, "number of levels"),
    ],
)
def test_neighbor_trees(
    kind: Any, position: int, alter: Callable[[Any], Any], why: str, tmp_path: Path
) -> None:
    found = kind(X, leaf_size=5)
    state = list(found.__getstate__())
    state[position] = alter(
        np.array(state[position]) if isinstance(state[position], np.ndarray) else state[position]
    )
    found.__setstate__(tuple(state))
    refused(found, tmp_path, why)


def _with(nodes: np.ndarray, field: str, value: int) -> np.ndarray:
    nodes[field][-1] = value
    return nodes


def test_a_distance_for_other_features(tmp_path: Path) -> None:
    found = neighbors.BallTree(X, metric="mahalanobis", V=np.eye(4))
    state = list(found.__getstate__())
    state[11] = neighbors.BallTree(X[:, :2], metric="mahalanobis", V=np.eye(2)).__getstate__()[11]
    found.__setstate__(tuple(state))
    refused(found, tmp_path, "do not fit 4 features")


@pytest.mark.parametrize("kind", [cluster.KMeans, cluster.MiniBatchKMeans, cluster.BisectingKMeans])
def test_centers_of_other_features(kind: Any, tmp_path: Path) -> None:
    model = kind(3, random_state=0).fit(X)
    model.cluster_centers_ = model.cluster_centers_[:, :2].copy()
    refused(model, tmp_path, "other features")
