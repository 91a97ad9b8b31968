"""Which attributes of scikit-learn's objects hold functions or classes, and of what kind.

The list was made from the constraints of all constructors and the source of scikit-learn 1.5 to 1.9. Where
native code relies on the result of a function (`kernel` of a support-vector machine: a column for each
training sample), only functions that return it are admitted. Parameters that are called with text, with an
estimator or without data (`tokenizer`, `scoring`, `callback`, `importance_getter`) may hold only the user's
own functions.
"""

from __future__ import annotations

from typing import Any

from saver import uses
from saver.codec import rules_of
from saver.families.sklearn.checks.attributes import is_of

_ELEMENTWISE = frozenset(("elementwise", "array", "check"))
_DISTANCE = frozenset(("distance", "pairwise"))
_TYPE = frozenset(("type",))
_NONE: frozenset[str] = frozenset()

ALLOWED: dict[str, frozenset[str]] = {
    "func": _ELEMENTWISE | {"getter"},
    "inverse_func": _ELEMENTWISE | {"getter"},
    "score_func": frozenset(("scores",)),
    "_score_func": frozenset(("metric",)),
    "oob_score": frozenset(("metric",)),
    "kernel": frozenset(("kernel",)),
    "affinity": frozenset(("kernel", "distance")),
    "metric": _DISTANCE,
    "effective_metric_": _DISTANCE,
    "weights": _ELEMENTWISE,
    "pooling_func": frozenset(("array",)),
    "strategy": frozenset(("array",)),
    "max_features": frozenset(("array",)),
    "loss": frozenset(("combining",)),
    "dtype": _TYPE,
    "dtype_include": _TYPE,
    "dtype_exclude": _TYPE,
    "cv": frozenset(("splitter",)),
    "_kmeans_single": frozenset(("internal",)),
    **dict.fromkeys(("analyzer", "preprocessor", "strip_accents", "tokenizer"), frozenset(("text",))),
    **dict.fromkeys(
        ("feature_names_out", "connectivity", "init", "scoring", "refit", "optimizer", "fun", "callback",
         "is_data_valid", "is_model_valid", "importance_getter", "feature_name_combiner",
         "verbose_feature_names_out"),
        _NONE,
    ),
}  # fmt: skip
"""Attribute → the kinds of function or class that it may hold."""

_OPTIONS = frozenset(
    (
        "best_params_", "cv_results_", "inv_kw_args", "kw_args", "metric_params", "param_distributions",
        "param_grid", "params", "_metric_kwargs",
    )
)  # fmt: skip
"""Attributes with options for functions, or with what to set in estimators, which is checked there."""

_ROWS_IN = dict.fromkeys(("kernel", "metric"), frozenset(("kernel", "distance", "combining")))
_BY_ROWS = frozenset(("KernelPCA", "KernelRidge", "Nystroem", "PairwiseKernel"))
"""Their kernel is called with two rows and returns a number, which NumPy checks."""


def check(obj: Any) -> None:
    """Raise ValueError for a function or class in a place where it does not belong."""
    own = vars(obj)
    if "kw_args" in own:
        uses.check_options(own["kw_args"])
        uses.check_options(own.get("inv_kw_args"))
    cls = type(obj)
    listed = uses.is_listed(cls)
    if listed:
        uses.check_objects(own, ALLOWED.keys(), ("sklearn", cls.__module__.partition(".")[0]))
    if uses.are_plain(own.values()):
        return
    allowed = ALLOWED
    for of_the_library in rules_of(cls, "CALLABLES"):
        allowed = {**allowed, **of_the_library(obj)}
    if not own.keys().isdisjoint(_ROWS_IN) and any(is_of(obj, name) for name in _BY_ROWS):
        allowed = {**allowed, **_ROWS_IN}
    uses.check(own, allowed, listed, _OPTIONS)
