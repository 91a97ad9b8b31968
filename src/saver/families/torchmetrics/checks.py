"""What a metric needs to work once it is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def wrap_methods(obj: Any) -> None:
    """Wrap the methods of a metric, which count calls and keep results, as its constructor does."""
    cls, own = type(obj), vars(obj)
    update, compute = cls.update.__get__(obj, cls), cls.compute.__get__(obj, cls)
    own["_update_signature"] = inspect.signature(update)
    own["update"] = cls._wrap_update(obj, update)
    own["compute"] = cls._wrap_compute(obj, compute)


_OF_METRICS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("_reductions", "distributed_available_fn"), frozenset(("internal",))),
    **dict.fromkeys(("aggregation", "metric_func"), frozenset(("array", "combining", "distance", "loss"))),
    **dict.fromkeys(("normalizer", "tokenizer"), frozenset(("text",))),
    "op": frozenset(("combining", "elementwise", "array")),
}


def of_a_metric(obj: Any) -> Mapping[str, frozenset[str]]:
    """What joins its states, and what it counts with."""
    return _OF_METRICS


CALLABLES: dict[str, Callable[[Any], Mapping[str, frozenset[str]]]] = {
    "torchmetrics.metric:Metric": of_a_metric
}
CHECKS: dict[str, Callable[[Any], None]] = {}
CLAIMS: dict[str, Callable[[Any], None]] = {"torchmetrics.metric:Metric": wrap_methods}
