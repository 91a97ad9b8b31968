"""An object that contains itself, through every container and every pair of them: it comes back with the same
identities, or is refused when it is saved."""

from __future__ import annotations

import functools
import itertools
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import saver
from saver.errors import CannotSaveError

TRUST = [f"{__name__}.*"]


class MyDict(dict[Any, Any]):
    """A derived mapping."""


class MyOrdered(OrderedDict[Any, Any]):
    """A derived ordered mapping."""


class MyList(list[Any]):
    """A derived list."""


class MySet(set[Any]):
    """A derived set."""


class MyTuple(tuple[Any, ...]):
    """A derived tuple, which can be an element: it is hashed by its identity."""

    __hash__ = object.__hash__


class MyText(str):
    """A derived text."""


Pair = namedtuple("Pair", "first second")


class Told(Pair):
    """A named tuple whose instances have attributes."""


class Typed(NamedTuple):
    """A typed one."""

    first: Any


@dataclass
class Held:
    """A dataclass."""

    item: Any = None


@dataclass(frozen=True, eq=False)
class Frozen:
    """A frozen one, hashed by its identity."""

    item: Any = None


@dataclass(slots=True)
class Slotted:
    """One without a dict."""

    item: Any = None


class Holder(NamedTuple):
    """How a container is made, how something is put into it, and how it is found there again."""

    make: Callable[[], Any]
    put: Callable[[Any, Any], object]
    get: Callable[[Any], Any]


def _set_item(key: Any) -> Callable[[Any, Any], None]:
    def put(holder: Any, item: Any) -> None:
        holder[key] = item

    return put


def _by_key(make: Callable[[], Any], key: Any = "a") -> Holder:
    return Holder(make, _set_item(key), lambda found: found[key])


def _by_attribute(make: Callable[[], Any], name: str = "item") -> Holder:
    return Holder(make, lambda held, item: setattr(held, name, item), lambda found: getattr(found, name))


def _boxed(item: Any) -> np.ndarray[Any, Any]:
    box = np.empty((), object)
    box[()] = item
    return box


def _fields(make: Callable[[], Any], *names: Any) -> Holder:
    def at(found: Any) -> Any:
        return functools.reduce(lambda held, name: held[name], names, found)

    return Holder(make, lambda held, item: _set_item(0)(at(held), item), lambda found: at(found)[0])


def _masked_fill(found: Any, item: Any) -> None:
    found._fill_value = _boxed(item)


def _with_attributes() -> Any:
    made = OrderedDict(z=1)
    made.item = None  # type: ignore[attr-defined]
    return made


HOLDERS = {
    "list": _by_key(lambda: [None], 0),
    "long list": _by_key(lambda: [None] * 100, 70),
    "dict": _by_key(dict),
    "dict of numbers": _by_key(dict, 1),
    "long dict": _by_key(lambda: dict.fromkeys(range(400)), 300),
    "OrderedDict": _by_key(OrderedDict),
    "attribute of OrderedDict": _by_attribute(_with_attributes),
    "factory of defaultdict": Holder(
        defaultdict, lambda held, item: setattr(held, "default_factory", functools.partial(list, item)),
        lambda found: found.default_factory.args[0],
    ),
    "defaultdict": _by_key(lambda: defaultdict(list)),
    "Counter": _by_key(Counter),
    "Counter of numbers": _by_key(Counter, 1),
    "deque": _by_key(lambda: deque([None]), 0),
    "bounded deque": _by_key(lambda: deque([None], 1), 0),
    "long deque": _by_key(lambda: deque([None] * 100), 70),
    "UserDict": _by_key(UserDict),
    "UserList": _by_key(lambda: UserList([None]), 0),
    "ChainMap": _by_key(ChainMap),
    "maps of ChainMap": Holder(
        lambda: ChainMap({}, {}), lambda held, item: held.maps.append({"a": item}), lambda f: f.maps[-1]["a"]
    ),
    "SimpleNamespace": _by_attribute(SimpleNamespace),
    "dataclass": _by_attribute(Held),
    "slotted dataclass": _by_attribute(Slotted),
    "frozen dataclass": Holder(
        Frozen, lambda held, item: object.__setattr__(held, "item", item), lambda found: found.item
    ),
    "keywords of partial": Holder(
        lambda: functools.partial(len), lambda held, item: held.keywords.update(a=item),
        lambda found: found.keywords["a"],
    ),
    "array of objects": _by_key(lambda: np.empty(2, object), 1),
    "long array of objects": _by_key(lambda: np.empty(100, object), 70),
    "array without axes": Holder(
        lambda: np.empty((), object), lambda held, item: held.fill(item), lambda found: found[()]
    ),
    "transposed array": _by_key(lambda: np.empty((2, 3), object).T, (2, 1)),
    "structured array": _fields(lambda: np.zeros(2, [("a", "O"), ("b", "f4")]), "a"),
    "nested structured array": _fields(lambda: np.zeros(2, [("n", [("i", "u1"), ("a", "O")])]), "n", "a"),
    "sub-array in a structure": _fields(lambda: np.zeros(1, [("a", "O", (2,))]), "a", 0),
    "record array": _fields(lambda: np.zeros(2, [("a", "O")]).view(np.recarray), "a"),
    "numpy.void": Holder(
        lambda: np.zeros((), [("a", "O")])[()], _set_item("a"), lambda found: found["a"]
    ),
    "masked array": Holder(
        lambda: np.ma.MaskedArray(np.empty(2, object), mask=[False, True]),
        lambda held, item: _set_item(0)(np.ma.getdata(held), item), lambda found: np.ma.getdata(found)[0],
    ),
    "fill value of masked array": Holder(
        lambda: np.ma.MaskedArray(np.empty(1, object)), _masked_fill, lambda found: found._fill_value[()]
    ),
    "derived dict": _by_key(MyDict),
    "derived OrderedDict": _by_key(MyOrdered),
    "derived list": _by_key(lambda: MyList([None]), 0),
    "long derived list": _by_key(lambda: MyList([None] * 100), 70),
    "attribute of derived set": _by_attribute(MySet),
    "attribute of derived dict": _by_attribute(MyDict),
    "attribute of derived list": _by_attribute(MyList),
    "attribute of derived tuple": _by_attribute(MyTuple),
    "attribute of derived text": _by_attribute(MyText),
    "attribute of namedtuple": _by_attribute(lambda: Told(1, 2)),
    "Series": Holder(
        lambda: pd.Series([None, 1], dtype=object),
        lambda held, item: _set_item(0)(held._values, item), lambda found: found._values[0],
    ),
    "attrs of Series": Holder(
        lambda: pd.Series([1.0]), lambda held, item: held.attrs.update(a=item), lambda found: found.attrs["a"]
    ),
    "DataFrame": Holder(
        lambda: pd.DataFrame({"a": pd.Series([None, 1], dtype=object), "b": [1, 2]}),
        lambda held, item: _set_item(0)(held._mgr.blocks[held._mgr.blknos[0]].values[0], item),
        lambda found: found._mgr.blocks[found._mgr.blknos[0]].values[0][0],
    ),
    "attrs of DataFrame": Holder(
        lambda: pd.DataFrame({"b": [1, 2]}), lambda held, item: held.attrs.update(a=item),
        lambda found: found.attrs["a"],
    ),
}  # fmt: skip


def _only(found: Any) -> Any:
    (item,) = set.__iter__(found) if isinstance(found, set) else frozenset.__iter__(found)
    return item


def _element(found: Any) -> Any:
    return next(item for item in found if type(item) is not int)


WRAPS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tuple": (lambda item: (item,), lambda found: found[0]),
    "long tuple": (lambda item: (*range(70), item), lambda found: found[70]),
    "namedtuple": (lambda item: Pair(1, item), lambda found: found.second),
    "typed namedtuple": (Typed, lambda found: found.first),
    "derived tuple": (lambda item: MyTuple((item,)), lambda found: found[0]),
    "partial": (lambda item: functools.partial(len, item), lambda found: found.args[0]),
    "slice": (lambda item: slice(None, item), lambda found: found.stop),
    "set": (lambda item: {item}, _only),
    "frozenset": (lambda item: frozenset({item}), _only),
    "derived set": (lambda item: MySet({item}), _only),
    "long set": (lambda item: {*range(70), item}, _element),
    "long derived set": (lambda item: MySet({*range(70), item}), _element),
    "set of tuples": (lambda item: {(item,)}, lambda found: _only(found)[0]),
    "key": (lambda item: {item: 1}, lambda found: next(iter(found))),
    "long keys": (lambda item: dict.fromkeys([*range(70), item]), _element),
    "key of Counter": (lambda item: Counter({item: 1}), lambda found: next(iter(found))),
    "name of Series": (lambda item: pd.Series([1], name=item), lambda found: found.name),
    "label": (
        lambda item: pd.Index([item, 1], dtype=object, tupleize_cols=False), lambda found: found._values[0]
    ),
}  # fmt: skip


def _check(obj: Any, chain: list[Callable[[Any], Any]], where: str) -> list[str]:
    """What is wrong with an object, in which those steps lead back to it."""
    try:
        data = saver.dumps(obj)
    except CannotSaveError:
        return []
    try:
        found = saver.loads(data, trust=TRUST)
        again = found
        for step in chain:
            again = step(again)
        for step in chain:
            if isinstance(found, (slice, np.void)):  # their identity is not kept
                found, again = step(found), step(again)
        same = again is found
    except Exception as error:
        return [f"{where}: {type(error).__name__}: {error}"]
    return [] if same else [f"{where}: {type(again).__name__}"]


def test_what_contains_itself_comes_back_or_is_refused() -> None:
    wrong: list[str] = []
    for name, holder in HOLDERS.items():
        obj = holder.make()
        holder.put(obj, obj)
        wrong += _check(obj, [holder.get], name)
    assert not wrong


@pytest.mark.parametrize("name", HOLDERS)
def test_cycles_through_two_containers_come_back_or_are_refused(name: str) -> None:
    outer, wrong = HOLDERS[name], list[str]()
    for other, inner in HOLDERS.items():
        one, two = outer.make(), inner.make()
        outer.put(one, two)
        inner.put(two, one)
        wrong += _check(one, [outer.get, inner.get], f"{name} > {other}")
    for other, (wrap, get) in WRAPS.items():
        one = outer.make()
        try:
            two = wrap(one)
        except TypeError:  # it cannot be hashed
            continue
        outer.put(one, two)
        wrong += _check(one, [outer.get, get], f"{name} > {other}")
        wrong += _check(two, [get, outer.get], f"{other} > {name}")
    assert not wrong


@pytest.mark.slow
def test_cycles_through_three_containers_come_back_or_are_refused() -> None:
    wrong: list[str] = []
    for (name, holder), (first, (wrap, get)), (second, (wrap_again, get_again)) in itertools.product(
        HOLDERS.items(), WRAPS.items(), WRAPS.items()
    ):
        one = holder.make()
        try:
            three = wrap_again(two := wrap(one))
        except TypeError:
            continue
        holder.put(one, three)
        wrong += _check(one, [holder.get, get_again, get], f"{name} > {second} > {first}")
        wrong += _check(two, [get, holder.get, get_again], f"{first} > {name} > {second}")
        wrong += _check(three, [get_again, get, holder.get], f"{second} > {first} > {name}")
    assert not wrong
