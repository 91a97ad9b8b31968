"""What the functions and classes that a file holds as values may be used as.

Each function that files may name was reviewed, and its review says what kind it is (`Reference.kinds`):

- `elementwise`: one array in, one of the same shape out; `combining`: two in, one out
- `array`: an array in, and no more than its size out; `number`: a number in, a number out
- `metric`, `scores`, `distance`, `kernel`, `pairwise`, `activation`, `loss`: as the field uses the words
- `schedule`: a step in, a number out; a partial of one has plain numbers and words
- `text`: a text in, a text or a list of texts out; `getter`: gets an item or an attribute
- `type`: for `dtype=`; `factory`: makes an empty value; `check`, `splitter`, `internal`: what libraries hold
  themselves

Where one is used, its kind is checked: where a unary numeric function belongs, no other callable is
accepted. Functions that the user trusts by name, besides the reviewed ones, may be used anywhere. One in a
list, a dict or another container counts as one in the attribute that holds the container: libraries call
those, too (`frame[name]` calls a name that is a function).
"""

from __future__ import annotations

import types
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

import numpy as np

from saver import registry, trust

CACHED = type(lru_cache(len))
"""The class of functions that keep their results."""

_GETTERS = (itemgetter, attrgetter)

_CALLABLES = (
    type, partial, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, CACHED,
    *_GETTERS,
)  # fmt: skip

_CONTAINERS = (list, tuple, set, frozenset, dict)
_HOLDERS = (*_CONTAINERS, np.ndarray)
_PLAIN_HOLDERS = frozenset((list, tuple))

_others: set[type] = set()
"""Classes whose instances are known to be neither functions nor classes: nearly all classes."""

_leaves: set[type] = set()
"""Those of them that are not containers either."""


def is_callable_value(value: Any) -> bool:
    """Whether the value is a function or a class, or a partial of one, or gets an item or an attribute."""
    kind = type(value)
    if kind in _others:
        return False
    found = issubclass(kind, _CALLABLES)
    if not found and not trust.is_ufunc(kind):
        _others.add(kind)
        if not issubclass(kind, _HOLDERS):
            _leaves.add(kind)
        return False
    return True


def are_plain(values: Collection[Any]) -> bool:
    """Whether all values are known to be and to hold neither functions nor classes. Quick; False if in
    doubt."""
    kinds = {*map(type, values)} - _leaves
    return not kinds or (kinds == _ARRAYS and all(map(_is_plain, values)))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind in _leaves or (kind is np.ndarray and not value.dtype.hasobject)


_ARRAYS = {np.ndarray}


def is_listed(cls: type) -> bool:
    """Whether a class was reviewed, so that it loads without trust, and it is known which of its attributes
    hold functions."""
    if cls not in _listed:
        family = registry.in_use(cls.__module__.partition(".")[0])
        _listed[cls] = family is not None and any(map(family.lists, trust.names_of(cls)))
    return _listed[cls]


_listed: dict[type, bool] = {}


def check_objects(attributes: Mapping[str, Any], called: Set[str], homes: Container[str]) -> None:
    """Raise ValueError if an attribute that is `called` holds a reviewed object with a `__call__`, of another
    library than those in `homes`. What it does with any arguments was not reviewed: some fetch what an
    address in their options names."""
    for name in attributes.keys() & called:
        cls = type(attributes[name])
        if not callable(attributes[name]) or cls.__module__.partition(".")[0] in homes:
            continue
        if is_listed(cls) and not is_callable_value(attributes[name]):
            raise ValueError(f"{name!r} may be a function, but it is a {cls.__module__}.{cls.__qualname__}")


def may_be(value: Any, kinds: Iterable[str]) -> bool:
    """Whether a function, a class or a partial may be used as one of these kinds."""
    if type(value) is partial:
        found = kinds_of(value.func)
        if found is not None and not _REFUSED.isdisjoint(value.keywords):
            return False
        if found is not None and "schedule" in found and not all(map(_is_setting, value.keywords.values())):
            return False
        if found is not None and "combining" in found and len(value.args) == 1 and _is_number(value.args[0]):
            found |= {"elementwise"}
        elif value.args and found is not None:
            return False
    else:
        found = kinds_of(value)
    return found is None or not found.isdisjoint(kinds)


_REFUSED = frozenset(("out", "like", "where", "initial", "signature"))
"""Options with which a numerical function writes elsewhere than into its result, or calls other code."""


def _is_setting(value: Any) -> bool:
    """Whether it is one number that floating point numbers can hold, a word, or None. With arrays, a schedule
    would give one as large as the product of theirs."""
    if type(value) is int:
        return value.bit_length() < 64
    return value is None or type(value) in (bool, float, str) or getattr(value, "shape", None) == ()


def _is_number(value: Any) -> bool:
    """Whether it is a number or an array of numbers. With a string, an operator would make strings."""
    if type(value) is np.ndarray:
        return value.dtype.kind in "biufcmM"
    return type(value) in (bool, int, float, complex) or isinstance(value, np.number)


def check_options(options: Any) -> None:
    """Raise ValueError for options with which a numerical function writes elsewhere, or calls other code."""
    if type(options) is dict and not _REFUSED.isdisjoint(options):
        raise ValueError(f"a function cannot have the argument {min(_REFUSED.intersection(options))!r}")


def kinds_of(value: Any) -> frozenset[str] | None:
    """What a function or class was reviewed as; None if it was not, so the user must have trusted it."""
    if type(value) in _GETTERS:
        return frozenset(("getter",))
    reviews = (trust.reference(name) for name in trust.names_of(value))
    return next((review.kinds for review in reviews if review is not None), None)


_Passed: TypeAlias = dict[tuple[int, frozenset[str] | None], Any]
"""The containers that were looked at, by their `id` and the kinds of function that they may hold."""

_passed: ContextVar[_Passed | None] = ContextVar("passed", default=None)


@contextmanager
def looking_once() -> Iterator[None]:
    """Within, `check` looks at each container once, however many objects hold it. What it looks at must stay
    as it is meanwhile."""
    token = _passed.set({})
    try:
        yield
    finally:
        _passed.reset(token)


def check(
    attributes: Mapping[str, Any],
    allowed: Mapping[str, frozenset[str]],
    closed: bool,
    open_to: frozenset[str] = frozenset(),
) -> None:
    """Raise ValueError if an attribute of an object holds a function or class that may not be used there.

    `allowed` has the kinds for each attribute by name. With `closed`, no other attribute may hold one, and
    those in containers are looked at, too, but for the attributes that are `open_to` any in theirs.
    """
    passed = _passed.get()
    passed = {} if passed is None else passed
    for name, value in attributes.items():
        if _is_plain(value):
            continue
        kinds = allowed.get(name)
        if closed and name not in open_to:
            for each in _within(value, passed, kinds):
                _check_one(name, each, kinds, closed)
        elif is_callable_value(value):
            _check_one(name, value, kinds, closed)


def _check_one(name: str, value: Any, kinds: frozenset[str] | None, closed: bool) -> None:
    if kinds is None and closed and kinds_of(_named(value)) is not None:
        raise ValueError(f"{name!r} cannot be a function or a class, but it is {_shown(value)}")
    if kinds is not None and not may_be(value, kinds):
        raise ValueError(f"{name!r} may be {' or '.join(sorted(kinds))}, but it is {_shown(value)}")


def _within(value: Any, passed: _Passed, kinds: frozenset[str] | None) -> Iterator[Any]:
    """The value, if it is a function or a class, and those in containers, unless they have `passed`."""
    stack = [value]
    while stack:
        found = stack.pop()
        kind = type(found)
        if kind in _leaves:
            continue
        if is_callable_value(found):
            yield found
        elif isinstance(found, _HOLDERS) and (id(found), kinds) not in passed:
            passed[id(found), kinds] = found  # held, so that no other gets its `id`
            for items in _items(found):
                if not _leaves.issuperset(map(type, items)):
                    stack.extend(items)


def _items(container: Any) -> Iterator[Iterable[Any]]:
    """What is in a container, whatever its class makes of that."""
    if type(container) in _PLAIN_HOLDERS:
        yield container
    elif isinstance(container, dict):
        yield list(dict.keys(container))
        yield list(dict.values(container))
    elif isinstance(container, np.ndarray):
        if container.dtype.hasobject and container.dtype.names is None:
            yield np.ndarray.ravel(container).tolist()
    else:
        base = next(base for base in _CONTAINERS if isinstance(container, base))
        yield list(base.__iter__(container))


def _named(value: Any) -> Any:
    return value.func if type(value) is partial else value


def _shown(value: Any) -> str:
    names = trust.names_of(_named(value))
    return trust.dotted(names[0]) if names else type(value).__name__
