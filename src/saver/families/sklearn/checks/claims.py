"""What estimators rely on, made their own: copies that nothing else that was loaded can change."""

from __future__ import annotations

from typing import Any

from saver.families.sklearn.checks.attributes import is_array, is_of, is_sparse

_CLAIMED: dict[str, tuple[str, ...]] = {
    "BaseForest": ("estimators_",),
    "IsolationForest": ("estimators_", "estimators_features_"),
    "BaseGradientBoosting": ("estimators_",),
    "BaseHistGradientBoosting": ("_predictors",),
    "_BinMapper": ("is_categorical_", "bin_thresholds_"),
    "BaseLibSVM": ("_n_support", "support_", "support_vectors_", "_BaseLibSVM__Xfit"),
    "HDBSCAN": ("_single_linkage_tree_",),
    "KNeighborsClassifier": ("_y",),
    "RadiusNeighborsClassifier": ("_y",),
    "OneHotEncoder": (
        "_n_features_outs", "categories_", "_drop_idx_after_grouping", "_default_to_infrequent_mappings",
        "_infrequent_indices",
    ),
    "CountVectorizer": ("vocabulary_",),
    "DictVectorizer": ("vocabulary_",),
    "MultiLabelBinarizer": ("_cached_dict", "classes_"),
}  # fmt: skip
"""Attributes by the name of a class of scikit-learn; those of its bases count, too."""

_BY_SHAPE = frozenset(("support_vectors_", "_BaseLibSVM__Xfit"))
"""Of these, an array is only asked for its shape, which no other reference can change."""

_of: dict[type, tuple[str, ...]] = {}

_DEEPEST = 3
"""Lists of lists of arrays are the deepest that is relied on."""


def claim(estimator: Any) -> None:
    """Replace what `check` looks into by copies of the estimator's own."""
    cls, own = type(estimator), estimator.__dict__
    names = _of.get(cls)
    if names is None:
        bases = [base.__name__ for base in cls.__mro__ if base.__module__.startswith("sklearn.")]
        names = _of[cls] = tuple(name for base in bases for name in _CLAIMED.get(base, ()))
    for name in names:
        if name in own and not (name in _BY_SHAPE and is_array(own[name])):
            own[name] = _copied(own[name], _DEEPEST)
    reader = own.get("_preprocessor")
    if reader is not None and is_of(estimator, "BaseHistGradientBoosting") and is_of(reader, "BaseEstimator"):
        steps = reader.__dict__.get("transformers_")
        reader.__dict__["transformers_"] = _copied(steps, _DEEPEST)


def _copied(value: Any, depth: int) -> Any:
    """A copy of an exact array, list, tuple or dict, and of those within it; all else is left as it is."""
    if is_array(value):
        return value.copy()
    if is_sparse(value):
        return _copied_matrix(value)
    if not depth:
        return value
    if type(value) in (list, tuple):
        return type(value)(_copied(item, depth - 1) for item in value)
    return dict(value) if type(value) is dict else value


def _copied_matrix(matrix: Any) -> Any:
    inside = matrix.__dict__
    own = object.__new__(type(matrix))
    own.__dict__.update(inside)
    own.__dict__.update(
        (name, inside[name].copy()) for name in ("indices", "indptr") if is_array(inside.get(name))
    )
    return own
