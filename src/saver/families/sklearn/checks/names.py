"""Strings that name methods or attributes, which are looked up when the estimator is used."""

from __future__ import annotations

from string import Formatter
from typing import Any

from saver.families.sklearn.checks.attributes import is_text, require

_RESPONSES = frozenset(
    (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "score_samples",
        "auto",
        "default",
        "transform",
    )
)


def check_response(found: Any, name: str) -> None:
    """Raise ValueError unless `found` names methods that predict."""
    if found is None:
        return
    texts = found if type(found) in (list, tuple) else [found]
    require(
        all(text is None or (is_text(text) and text in _RESPONSES) for text in texts),
        f"{name} does not name a method that predicts",
    )


def responses(estimator: Any) -> None:
    """Check attributes with the name of a method that is called: `predict`, `predict_proba` or similar."""
    own = estimator.__dict__
    for name in ("stack_method_", "chain_method_", "response_method"):
        if name in own:
            check_response(own[name], name)
    for scorer in [own[name] for name in ("_curve_scorer", "scorer_", "_scorer") if name in own]:
        if "sklearn.metrics._scorer" in {base.__module__ for base in type(scorer).__mro__}:
            check_response(scorer.__dict__.get("_response_method"), "_response_method")


def importances(estimator: Any) -> None:
    """Check `importance_getter`, a dotted path: to attributes of estimators, not to those of Python."""
    found = estimator.__dict__.get("importance_getter")
    if is_text(found):
        require(
            not any(step.startswith("__") for step in found.split(".")),
            "importance_getter leads out of the estimator",
        )


def column_names(estimator: Any) -> None:
    """Check `verbose_feature_names_out`, which may be a format string with two names and nothing else."""
    found = estimator.__dict__.get("verbose_feature_names_out")
    if is_text(found):
        fields = [(name, spec) for _, name, spec, _ in Formatter().parse(found) if name is not None]
        require(
            all(name in ("feature_name", "transformer_name") and not spec for name, spec in fields),
            "verbose_feature_names_out asks for more than names",
        )
