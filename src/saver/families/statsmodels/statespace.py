"""State-space representations: their matrices are saved, and what is compiled is made from them again.

statsmodels makes its compiled filters when they are first used. They follow the shapes of the matrices and
the numbers of the states that are initialized, so both are checked here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from statsmodels.tools.tools import Bunch
from statsmodels.tsa.statespace import kalman_filter, kalman_smoother, simulation_smoother, tools
from statsmodels.tsa.statespace.initialization import Initialization
from statsmodels.tsa.statespace.representation import Representation

from saver import trust, uses
from saver.codec import Codec, Decoder, Encoder, own_dict
from saver.families.python.items import encode_items, fill_items
from saver.tree import Node, Value

_COMPILED = frozenset(
    (
        "_initializations", "_kalman_filters", "_kalman_smoothers", "_representations", "_simulators",
        "_statespaces",
    )
)  # fmt: skip
"""What is made when it is first needed, by the letter of its type of numbers."""

_MAPS = frozenset(
    (
        "prefix_initialization_map", "prefix_kalman_filter_map", "prefix_kalman_smoother_map",
        "prefix_simulation_smoother_map", "prefix_statespace_map",
    )
)  # fmt: skip
"""Compiled classes by that letter, the same for all."""

_CLASSES = {
    cls.__name__: cls
    for cls in (
        kalman_filter.FilterResults, kalman_filter.PredictionResults, kalman_smoother.SmootherResults,
        simulation_smoother.SimulationSmoothResults,
    )
}  # fmt: skip
_MAKES = ("results_class", "simulation_smooth_results_class")
"""Attributes that are the class of what a filter returns."""

_MATRICES = {
    "design": ("k_endog", "k_states"),
    "obs_intercept": ("k_endog",),
    "obs_cov": ("k_endog", "k_endog"),
    "transition": ("k_states", "k_states"),
    "state_intercept": ("k_states",),
    "selection": ("k_states", "k_posdef"),
    "state_cov": ("k_posdef", "k_posdef"),
}
"""The matrices of a representation, and their sizes before the last axis, which is time."""

_TYPES = (None, "known", "diffuse", "approximate_diffuse", "stationary")


class SpaceCodec(Codec):
    """`Representation` and the filters and smoothers that derive from it, and `Initialization`."""

    name = "statsmodels.space"
    bare = True
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, (Representation, Initialization))

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = own_dict(obj)
        made = {name: own[name].__name__ for name in _MAKES if own.get(name) in _CLASSES.values()}
        apart = (_COMPILED | _MAPS | made.keys()) & own.keys()
        return {
            "attributes": encoder.attributes(obj, frozenset(apart)),
            "makes": dict(made),
            "apart": sorted(apart - made.keys()),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls, state = decoder.cls(node), node.state
        if not (isinstance(cls, type) and self.accepts(cls)):
            raise ValueError(f"{cls!r} is not a class that this codec builds")
        if not {*state["apart"]} <= _COMPILED | _MAPS or not state["makes"].keys() <= {*_MAKES}:
            raise ValueError("a representation has other attributes apart than statsmodels makes")
        obj: Any = object.__new__(cls)
        decoder.keep(node, obj)
        decoder.fill_attributes(obj, state["attributes"])
        own = own_dict(obj)
        if not (own.keys() & (_COMPILED | _MAPS | {*_MAKES})).issubset(_MAKES):
            raise ValueError("a file has what is compiled of a representation")
        own.update({name: _CLASSES[made] for name, made in state["makes"].items()})
        own.update({name: dict(getattr(tools, name)) if name in _MAPS else {} for name in state["apart"]})
        return obj

    def check(self, obj: Any) -> None:
        if isinstance(obj, Initialization):
            _check_initialization(own_dict(obj))
        else:
            _check_representation(own_dict(obj))
        own = own_dict(obj)
        made = {name for name in _MAKES if own.get(name) in _CLASSES.values()}
        own = {name: own[name] for name in own.keys() - _COMPILED - _MAPS - made}
        uses.check(own, _TYPE, uses.is_listed(type(obj)))


_TYPE = {"dtype": frozenset(("type",))}


def _size(own: dict[str, Any], name: str) -> int:
    found = own.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)) or found < 0:
        raise ValueError(f"{name} is {found!r:.40}, not a number of things")
    return int(found)


def _check_representation(own: dict[str, Any]) -> None:
    endog, periods = own.get("endog"), _size(own, "nobs")
    if _size(own, "k_states") < 1 or _size(own, "k_endog") < 1 or _size(own, "k_posdef") < 1:
        raise ValueError("a representation has no states, no series or no disturbances")
    if endog is not None and not _fits(endog, (own["k_endog"], periods)):
        raise ValueError("the data of a representation have another shape than it says")
    for name, sizes in _MATRICES.items():
        here = tuple(own[size] for size in sizes)
        if not any(_fits(own.get(f"_{name}"), (*here, length)) for length in (1, periods)):
            raise ValueError(f"the matrix {name} of a representation has another shape than its sizes say")
        if (own["shapes"] if type(own.get("shapes")) is dict else {}).get(name) != own[f"_{name}"].shape:
            raise ValueError(f"the shape of the matrix {name} is not the one that is written down")
    start = own.get("initialization")
    if start is not None and not isinstance(start, Initialization):
        raise ValueError("what initializes a representation is something else")
    if start is not None and own_dict(start).get("k_states") != own["k_states"]:
        raise ValueError("a representation has another number of states than are initialized")


def _fits(found: Any, shape: tuple[int, ...]) -> bool:
    return type(found) is np.ndarray and found.dtype.kind in "fc" and found.shape == shape


def _check_initialization(own: dict[str, Any]) -> None:
    """States are initialized by number, in blocks that follow each other."""
    count, blocks = _size(own, "k_states"), own.get("blocks")
    if own.get("initialization_type") not in _TYPES or type(blocks) is not dict:
        raise ValueError("states are initialized in a way that statsmodels does not have")
    if not _fits(own.get("constant"), (count,)) or not _fits(own.get("stationary_cov"), (count, count)):
        raise ValueError("what states begin with has another shape than there are states")
    if own.get("_states") != tuple(range(count)):
        raise ValueError("the states are not numbered in order")
    for numbers, block in blocks.items():
        inside = type(numbers) is tuple and all(
            isinstance(n, (int, np.integer)) and 0 <= n < count for n in numbers
        )
        if not inside or not numbers or any(b != a + 1 for a, b in pairwise(numbers)):
            raise ValueError("a block of states is not one of states that follow each other")
        if not isinstance(block, Initialization) or own_dict(block).get("k_states") != len(numbers):
            raise ValueError("a block has another number of states than are initialized")


class BunchCodec(Codec):
    """`Bunch`, a dict whose items are its attributes."""

    name = "statsmodels.bunch"
    types = (Bunch,)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.check(_check_bunch, obj)
        return encode_items(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = Bunch()
        decoder.keep(node, found)
        fill_items(node.state, decoder, found)
        _check_bunch(found)
        return found


def _check_bunch(found: Any) -> None:
    """Raise ValueError for an item that would hide a method."""
    for name in found:
        if type(name) is not str or hasattr(dict, name) or name.startswith("__"):
            raise ValueError(f"{name!r:.60} cannot be an item, which would be an attribute")


CODECS: tuple[Codec, ...] = (SpaceCodec(), BunchCodec())
