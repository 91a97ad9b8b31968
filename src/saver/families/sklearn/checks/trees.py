"""Decision trees in estimators: compiled code reads the features in their nodes without checking bounds."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np

from saver.families.sklearn.checks.attributes import (
    array,
    count,
    features,
    held,
    held_list,
    is_of,
    is_text,
    require,
    whole,
)
from saver.families.sklearn.checks.first_guess import check_first_guess
from saver.families.sklearn.checks.losses import check_loss


def tree_of(estimator: Any) -> Any:
    """The compiled tree of a decision tree. Raises ValueError if it is missing."""
    tree = estimator.__dict__.get("tree_") if is_of(estimator, "BaseDecisionTree") else None
    require(type(tree) is _compiled_tree(), "a tree is missing")
    return tree


@cache
def _compiled_tree() -> type:
    from sklearn.tree._tree import Tree

    return Tree  # type: ignore[no-any-return]


def single_tree(estimator: Any) -> None:
    """Check that the tree has the features that the estimator was fitted to."""
    if "tree_" in estimator.__dict__:
        require(tree_of(estimator).n_features == features(estimator), "the tree has other features")


def sizes(estimator: Any) -> None:
    """Check sizes: one beyond C's range stops `fit` halfway, with a tree without nodes for `predict`."""
    own = estimator.__dict__
    for name in ("min_samples_leaf", "min_samples_split", "max_depth", "max_leaf_nodes"):
        given = own.get(name)
        found = None if given is None else whole(given)
        require(found is None or abs(found) <= _LARGEST_SIZE, f"{name} is {found}")


_LARGEST_SIZE = 2**53


def _check_trees(trees: list[Any], expected: int, owner: str) -> None:
    for tree in trees:
        require(
            tree_of(tree).n_features == expected and features(tree) == expected,
            f"a tree has other features than the {owner}",
        )


def forest(estimator: Any) -> None:
    """Check that each tree has the features that the forest was fitted to."""
    if estimator.__dict__.get("estimators_") is not None:
        _check_trees(held_list(estimator, "estimators_"), features(estimator), "forest")


def isolation_forest(estimator: Any) -> None:
    """Check that each tree fits the features that were drawn for it."""
    if estimator.__dict__.get("estimators_") is None:
        return
    trees = held_list(estimator, "estimators_")
    chosen = held_list(estimator, "estimators_features_")
    require(len(chosen) == len(trees), "there is not one choice of features for each tree")
    known, most = features(estimator), count(estimator.__dict__.get("_max_features"), "_max_features")
    for index, tree in enumerate(trees):
        found = array(chosen[index], "a choice of features", 1, "iu")
        require(bool(((found >= 0) & (found < known)).all()), "a chosen feature does not exist")
        _check_trees([tree], known if most == known else len(found), "forest")


def boosting(estimator: Any) -> None:
    """Check that the trees, a row for each stage, fit the features, and so does the initial prediction."""
    if estimator.__dict__.get("estimators_") is None:
        return
    trees = held(estimator, "estimators_", 2, "O")
    width = trees.shape[1]
    per_round = estimator.__dict__.get("n_trees_per_iteration_", width)
    require(
        count(per_round, "n_trees_per_iteration_") == width,
        "there are not as many trees as predictions in each round",
    )
    require(trees.size > 0, "gradient boosting has no trees")
    _check_trees(trees.ravel().tolist(), features(estimator), "boosting")
    classifies = is_of(estimator, "ClassifierMixin")
    require("_estimator_type" not in estimator.__dict__, "gradient boosting declares another type")
    require(classifies or width == 1, "there is more than one regression in each round")
    check_loss(estimator.__dict__.get("_loss"), classifies=classifies, width=width)
    check_first_guess(estimator.__dict__.get("init_"), features(estimator), width, classifies=classifies)


def histogram_boosting(estimator: Any) -> None:
    """Check that the predictors, a list for each stage, fit the features and their bins."""
    given = estimator.__dict__.get("loss")
    if not is_text(given) and is_of(given, "BaseLoss"):
        check_loss(given, classifies=is_of(estimator, "ClassifierMixin"), width=None)
    if estimator.__dict__.get("_predictors") is None:
        return
    known = features(estimator)
    require(estimator.__dict__.get("_in_fit") in (None, False), "the estimator is being fitted")
    width = count(estimator.__dict__.get("n_trees_per_iteration_"), "n_trees_per_iteration_")
    check_loss(estimator.__dict__.get("_loss"), classifies=is_of(estimator, "ClassifierMixin"), width=width)
    categorical = _check_bins(estimator.__dict__.get("_bin_mapper"), known)
    _check_preprocessor(estimator.__dict__.get("_preprocessor"), known)
    rounds = held_list(estimator, "_predictors")
    for trees in rounds:
        require(type(trees) is list and len(trees) == width, "a round does not have one tree per prediction")
        for tree in trees:
            _check_predictor(tree, known, categorical)


def _check_bins(mapper: Any, known: int) -> Any:
    """Which features are categorical. Raises ValueError unless that and the bins have the right lengths."""
    require(is_of(mapper, "_BinMapper"), "the bins are missing")
    categorical = array(mapper.__dict__.get("is_categorical_"), "is_categorical_", 1)
    require(categorical.shape == (known,), "is_categorical_ does not have an item for each feature")
    bins(mapper)
    return mapper.__dict__["is_categorical_"]


def bins(mapper: Any) -> None:
    """Check that there is a set of bins for each feature, and whether it is categorical."""
    if "bin_thresholds_" not in mapper.__dict__:
        return
    categorical = held(mapper, "is_categorical_", 1, "biu")
    thresholds = held_list(mapper, "bin_thresholds_")
    numbers = array(mapper.__dict__.get("n_bins_non_missing_"), "n_bins_non_missing_", 1)
    require(len(thresholds) == len(categorical) == len(numbers), "features and sets of bins do not agree")
    for values in thresholds:
        array(values, "the bins of a feature", 1, "f")


def _check_predictor(tree: Any, known: int, categorical: Any) -> None:
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    require(type(tree) is TreePredictor, "a tree is missing")
    nodes = tree.__dict__["nodes"]
    inner = nodes[nodes["is_leaf"] == 0]
    require(bool((inner["feature_idx"] < known).all()), "a node refers to a feature that does not exist")
    used = inner["feature_idx"][inner["is_categorical"] != 0]
    require(bool((categorical[used] != 0).all()), "a categorical split has a feature without categories")


def _check_preprocessor(found: Any, known: int) -> None:
    """Check that the preprocessor, which turns categories into codes, returns a column for each feature."""
    if found is None:
        return
    require(is_of(found, "ColumnTransformer"), "the preprocessor is not a ColumnTransformer")
    require(features(found) == known, "the preprocessor has other features")
    steps = held_list(found, "transformers_")
    require(found.__dict__.get("transformer_weights") is None, "the preprocessor has weights")
    taken = np.zeros(known, np.int64)
    for step in steps:
        require(type(step) is tuple and len(step) == 3, "a step of the preprocessor is malformed")
        if is_text(step[1]) and step[1] == "drop":
            continue
        columns = array(step[2], "the columns of a step", 1, "b")
        require(len(columns) == known, "a step of the preprocessor has other features")
        require(_keeps_columns(step[1]), "a step of the preprocessor may return other columns")
        taken += columns
    require(bool((taken == 1).all()), "the preprocessor does not return every feature once")


def _keeps_columns(step: Any) -> bool:
    """Whether a step is one of the two that histogram boosting makes."""
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
    from sklearn.utils import check_array

    if type(step) is not FunctionTransformer:
        return type(step) is OrdinalEncoder
    function = step.__dict__.get("func")
    if type(function) is partial:
        return function.func is check_array and not function.args
    return function is None
