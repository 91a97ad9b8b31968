"""What a metric needs to work once it is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def wrap_methods(obj: Any) -> None:
    """Wrap the methods of a metric, which count calls and keep results, as its constructor does."""
    cls, own = type(obj), vars(obj)
    update, compute = cls.update.__get__(obj, cls), cls.compute.__get__(obj, cls)
    own["_update_signature"] = inspect.signature(update)
    own["update"] = cls._wrap_update(obj, update)
    own["compute"] = cls._wrap_compute(obj, compute)


CHECKS: dict[str, Callable[[Any], None]] = {}
CLAIMS: dict[str, Callable[[Any], None]] = {"torchmetrics.metric:Metric": wrap_methods}
