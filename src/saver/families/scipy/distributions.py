"""The distributions of `scipy.stats`, unfrozen and frozen, as search objects hold them.

A distribution is found by its name among those that `scipy.stats` exports; its parameters are data.
SciPy compiles a parser of arguments whenever it creates or freezes a distribution. Here the parser of the
exported one is used again, so that loading compiles nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import MethodType
from typing import Any

import numpy as np

from saver.codec import Codec, Decoder, Encoder, added, is_array, private
from saver.tree import Node, Value

_INFRASTRUCTURE = "scipy.stats._distn_infrastructure"
_FROZEN = ("rv_frozen", "rv_continuous_frozen", "rv_discrete_frozen")
_OWN_FROZEN = {
    "levy_stable": ("scipy.stats._levy_stable", "levy_stable_frozen"),
    "poisson_binom": ("scipy.stats._discrete_distns", "poisson_binomial_frozen"),
}
"""Distributions that freeze into a class of their own."""
_FIELDS = (
    "__doc__", "a", "b", "badvalue", "generic_moment", "inc", "moment_tol", "moment_type", "name", "numargs",
    "pk", "qvals", "shapes", "vecentropy", "xk", "xtol", "_support",
)  # fmt: skip
_PARAMETERIZATION = ("parameterization",)
"""What `levy_stable` keeps when it is frozen."""
_SAMPLE = ("badvalue", "moment_tol", "inc", "name")


def _exported(name: Any) -> Any:
    """The distribution with that name. Raises ValueError if `scipy.stats` does not export it."""
    from scipy import stats

    found = vars(stats).get(name) if type(name) is str else None
    if not isinstance(found, (stats.rv_continuous, stats.rv_discrete)):
        raise ValueError(f"scipy.stats has no distribution {name!r}")
    return found


def _settings(distribution: Any) -> str:
    """The arguments that a distribution was created with, except its random state."""
    found = distribution._updated_ctor_param()
    found.pop("seed", None)
    return repr(sorted(found.items()))


def _encode_distribution(obj: Any, encoder: Encoder) -> Value:
    from scipy import stats

    if type(obj) is stats.rv_histogram:
        counts, edges = map(np.asarray, obj._histogram)
        encoder.check(_check_histogram, counts, edges)
        return {"histogram": [encoder(counts), encoder(edges)], "density": obj._density, "name": obj.name}
    if getattr(obj, "xk", None) is not None:
        encoder.check(_check_sample, obj.xk, obj.pk)
        settings = {name: encoder(getattr(obj, name), name) for name in _SAMPLE}
        return {"values": [encoder(obj.xk, "xk"), encoder(obj.pk, "pk")], **settings}
    known = vars(stats).get(obj.name)
    if type(known) is not type(obj) or _settings(known) != _settings(obj):
        encoder.refuse(
            f"the distribution {obj.name!r} is not one that scipy.stats exports; use one of those, "
            "rv_histogram, or rv_discrete(values=...)"
        )
    return obj.name  # type: ignore[no-any-return]


def _numbers(value: Any) -> Any:
    if not is_array(value) or value.dtype.kind not in "biuf":
        raise ValueError("the content is not an array of numbers")
    return value


def _check_histogram(counts: Any, edges: Any) -> None:
    """Raise ValueError unless these are the counts and edges of a histogram."""
    if _numbers(counts).ndim != 1 or _numbers(edges).ndim != 1:
        raise ValueError("a histogram must have one axis")
    if np.any(edges[1:] < edges[:-1]):
        raise ValueError("the edges of a histogram must not decrease")


def _check_sample(values: Any, chances: Any) -> None:
    """Raise ValueError unless these are the values of a sample and their probabilities."""
    if _numbers(values).ndim != 1 or _numbers(chances).ndim != 1:
        raise ValueError("a sample must have one axis")


def _decode_distribution(state: Any, decoder: Decoder) -> Any:
    """A distribution that is not shared, so that its random state may be set."""
    from scipy import stats

    if type(state) is str:
        return _copy(_exported(state))
    decoder.budget.charge(steps=10_000)  # SciPy compiles a parser of the arguments each time
    if "histogram" in state:
        counts, edges = map(decoder, state["histogram"])
        _check_histogram(counts, edges)
        if type(state["name"]) is not str or state["density"] not in (None, True, False):
            raise ValueError("the name of a histogram must be a string, and its density true, false or none")
        density = state["density"]
        if density is None and not _are_even(edges):
            density = True  # as SciPy decides, with a warning
        decoder.budget.charge(4 * (counts.nbytes + edges.nbytes))
        found = stats.rv_histogram((counts, edges), density=density, name=str(state["name"]))
        found._density = state["density"]
        return found
    values = tuple(map(decoder, state["values"]))
    _check_sample(*values)
    badvalue, tolerance, step, name = (decoder(state[name]) for name in _SAMPLE)
    if type(name) is not str:
        raise ValueError("the name of a sample must be a string")
    decoder.budget.charge(4 * sum(value.nbytes for value in values))
    return stats.rv_discrete(
        values=values, badvalue=float(badvalue), moment_tol=float(tolerance), inc=step, name=str(name)
    )


def _are_even(edges: Any) -> bool:
    """Whether SciPy takes the bins of a histogram for equally wide."""
    widths = edges[1:] - edges[:-1]
    return bool(np.allclose(widths, widths[0]))


def _copy(exported: Any) -> Any:
    """A copy as freezing makes it, but with the parser of arguments that the distribution has."""
    found = object.__new__(type(exported))
    for name, value in vars(exported).items():
        own = isinstance(value, MethodType) and value.__self__ is exported
        vars(found)[name] = MethodType(value.__func__, found) if own else value
    found._attach_argparser_methods = lambda: None
    found._attach_methods()
    del found._attach_argparser_methods
    return found


class DistributionCodec(Codec):
    """`scipy.stats.norm` itself, `rv_histogram`, `rv_discrete(values=...)`; one of its own, with its random
    state, if it was given one."""

    name = "scipy.distribution"

    def accepts(self, cls: type) -> bool:
        names = {base.__qualname__ for base in cls.__mro__ if base.__module__ == _INFRASTRUCTURE}
        return "rv_generic" in names and cls.__module__.partition(".")[0] == "scipy"

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *_FIELDS, *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state, random = _encode_distribution(obj, encoder), obj._random_state
        seed = obj._ctor_param.get("seed")  # with which freezing begins
        if random is _shared_random() and seed is None:
            return state
        shared = random is _shared_random()
        return {
            "distribution": state,
            "seed": encoder(seed, "seed"),
            "random_state": None if shared else encoder(random, "random_state"),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        if type(state) is str:
            return _exported(state)
        if "distribution" not in state:
            return _decode_distribution(state, decoder)
        found = _decode_distribution(state["distribution"], decoder)
        seed, random = decoder(state["seed"]), decoder(state["random_state"])
        if not isinstance(seed, (type(None), int, np.integer)):
            _generator(seed)
        found._ctor_param = {**found._ctor_param, "seed": seed}
        found._random_state = _shared_random() if random is None else _generator(random)
        return found


class FrozenCodec(Codec):
    """A distribution with its parameters, `loguniform(1e-3, 1e2)`, and its random state if it has one."""

    name = "scipy.frozen"

    def accepts(self, cls: type) -> bool:
        if (cls.__module__, cls.__qualname__) in _OWN_FROZEN.values():
            return True
        return cls.__module__ == _INFRASTRUCTURE and cls.__qualname__ in _FROZEN

    def unsaved(self, obj: Any) -> Iterable[str]:
        return [
            *added(obj, "a", "args", "b", "dist", "kwds", *private(obj)),
            *added(obj.dist, *_FIELDS, *_PARAMETERIZATION, *private(obj.dist)),
        ]

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        random = obj.dist._random_state
        return {
            "distribution": _encode_distribution(obj.dist, encoder),
            "args": encoder(obj.args, "args"),
            "kwds": encoder(obj.kwds, "kwds"),
            "random_state": None if random is _shared_random() else encoder(random, "random_state"),
            **{name: vars(obj.dist)[name] for name in _PARAMETERIZATION if name in vars(obj.dist)},
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        distribution = _decode_distribution(state["distribution"], decoder)
        args, kwds, random = (decoder(state[name]) for name in ("args", "kwds", "random_state"))
        if type(args) is not tuple or type(kwds) is not dict:
            raise ValueError("the parameters of a distribution must be a tuple and a dict")
        if distribution.name == "levy_stable" and state.get("parameterization") in ("S0", "S1"):
            distribution.parameterization = state["parameterization"]
        distribution._random_state = _shared_random() if random is None else _generator(random)
        found: Any = object.__new__(_frozen_class(distribution))
        sizes = [value.shape for value in (*args, *kwds.values()) if is_array(value)]
        decoder.budget.charge(64 * math.prod(np.broadcast_shapes(*sizes)))  # SciPy broadcasts them
        shapes = distribution._parse_args(*args, **kwds)[0]
        found.args, found.kwds, found.dist = args, kwds, distribution
        found.a, found.b = distribution._get_support(*shapes)
        return found


def _frozen_class(distribution: Any) -> Any:
    """The class into which a distribution freezes."""
    from scipy.stats import _discrete_distns, _levy_stable
    from scipy.stats import _distn_infrastructure as infrastructure

    name = _OWN_FROZEN.get(distribution.name, ("", ""))[1]
    for module in (_levy_stable, _discrete_distns):
        if hasattr(module, name):  # SciPy 1.13 has none of these classes
            return getattr(module, name)
    discrete = isinstance(distribution, infrastructure.rv_discrete)
    return infrastructure.rv_discrete_frozen if discrete else infrastructure.rv_continuous_frozen


def _generator(value: Any) -> Any:
    if not isinstance(value, (np.random.RandomState, np.random.Generator)):
        raise ValueError("the random state is not a generator")
    return value


def _shared_random() -> Any:
    """The generator of `np.random.seed`, which distributions use unless they have their own."""
    return np.random.mtrand._rand
