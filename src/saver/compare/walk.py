"""The walk through two trees side by side, which finds their differences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from saver.compare.contents import Inside, Side
from saver.compare.difference import Field
from saver.errors import printable
from saver.reading.arrays import Array
from saver.reading.texts import both
from saver.tree import Node

PATH_LIMIT = 400
MANY = 3
"""From so many arrays on that another library holds, they are counted."""

AGAIN = 100_000
"""How many values may be visited again because they are shared in one version and not in the other; without
a limit, a crafted file could cost time in proportion to the square of its size."""


class Location:
    """A place in a tree, and its path as tensors are named, `model/layers.0.weight`; a long path is shortened
    in the middle."""

    __slots__ = ("_whole", "path")

    def __init__(self, path: str, whole: bool = False) -> None:
        self._whole = whole
        self.path = (
            path if len(path) <= PATH_LIMIT else f"{path[: PATH_LIMIT // 2]}…{path[-PATH_LIMIT // 3 :]}"
        )

    def below(self, step: str) -> Location:
        """The place one step deeper."""
        if not step:
            return self
        step = _INDEX.sub(r".\1", step)
        if self._whole and step[0] != " ":
            step = f"/{step.removeprefix('.')}"
        return Location(self.path + step)


_INDEX = re.compile(r"\[(\d+)]")


class ArrayPair(msgspec.Struct, frozen=True):
    """The arrays at one place, which are not known to be equal. One of them may be missing."""

    part: str
    path: str
    old: Array | None
    new: Array | None


class _Absent:
    """Stands for a value that one version lacks."""


_ABSENT = _Absent()


class Walk:
    """The differences between the parts of two versions: `fields`, and `pairs` of arrays yet to be compared.

    `same` are the tensors that are known to be equal by their hash. Every value is visited once, so
    that the time is linear in the size of the trees, whatever references they contain.
    """

    def __init__(self, old: Side, new: Side) -> None:
        self._sides = (old, new)
        self._first: tuple[dict[int, Location], dict[int, Location]] = ({}, {})
        self._again = AGAIN
        self._known: dict[tuple[int, int], tuple[str | None, str | None]] = {}
        self._part = ""
        self._batches: tuple[str, ...] = ()
        """How paths of arrays that many objects share begin: these go by the names of their tensors."""
        self._stack: list[tuple[Location, Any, Any, bool]] = []
        self.fields: list[tuple[str, Field]] = []
        self.pairs: list[ArrayPair] = []
        self.same: set[str] = set()
        self._recast: dict[tuple[str | None, str | None], list[Location]] = {}

    def part(self, name: str) -> None:
        """Walk through a part that both versions have."""
        self._part = name
        old, new = (side.view.trees[name] for side in self._sides)
        self._batches = tuple(f"{printable(batch)}." for batch in (*old.batches, *new.batches))
        for batch in reversed(dict.fromkeys((*old.batches, *new.batches))):
            states = (old.batches.get(batch, _ABSENT), new.batches.get(batch, _ABSENT))
            self._stack.append((Location(printable(batch)), *states, False))
        self._stack.append((Location(printable(name), whole=True), old.root, new.root, False))
        while self._stack:
            self._visit(*self._stack.pop())
        self._report_recast(name)

    def _visit(self, place: Location, old: Any, new: Any, quiet: bool) -> None:
        """Compare the values at one place. If `quiet`, only arrays are reported there."""
        old, new = self._sides[0].resolve(old), self._sides[1].resolve(new)
        if old is _ABSENT or new is _ABSENT:
            self._one_sided(place, old, new, quiet)
        elif type(old) is Array and type(new) is Array:
            if old.equals(new):
                self.same.update(stored(old))
            else:
                self._pair(place, old, new)
        else:
            texts = self._sides[0].text(old), self._sides[1].text(new)
            if texts[0] is None or texts[1] is None:
                self._containers(place, old, new)
            elif type(old) is Node or type(new) is Node or texts[0] != texts[1]:
                self._plain(place, old, new)

    def _plain(self, place: Location, old: Any, new: Any) -> None:
        """Compare values that fit in one line; two that references can name are compared only once."""
        key = id(old), id(new)
        titles = self._known.get(key)
        if titles is None:
            titles = self._titles(old, new)
            if type(old) is Node and type(new) is Node and old.id is not None and new.id is not None:
                self._known[key] = titles
        if titles[0] != titles[1]:
            self._field(place, *titles)

    def _titles(self, old: Any, new: Any) -> tuple[str | None, str | None]:
        """Short texts for two values; they are equal only if the values are, as far as the texts can show."""
        texts = self._sides[0].title(old), self._sides[1].title(new)
        if texts[0] == texts[1] and _kind(old) != _kind(new):
            return f"{texts[0]} as {_kind(old)}", f"{texts[1]} as {_kind(new)}"
        return texts if texts[0] == texts[1] else both(*texts)

    def _containers(self, place: Location, old: Any, new: Any) -> None:
        seen = self._meet(place, old, new) if type(old) is Node and type(new) is Node else 0
        if seen == 2 or (seen and self._again < 0):
            return
        within = self._sides[0].inside(old), self._sides[1].inside(new)
        alike = _kind(old) == _kind(new)
        if within[0] is None or within[1] is None:
            self._field(place, *self._titles(old, new))
            self._one_sided(place, old, _ABSENT, True)
            self._one_sided(place, _ABSENT, new, True)
            return
        if not alike and within[0].children.keys() & within[1].children.keys() == {""}:
            self._recast.setdefault(self._titles(old, new), []).append(place)
        elif not alike:
            self._field(place, *self._titles(old, new))
        if seen:
            self._again -= len(within[0].children) + len(within[1].children)
        self._descend(place, within[0], within[1], alike)

    def _report_recast(self, part: str) -> None:
        """Report the arrays that another library holds now: one by one if they are few."""
        for titles, places in self._recast.items():
            if len(places) < MANY:
                for place in places:
                    self._field(place, *titles)
            else:
                self._field(Location(f"{printable(part)} ({len(places):,} arrays)"), *titles)
        self._recast.clear()

    def _meet(self, place: Location, old: Node, new: Node) -> int:
        """Note where these are met first, and report it if the places differ; how many were met before."""
        seen = (id(old) in self._first[0]) + (id(new) in self._first[1])
        first = self._first[0].setdefault(id(old), place), self._first[1].setdefault(id(new), place)
        if first[0] is not first[1]:
            self._field(place, *(_own(found, place) for found in first))
        return seen

    def _descend(self, place: Location, old: Inside, new: Inside, alike: bool) -> None:
        before, after = old.children, new.children
        common = before.keys() & after.keys()
        order = [[name for name in inside.order if name in common] for inside in (old, new)]
        if order[0] != order[1]:
            self._field(place.below(" (order)"), *(_sequence(names) for names in order))
        quiet = not alike and common <= {""}
        for name in reversed(dict.fromkeys((*before, *after))):
            self._stack.append(
                (place.below(name), before.get(name, _ABSENT), after.get(name, _ABSENT), quiet)
            )

    def _one_sided(self, place: Location, old: Any, new: Any, quiet: bool) -> None:
        """Report a value that one version lacks: a field for the whole, and a pair for each array in it."""
        is_new = old is _ABSENT
        value = new if is_new else old
        if type(value) is Array:
            self._pair(place, *((None, value) if is_new else (value, None)))
            return
        first = self._first[is_new].get(id(value))
        inside = self._sides[is_new].inside(value) if first is None else None
        own = self._sides[is_new].resolve(inside.children.get("")) if inside is not None else None
        if not quiet and type(own) is not Array:
            text = self._sides[is_new].title(value) if first is None else _own(first, place)
            self._field(place, *((None, text) if is_new else (text, None)))
        if inside is None or self._sides[is_new].text(value) is not None:
            return
        if type(value) is Node:
            self._first[is_new][id(value)] = place
        for name, child in reversed(inside.children.items()):
            self._stack.append((place.below(name), *((_ABSENT, child) if is_new else (child, _ABSENT)), True))

    def _field(self, place: Location, old: str | None, new: str | None) -> None:
        old, new = both(old, new)
        self.fields.append((self._part, Field(place.path, old, new)))

    def _pair(self, place: Location, old: Array | None, new: Array | None) -> None:
        known = old or new
        batched = known is not None and place.path.startswith(self._batches) and known.name
        self.pairs.append(ArrayPair(self._part, printable(batched) if batched else place.path, old, new))


def stored(array: Array | None) -> Iterator[str]:
    """The names of the tensors that hold an array; none for one within the tree."""
    for each in () if array is None else (array.pieces or (array,)):
        yield from (each.name,) if each.name else ()


def _kind(value: Any) -> tuple[Any, ...]:
    if type(value) is Node:
        return value.codec, value.cls, value.version
    return (type(value).__name__,)


def _own(first: Location, place: Location) -> str:
    return "a separate object" if first is place else f"the same as {first.path}"


def _sequence(names: Iterable[str]) -> str:
    return ", ".join(name.removeprefix(".") for name in names)
