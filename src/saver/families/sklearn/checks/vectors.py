"""Support vectors, centers and coefficients: native code takes the size from one array and reads others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saver.families.sklearn.checks.attributes import (
    array,
    count,
    features,
    held,
    is_array,
    is_of,
    is_sparse,
    is_text,
    is_users_own,
    require,
    shape,
    state,
    whole,
)

_IMPLEMENTATIONS = ("_impl", "_sparse_kernels")


def support_vectors(estimator: Any) -> None:
    """Check libsvm's numbers of vectors, classes and coefficients, each of which comes from another array."""
    if estimator.__dict__.get("support_vectors_") is None:
        return
    require(not any(name in estimator.__dict__ for name in _IMPLEMENTATIONS), "_impl cannot be an attribute")
    classes = estimator.__dict__.get("classes_")
    classifies = is_of(estimator, "BaseSVC")
    number = len(array(classes, "classes_", 1)) if classifies else 2
    counts, support = held(estimator, "_n_support"), held(estimator, "support_")
    require(
        counts.dtype == np.int32 and counts.shape == (number,) and bool((counts >= 0).all()),
        "_n_support does not have a count for each class",
    )
    total = int(counts.sum(dtype=np.int64)) if classifies else support.size
    require(
        support.dtype == np.int32 and support.shape == (total,),
        "there are not as many indices as support vectors",
    )
    fitted = estimator.__dict__.get("shape_fit_")
    require(type(fitted) is tuple and len(fitted) in (1, 2), "the shape of the training data is missing")
    rows = count(fitted[0], "the number of training samples")
    require(bool(((support >= 0) & (support < max(rows, 1))).all()), "an index is beyond the training data")
    _check_vectors(estimator, total, rows)
    _check_coefficients(estimator, number, total)


def _check_vectors(estimator: Any, total: int, rows: int) -> None:
    vectors, kernel, sparse = state(estimator, "support_vectors_", "kernel", "_sparse")
    require(type(sparse) in (bool, np.bool_), "_sparse is not a bool")
    require(is_sparse(vectors) if sparse else is_array(vectors), "support vectors are not as _sparse says")
    size = shape(vectors)
    require(size is not None and len(size) == 2, "the support vectors are not a matrix")
    if not is_text(kernel):
        require(callable(kernel) and not sparse, "the kernel is neither a name nor a function")
        samples = estimator.__dict__.get("_BaseLibSVM__Xfit")
        fits = _length(samples) == rows or (samples is not None and is_users_own(samples))
        require(fits, "the samples of the kernel are missing")
    elif kernel != "precomputed" or sparse:
        require(
            size == (total, features(estimator)),
            "the support vectors do not have the declared number or features",
        )
    if sparse:
        _check_rows(vectors, "support_vectors_")


def _length(samples: Any) -> int | None:
    """The number of samples that a kernel is given; None if only the samples could say."""
    if type(samples) in (list, tuple):
        return len(samples)
    if type(samples).__name__ == "DataFrame" and type(samples).__module__.partition(".")[0] == "pandas":
        return len(samples.index)
    return next(iter(shape(samples) or ()), None)


def _check_rows(matrix: Any, name: str) -> None:
    """The indices of a sparse matrix lie within it."""
    inside = matrix.__dict__
    data, indices, pointers = (array(inside.get(key), key, 1) for key in ("data", "indices", "indptr"))
    size = shape(matrix) or (0, 0)
    require(type(matrix).__name__.startswith("csr"), f"{name} is not in compressed rows")
    require(
        indices.dtype.kind == pointers.dtype.kind == "i"
        and len(pointers) == size[0] + 1
        and int(pointers[0]) == 0
        and bool((np.diff(pointers) >= 0).all())
        and int(pointers[-1]) <= min(len(indices), len(data)),
        f"{name} is not a matrix in compressed rows",
    )
    require(bool(((indices >= 0) & (indices < size[1])).all()), f"{name} has an index beyond its columns")


def _check_coefficients(estimator: Any, number: int, total: int) -> None:
    dual, sparse = state(estimator, "_dual_coef_", "_sparse")
    pairs = max(number * (number - 1) // 2, 1)
    size = shape(dual)
    none = sparse and total == 0 and size == (1, 0)
    require(none or size == (number - 1, total), "the coefficients do not fit the support vectors")
    require(is_sparse(dual) if sparse else is_array(dual), "the coefficients do not fit the support vectors")
    if sparse:
        values = array(dual.__dict__.get("data"), "the coefficients", 1)
        require(values.shape == ((number - 1) * total,), "the coefficients do not fit the support vectors")
    rho = array(estimator.__dict__.get("_intercept_"), "_intercept_", 1)
    require(rho.shape == (pairs,), "there is not one intercept for each pair of classes")
    _check_probabilities(estimator, pairs)


def _check_probabilities(estimator: Any, pairs: int) -> None:
    """Check `_probA` and `_probB`: for probabilities, libsvm reads one of each for each pair of classes."""
    lengths = [len(array(found, "a probability", 1)) for found in state(estimator, "_probA", "_probB")]
    needed = bool(estimator.__dict__["_sparse"]) and _asks_for_probabilities(estimator)
    if is_of(estimator, "BaseSVC"):
        fits = lengths == [pairs, pairs] or (lengths == [0, 0] and not needed)
    else:
        fits = lengths[0] in (0, 1, 2) and lengths[1] in (0, 1) and not needed
    require(fits, "the probability parameters do not fit")


def _asks_for_probabilities(estimator: Any) -> bool:
    """Whether libsvm computes probabilities. scikit-learn 1.9 and later decide in `fit`, earlier ones by
    the parameter."""
    import sklearn

    major, minor, *_ = sklearn.__version__.split(".")
    since = (int(major), int(minor)) >= (1, 9)
    asked = estimator.__dict__.get("_effective_probability" if since else "probability")
    return not (type(asked) is bool and not asked)


def centers(estimator: Any) -> None:
    """Check k-means: centers have the width of the data, and for mini-batches each has a count."""
    found, counts = state(estimator, "cluster_centers_", "_counts")
    if found is None:
        return
    width = array(found, "cluster_centers_", 2).shape[1]
    require(width == features(estimator), "cluster_centers_ has other features")
    if counts is not None:
        require(shape(counts) == (len(found),), "there is not one count for each center")


def bisecting(estimator: Any) -> None:
    """Check the tree of centers: it has no cycle, and centers have the features of the data."""
    tree = estimator.__dict__.get("_bisecting_tree")
    open_nodes, seen = [] if tree is None else [tree], set()
    while open_nodes:
        node = open_nodes.pop()
        require(is_of(node, "_BisectingTree"), "a node of the bisection is missing")
        require(id(node) not in seen, "a node of the bisection has two parents")
        seen.add(id(node))
        center, known = node.__dict__.get("center"), features(estimator)
        of_sparse = type(center) is np.matrix and center.shape == (1, known)  # the mean of a sparse matrix
        require(center is None or of_sparse or shape(center) == (known,), "a center has other features")
        children = state(node, "left", "right")
        open_nodes.extend(child for child in children if child is not None)


def rows_of_features(*names: str) -> Callable[[Any], None]:
    """A check that the last axis of these arrays is that of the features: coefficients, used by further
    training."""

    def checker(estimator: Any) -> None:
        for name in names:
            found = estimator.__dict__.get(name)
            if found is None:
                continue
            size = shape(found)
            require(size is not None and len(size) in (1, 2), f"{name} is neither a vector nor a matrix")
            require(size is not None and size[-1] == features(estimator), f"{name} has other features")

    return checker


def covariance(estimator: Any) -> None:
    """Check covariances: SciPy reads as much of the precision matrix as the data has features."""
    for name in ("precision_", "covariance_"):
        found = estimator.__dict__.get(name)
        known = features(estimator) if found is not None else 0
        require(found is None or shape(found) == (known, known), f"{name} has other features")


def tasks(estimator: Any) -> None:
    """Check coefficients: further training takes the number of tasks from the targets, and reads as many."""
    coefficients, intercept = state(estimator, "coef_", "intercept_")
    if coefficients is not None:
        rows = array(coefficients, "coef_", 2).shape[0]
        require(rows > 0, "coef_ has no tasks")
        require(not is_array(intercept) or intercept.shape in ((), (rows,)), "coef_ has other tasks")


def threads(estimator: Any) -> None:
    """Check numbers of threads: OpenMP ends the process if it cannot start them, and joblib has no limit."""
    inside = estimator.__dict__
    for name, least in (("_n_threads", 1), ("n_threads", 1), ("n_jobs", None)):
        if inside.get(name) is None:
            continue
        found = whole(inside[name])
        if found is None and name == "n_jobs":
            continue  # refused by scikit-learn itself
        require(
            found is not None and found <= _MOST_THREADS and (least is None or found >= least),
            f"{name} asks for {found} threads",
        )


_MOST_THREADS = 1024
"""More than the processors of any machine that runs scikit-learn; with 200,000 threads, the process ends on
all of them."""
