"""Which functions a network of skorch may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_INTERNAL = frozenset(("internal",))
_OF_MODULES = frozenset(("activation", "array", "combining", "distance", "elementwise", "loss", "type"))


def of_a_network(net: Any) -> Mapping[str, frozenset[str]]:
    """What sets the parameters of its optimizer; and what modules and criteria are made with
    (`module__activation`)."""
    made_with = (name for name in vars(net) if name.startswith(("module__", "criterion__")))
    return {"virtual_params_": _INTERNAL, **dict.fromkeys(made_with, _OF_MODULES)}


CALLABLES: dict[str, Callable[[Any], Mapping[str, frozenset[str]]]] = {"skorch.net:NeuralNet": of_a_network}
