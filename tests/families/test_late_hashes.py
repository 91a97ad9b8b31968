"""Keys and elements whose hash needs what a cycle brings later: after a load each is found, or nothing was
saved."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import saver
from saver.errors import CannotSaveError


@dataclass(frozen=True)
class First:
    name: str
    holder: Any


@dataclass(frozen=True)
class Last:
    holder: Any
    name: str


@dataclass(frozen=True)
class WithDefaults:
    name: str = ""
    holder: Any = None


@dataclass(unsafe_hash=True)
class Changing:
    name: str
    holder: Any


@dataclass(eq=False)
class Identity:
    holder: Any = None
    held: Any = None


@saver.register
class Own:
    def __init__(self, holder: Any, name: str) -> None:
        self.holder, self.name = holder, name

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and other.name == self.name


class Pair(tuple[Any, ...]):
    pass


class Items(dict[Any, Any]):
    pass


class Elements(set[Any]):
    pass


def pair(holder: Any) -> Pair:
    found = Pair((1, 2))
    found.holder = holder  # type: ignore[attr-defined]
    return found


KEYS: dict[str, Callable[[Any], Any]] = {
    "first": lambda holder: First("a", holder), "last": lambda holder: Last(holder, "a"),
    "defaults": lambda holder: WithDefaults("a", holder), "changing": lambda holder: Changing("a", holder),
    "identity": Identity, "own": lambda holder: Own(holder, "a"), "tuple": lambda holder: (1, holder),
    "in a tuple": lambda holder: (First("a", holder),), "derived": lambda holder: Pair((1, holder)),
    "attribute": pair, "frozenset": lambda holder: frozenset((First("a", holder),)),
    "twofold": lambda holder: First("a", Last(holder, "b")),
}  # fmt: skip
PLACES: dict[str, Callable[[Any], Any]] = {
    "set": lambda key: {key, 5}, "frozenset": lambda key: frozenset((key, 5)),
    "dict": lambda key: {key: 1, 5: 2},
    "OrderedDict": lambda key: OrderedDict({key: 1}), "Counter": lambda key: Counter({key: 1}),
    "defaultdict": lambda key: defaultdict(None, {key: 1}), "Items": lambda key: Items({key: 1}),
    "Elements": lambda key: Elements((key, 5)), "set of tuples": lambda key: {(key, 1), 5},
    "value": lambda key: {Identity(): key, (1, 2): key}, "list": lambda key: [{key}],
    "set of others": lambda key: {First("z", key)},
    "frozenset of others": lambda key: frozenset((First("z", key),)),
    "itself": lambda key: {key: key},
}  # fmt: skip
ROOTS: dict[str, Callable[[Any, Any], Any]] = {
    "key": lambda key, holder: key, "holder": lambda key, holder: holder,
    "key first": lambda key, holder: [key, holder], "holder first": lambda key, holder: [holder, key],
}  # fmt: skip


def containers(obj: Any) -> Iterator[Any]:
    """All sets and mappings that an object leads to."""
    seen, left = dict[int, Any](), [obj]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen[id(each)] = each
        if isinstance(each, (set, frozenset, dict)):
            yield each
        if isinstance(each, (set, frozenset, dict, list, tuple)):
            left += each
        if isinstance(each, dict):
            left += each.values()
        left += getattr(each, "__dict__", {}).values()


@pytest.mark.parametrize("place", PLACES)
def test_every_key_is_found_after_a_load(tmp_path: Path, place: str) -> None:
    saved = 0
    for key, root in product(KEYS, ROOTS):
        holder = Identity()
        made = KEYS[key](holder)
        holder.held = PLACES[place](made)
        try:
            saver.dump(ROOTS[root](made, holder), tmp_path / "a.saver")
        except CannotSaveError:
            continue
        saved += 1
        found = [*containers(saver.load(tmp_path / "a.saver", trust=[f"{__name__}.*"]))]
        assert found
        for each in found:
            assert all(item in each for item in each), (key, root)
        assert {len(each) for each in found} >= {len(each) for each in containers(holder)}
    assert saved > len(KEYS)


def test_what_is_refused_in_a_frozenset_is_saved_in_a_set(tmp_path: Path) -> None:
    holder = Identity()
    first = First("a", holder)
    holder.held = frozenset((first,))
    with pytest.raises(CannotSaveError, match=r"into a frozenset, which needs its hash .* use a set"):
        saver.dump(first, tmp_path / "a.saver")
    holder.held = {first}
    saver.dump(first, tmp_path / "a.saver")
    again = saver.load(tmp_path / "a.saver", trust=[f"{__name__}.*"])
    assert again in again.holder.held
