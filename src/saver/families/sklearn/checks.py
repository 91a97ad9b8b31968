"""What scikit-learn's compiled code takes for granted between the parts of one estimator.

Each part has been checked by its own codec. Here stands what only the whole shows: that trees expect the
features the estimator was fitted with, that support vectors, coefficients and counts agree. Every check
raises ValueError. Sources: the `.pyx` and C files of scikit-learn that index without bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def check(estimator: Any) -> None:
    """Raise ValueError where compiled code would read or write outside of the estimator's arrays."""
    for base in type(estimator).__mro__:
        for checker in _CHECKS.get(base.__name__, ()) if base.__module__.startswith("sklearn.") else ():
            checker(estimator)


def _state(estimator: Any, *names: str) -> Iterable[Any]:
    """The attributes; those that are not there are None."""
    return [estimator.__dict__.get(name) for name in names]


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(what)


def _features(estimator: Any) -> int:
    count = estimator.__dict__.get("n_features_in_")
    _require(
        type(count) in (int, np.int64) and count >= 0,
        "a fitted estimator without its number of features",
    )
    return int(count)


def _tree_of(estimator: Any) -> Any:
    from sklearn.tree._tree import Tree

    tree = getattr(estimator, "__dict__", {}).get("tree_")
    _require(isinstance(tree, Tree), "a tree is missing")
    return tree


def _single_tree(estimator: Any) -> None:
    if "tree_" in estimator.__dict__:
        _require(_tree_of(estimator).n_features == _features(estimator), "the tree has other features")


def _forest(estimator: Any) -> None:
    (trees,) = _state(estimator, "estimators_")
    if trees is None:
        return
    _require(isinstance(trees, list), "the trees are not a list")
    for tree in trees:
        _require(
            _tree_of(tree).n_features == _features(estimator),
            "a tree has other features than the forest",
        )


def _isolation_forest(estimator: Any) -> None:
    trees, chosen, most = _state(estimator, "estimators_", "estimators_features_", "_max_features")
    if trees is None:
        return
    _require(
        isinstance(chosen, list) and len(chosen) == len(trees),
        "not one choice of features for each tree",
    )
    for tree, features in zip(trees, chosen, strict=True):
        _require(
            len(features) == 0 or 0 <= min(features) <= max(features) < _features(estimator),
            "no such feature",
        )
        expected = _features(estimator) if most == _features(estimator) else len(features)
        _require(_tree_of(tree).n_features == expected, "a tree has other features than the forest")


def _boosting(estimator: Any) -> None:
    trees, start, per_round = _state(estimator, "estimators_", "init_", "n_trees_per_iteration_")
    if trees is None:
        return
    _require(
        isinstance(trees, np.ndarray) and trees.ndim == 2 and trees.dtype == object,
        "no array of trees",
    )
    per_round = trees.shape[1] if per_round is None else per_round
    _require(trees.shape[1] == per_round, "not as many trees as predictions in each round")
    for tree in trees.flat:
        _require(_tree_of(tree).n_features == _features(estimator), "a tree has other features")
    classes = getattr(start, "__dict__", {}).get("classes_")
    if per_round > 1 and start != "zero":
        _require(classes is not None and len(classes) == per_round, "the first guess has other classes")


def _histogram_boosting(estimator: Any) -> None:
    rounds, mapper = _state(estimator, "_predictors", "_bin_mapper")
    if rounds is None:
        return
    features = _features(estimator)
    categorical = getattr(mapper, "__dict__", {}).get("is_categorical_")
    thresholds = getattr(mapper, "__dict__", {}).get("bin_thresholds_")
    _require(
        isinstance(categorical, np.ndarray) and categorical.shape == (features,),
        "which features are categories?",
    )
    _require(
        isinstance(thresholds, list) and len(thresholds) == features,
        "not one set of bins for each feature",
    )
    width = getattr(estimator, "n_trees_per_iteration_", None)
    for trees in rounds:
        _require(len(trees) == width, "not as many trees as predictions in each round")
        for tree in trees:
            inner = tree.nodes[tree.nodes["is_leaf"] == 0]
            _require(
                (inner["feature_idx"] < features).all(),
                "a node asks for a feature that is not there",
            )
            used = inner["feature_idx"][inner["is_categorical"] != 0]
            _require(
                bool(np.asarray(categorical)[used].all()),
                "a categorical split of a feature that has no categories",
            )


def _support_vectors(estimator: Any) -> None:
    vectors, counts = _state(estimator, "support_vectors_", "_n_support")
    if vectors is None:
        return
    support, dual, rho, first, second = _state(
        estimator, "support_", "_dual_coef_", "_intercept_", "_probA", "_probB"
    )
    classes = estimator.__dict__.get("classes_")
    number = 2 if classes is None else len(classes)
    _require(
        all(isinstance(a, np.ndarray) for a in (counts, support, rho, first, second)),
        "arrays are missing",
    )
    pairs = number * (number - 1) // 2
    _require(
        counts.dtype == np.int32 and len(counts) == number and (counts >= 0).all(),
        "wrong support counts",
    )
    total = int(counts.sum()) if classes is not None else int(counts[0])
    _require(
        support.dtype == np.int32 and len(support) == total,
        "not as many indices as support vectors",
    )
    precomputed = estimator.__dict__.get("kernel") == "precomputed"
    fitted = estimator.__dict__.get("shape_fit_")
    _require(isinstance(fitted, tuple) and len(fitted) == 2, "the shape of the training data is missing")
    if precomputed:
        _require(
            bool(((support >= 0) & (support < fitted[0])).all()),
            "an index beyond the training data",
        )
    else:
        _require(
            vectors.ndim == 2 and vectors.shape[0] == total,
            "not as many support vectors as counted",
        )
        callable_kernel = callable(estimator.__dict__.get("kernel"))
        width = fitted[0] if callable_kernel else _features(estimator)
        _require(
            total == 0 or vectors.shape[1] in (width, 0 if callable_kernel else width),
            "other features",
        )
    _require(dual.shape == (number - 1, total), "the coefficients do not fit the support vectors")
    _require(len(rho) == max(pairs, 1), "not one intercept for each pair of classes")
    _require(
        len(first) in (0, pairs, 2) and len(second) in (0, pairs),
        "the probability parameters do not fit",
    )


def _rows_of_features(*names: str) -> Callable[[Any], None]:
    """A check that these matrices have a column for each feature."""

    def checker(estimator: Any) -> None:
        for name in names:
            matrix = estimator.__dict__.get(name)
            if matrix is not None:
                _require(getattr(matrix, "ndim", 0) == 2, f"{name} is not a matrix")
                _require(matrix.shape[1] == _features(estimator), f"{name} has other features")

    return checker


def _bisecting(estimator: Any) -> None:
    tree = estimator.__dict__.get("_bisecting_tree")
    open_nodes = [] if tree is None else [tree]
    while open_nodes:
        node = open_nodes.pop()
        center = node.__dict__.get("center")
        _require(
            center is None or np.shape(center) == (_features(estimator),),
            "a center has other features",
        )
        open_nodes.extend(child for child in (node.__dict__.get("left"), node.__dict__.get("right")) if child)


def _neighbors(estimator: Any) -> None:
    fitted, tree = _state(estimator, "_fit_X", "_tree")
    if fitted is not None and estimator.__dict__.get("metric") != "precomputed":
        _require(
            getattr(fitted, "ndim", 0) == 2 and fitted.shape[1] == _features(estimator),
            "other features",
        )
        if tree is not None:
            _require(tree.data.shape[0] == fitted.shape[0], "the tree has other samples")


_CHECKS: dict[str, tuple[Callable[[Any], None], ...]] = {
    "BaseDecisionTree": (_single_tree,),
    "BaseForest": (_forest,),
    "IsolationForest": (_isolation_forest,),
    "BaseGradientBoosting": (_boosting,),
    "BaseHistGradientBoosting": (_histogram_boosting,),
    "BaseLibSVM": (_support_vectors,),
    "_BaseKMeans": (_rows_of_features("cluster_centers_"),),
    "BisectingKMeans": (_bisecting,),
    "NeighborsBase": (_neighbors,),
}
