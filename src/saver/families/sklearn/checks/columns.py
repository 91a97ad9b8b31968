"""Indices that become columns of a sparse matrix: SciPy does not check that they are within the shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver.families.sklearn.checks.attributes import (
    array,
    held,
    held_list,
    is_array,
    require,
    whole,
)


def vocabulary(estimator: Any) -> None:
    """Check that each term has a column, and there are as many columns as terms."""
    _check_mapping(estimator, "vocabulary_")


def labels(estimator: Any) -> None:
    """Check that each label has a column and occurs once; otherwise columns could exceed their number."""
    _check_mapping(estimator, "_cached_dict")
    if "classes_" in estimator.__dict__:
        known = held(estimator, "classes_", 1)
        values = [value for value in known.tolist() if _is_plain(value)]
        require(len(set(values)) == len(values), "a class occurs twice")


def _is_plain(value: Any) -> bool:
    """Whether comparing it runs only the code of Python and NumPy; other classes were trusted by name."""
    if type(value) in (tuple, frozenset):
        return all(_is_plain(item) for item in value)
    return type(value).__module__ in ("builtins", "datetime", "decimal", "fractions", "numpy", "uuid")


def _check_mapping(estimator: Any, name: str) -> None:
    found = estimator.__dict__.get(name)
    if found is None:
        return
    require(type(found) is dict, f"{name} is not a dict")
    numbers = [whole(number) for number in found.values()]
    require(
        all(number is not None and 0 <= number < len(found) for number in numbers),
        f"{name} refers to a column that does not exist",
    )


def hashed(estimator: Any) -> None:
    """Check the number of columns, by which hashes are divided."""
    found = whole(estimator.__dict__.get("n_features"))
    require(found is not None and 1 <= found < 2**31, "n_features is not a positive 32-bit integer")


def one_hot(estimator: Any) -> None:
    """Check that each category has a column, except dropped ones and rare ones, which share one."""
    if estimator.__dict__.get("_n_features_outs") is None:
        return
    outs, categories = held_list(estimator, "_n_features_outs"), held_list(estimator, "categories_")
    require(len(outs) == len(categories), "there is not one number of columns for each feature")
    dropped = _per_feature(estimator, "_drop_idx_after_grouping", len(categories))
    rare = estimator.__dict__.get("_infrequent_enabled")
    require(rare is None or type(rare) is bool, "_infrequent_enabled is not a bool")
    mappings = _per_feature(estimator, "_default_to_infrequent_mappings", len(categories)) if rare else None
    groups = _per_feature(estimator, "_infrequent_indices", len(categories)) if rare else None
    for index, known in enumerate(categories):
        known = array(known, "the categories of a feature", 1)
        require(_in_order(known), "the categories of a feature are not in order")
        number = len(known)
        if groups is not None and mappings is not None:
            number = _grouped(groups, mappings, index, number)
        drop = None if dropped is None else dropped[index]
        if drop is not None:
            place = whole(drop)
            require(
                place is not None and 0 <= place < max(number, 1),
                "a dropped category does not exist",
            )
            number -= 1
        require(whole(outs[index]) == number, "a feature does not have as many columns as categories")


def _grouped(groups: Any, mappings: Any, index: int, number: int) -> int:
    """The number of columns if the rare categories share one."""
    group, mapping = groups[index], mappings[index]
    require((group is None) == (mapping is None), "the group of rare categories is missing")
    if group is None:
        return number
    group = array(group, "the rare categories", 1, "iu")
    mapping = array(mapping, "the groups", 1, "iu")
    left = number - len(group) + 1
    require(mapping.shape == (number,), "there is not one group for each category")
    require(bool(((mapping >= 0) & (mapping < left)).all()), "the group of a category does not exist")
    return left


def _per_feature(estimator: Any, name: str, number: int) -> Any:
    """An attribute that is None or has an item for each feature."""
    found = estimator.__dict__.get(name)
    if found is None:
        return None
    require(type(found) is list or (is_array(found) and found.ndim == 1), f"{name} is not a list")
    require(len(found) == number, f"{name} does not fit the features")
    return found


def _in_order(known: Any) -> bool:
    """Whether numbers ascend, so that a binary search finds each at its index. Strings use a hash table."""
    if known.dtype.kind in "OUS":
        return True
    return bool((np.argsort(known, kind="stable") == np.arange(len(known))).all())
