"""Which functions a network of skorch may hold, and which objects it may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from saver import uses
from saver.codec import shown
from saver.errors import with_article

_INTERNAL = frozenset(("internal",))
_OF_MODULES = frozenset(("activation", "array", "combining", "distance", "elementwise", "loss", "type"))


def of_a_network(net: Any) -> Mapping[str, frozenset[str]]:
    """What sets the parameters of its optimizer; and what modules and criteria are made with
    (`module__activation`)."""
    made_with = (name for name in vars(net) if name.startswith(("module__", "criterion__")))
    return {"virtual_params_": _INTERNAL, **dict.fromkeys(made_with, _OF_MODULES)}


_HOMES = ("skorch", "torch")
"""The libraries whose objects networks and their callbacks call."""

_SCORING = "scoring"
"""The attribute of callbacks that is called and may be a scorer of scikit-learn."""


def check_parts(net: Any) -> None:
    """Raise ValueError if a network holds something else where it trains what it holds."""
    from skorch.history import History
    from torch import nn, optim

    parts = {
        "module_": nn.Module, "optimizer_": optim.Optimizer, "history_": History, "callbacks_": list,
        "virtual_params_": dict, "initialized_": bool,
    }  # fmt: skip
    own = vars(net)
    for name, cls in parts.items():
        if name in own and own[name] is not None and not isinstance(own[name], cls):
            raise ValueError(f"{name} of a network is {shown(own[name])}, not {with_article(cls.__name__)}")


def check_objects(obj: Any) -> None:
    """Raise ValueError if a network, or a callback of one, would call a reviewed object of another library.
    Modules are what they are made of; but those of another library are not made anew, with any arguments."""
    from skorch.net import NeuralNet
    from torch import nn

    if not uses.is_listed(type(obj)):
        return
    if isinstance(obj, NeuralNet):
        check_parts(obj)
    own = vars(obj)
    others = {name: value for name, value in own.items() if not isinstance(value, nn.Module)}
    uses.check_objects(others, others.keys() - {_SCORING}, _HOMES)
    uses.check_objects(others, {_SCORING}, (*_HOMES, "sklearn"))
    for name in own.keys() - others.keys():
        if any(other.startswith(f"{name}__") for other in own):
            try:
                uses.check_objects(own, {name}, _HOMES)
            except ValueError as error:
                raise ValueError(f"{name!r} is made anew with arguments of the network: {error}") from error


CALLABLES: dict[str, Callable[[Any], Mapping[str, frozenset[str]]]] = {"skorch.net:NeuralNet": of_a_network}
CHECKS: dict[str, Callable[[Any], None]] = {"skorch.net:NeuralNet": check_objects}
