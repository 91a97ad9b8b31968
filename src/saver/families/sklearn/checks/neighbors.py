"""Samples that are kept to find neighbours: compiled code trusts their number, norms and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver.families.sklearn.checks.attributes import (
    array,
    count,
    features,
    held,
    is_array,
    is_of,
    is_text,
    require,
    shape,
    state,
    whole,
)
from saver.families.sklearn.neighbors import check_distance

_METHODS = ("brute", "kd_tree", "ball_tree")
_TREES = ("KDTree", "BallTree", "KDTree64", "BallTree64", "KDTree32", "BallTree32")


def neighbors(estimator: Any) -> None:
    """Check that the training data, its tree and the metric fit together."""
    fitted, tree, method = state(estimator, "_fit_X", "_tree", "_fit_method")
    known = _features(estimator, fitted, method) if fitted is not None else None
    for name in ("effective_metric_params_", "metric_params"):
        check_parameters(estimator.__dict__.get(name), known)
    for name in ("metric", "effective_metric_"):
        _check_metric(estimator.__dict__.get(name), known)
    if not any(name in estimator.__dict__ for name in ("_fit_X", "_tree", "_fit_method", "n_samples_fit_")):
        return
    size = shape(fitted)
    require(size is not None and len(size) == 2, "the samples are not a matrix")
    rows, columns = size or (0, 0)
    require(rows > 0 and columns > 0, "no samples are kept")
    require(is_text(method) and method in _METHODS, "_fit_method is unknown")
    metric = estimator.__dict__.get("metric")
    precomputed = is_text(metric) and metric == "precomputed"
    effective = estimator.__dict__.get("effective_metric_", metric)
    require(
        (is_text(effective) and effective == "precomputed") == precomputed,
        "metric and effective_metric_ do not agree",
    )
    require(precomputed or columns == known, "the samples have other features")
    said = estimator.__dict__.get("n_samples_fit_")
    require(count(said, "n_samples_fit_") == rows, "n_samples_fit_ is not the number of samples")
    if tree is not None:
        require(_is_tree(tree), "a tree is missing")
        require(tuple(tree.data.shape) == (rows, columns), "the tree has other samples")
    if is_of(estimator, "KNeighborsClassifier") or is_of(estimator, "RadiusNeighborsClassifier"):
        _check_labels(estimator, rows)
        _check_number(estimator, rows)


def _features(estimator: Any, fitted: Any, method: Any) -> int:
    """How many features the samples have; an estimator that was fitted to another one does not say so, and
    only trees compare them with those of a query."""
    size = shape(fitted)
    silent = "n_features_in_" not in estimator.__dict__ and is_text(method)
    if silent and method in ("kd_tree", "ball_tree") and size is not None and len(size) == 2:
        return size[1]
    return features(estimator)


def _is_tree(tree: Any) -> bool:
    return type(tree).__module__.startswith("sklearn.neighbors._") and type(tree).__name__ in _TREES


def check_parameters(found: Any, known: int | None) -> None:
    """Check that weights and matrices of a metric fit `known` features, and that none is a norm, since norms
    would be used unchecked."""
    require(found is None or type(found) is dict, "the parameters of a metric are not a dict")
    for key, value in (found or {}).items():
        require(is_text(key), "a parameter of a metric has no name")
        require(not key.endswith("_norm_squared"), "the parameters of a metric contain norms")
        if key in ("V", "VI", "w") and value is not None:
            size = _lengths(value)
            either: dict[Any, list[Any]] = {
                "V": [(known,), (known, known)],
                "VI": [(known, known)],
                "w": [(known,)],
            }
            right = either[key]
            require(
                size is not None and (size in right if known is not None else len(set(size)) == 1),
                f"{key} does not fit the features of the metric",
            )


def metric(estimator: Any) -> None:
    """Check a metric: SciPy reads as much of its matrix as the data has features."""
    check_parameters(estimator.__dict__.get("metric_params"), whole(estimator.__dict__.get("n_features_in_")))


def _lengths(value: Any) -> tuple[int, ...] | None:
    """The shape of an array, or of lists of numbers that can become one."""
    if type(value) is not list:
        return shape(value)
    if all(type(item) in (int, float, np.float64) for item in value):
        return (len(value),)
    inner = {_lengths(item) if type(item) in (list, np.ndarray) else None for item in value}
    deeper = inner.pop() if len(inner) == 1 else None
    return (len(value), *deeper) if deeper is not None and len(deeper) == 1 else None


def _check_metric(metric: Any, known: int | None) -> None:
    if known is not None and type(metric).__module__ == "sklearn.metrics._dist_metrics":
        check_distance(metric, known)


def _check_labels(estimator: Any, rows: int) -> None:
    if "_y" not in estimator.__dict__:
        return
    labels, classes = held(estimator, "_y", kinds="iu"), estimator.__dict__.get("classes_")
    several = estimator.__dict__.get("outputs_2d_")
    require(type(several) in (bool, np.bool_), "outputs_2d_ is not a bool")
    require(labels.shape[:1] == (rows,), "there is not one label for each sample")
    if several:
        require(
            type(classes) is list and labels.ndim == 2 and labels.shape[1] == len(classes),
            "there is not one list of classes for each target",
        )
        numbers = [len(array(found, "classes_", 1)) for found in classes]
    else:
        require(labels.ndim == 1 or labels.shape == (rows, 1), "samples have more than one label")
        numbers = [len(array(classes, "classes_", 1))]
    require(bool(((labels >= 0) & (labels < np.array(numbers))).all()), "a label is not that of a class")


def _check_number(estimator: Any, rows: int) -> None:
    """Check `n_neighbors`: votes are counted for as many neighbours, however many samples there are."""
    asked, metric, power, method = state(estimator, "n_neighbors", "metric", "p", "_fit_method")
    euclidean = is_text(metric) and (
        metric in ("euclidean", "sqeuclidean", "precomputed")
        or (metric == "minkowski" and type(power) in (int, float) and power == 2)
    )
    if method == "brute" and not euclidean and whole(asked) is not None:
        require((whole(asked) or 0) <= rows, f"n_neighbors is {whole(asked)} for {rows} samples")


def density(estimator: Any) -> None:
    """Check that the tree has the features that the estimator was fitted to."""
    tree = estimator.__dict__.get("tree_")
    if tree is not None:
        require(_is_tree(tree), "a tree is missing")
        require(tree.data.shape[1] == features(estimator), "the tree has other features")


def birch(estimator: Any) -> None:
    """Check the centers and their precomputed norms, with which the nearest subcluster is found."""
    centers, norms = state(estimator, "subcluster_centers_", "_subcluster_norms")
    if norms is not None:
        require(
            is_array(centers) and centers.ndim == 2 and shape(norms) == (len(centers),),
            "there is not one norm for each center",
        )


def linkage(estimator: Any) -> None:
    """Check the table by which HDBSCAN joins clusters: each row must join two that exist by then."""
    if estimator.__dict__.get("_single_linkage_tree_") is None:
        return
    table = held(estimator, "_single_linkage_tree_", 1)
    names = table.dtype.names or ()
    require({"left_node", "right_node"} <= set(names), "the linkage has other columns")
    ahead = np.arange(len(table)) + len(table) + 1
    for name in ("left_node", "right_node"):
        found = table[name]
        require(
            found.dtype.kind == "i" and bool(((found >= 0) & (found < ahead)).all()),
            "the linkage joins a cluster that does not exist",
        )
