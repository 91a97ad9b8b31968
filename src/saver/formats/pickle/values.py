"""Trees as inert values, for formats that are pickles: containers and plain values of Python, and what a
format makes of arrays and objects. No object is built, and no library imported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from saver.compare.contents import Side
from saver.errors import IncompatibleError
from saver.format import Chosen, Loss
from saver.formats._arrays import BYTES, VISITS, Walk
from saver.pickled import Call, Elements, Global, Inert, Pairs
from saver.reading.arrays import Array
from saver.tree import Node, Reference

_PLAIN = frozenset(("int", "float", "str", "bytes", "bytearray", "complex"))
"""Values of Python that a tree cannot hold as themselves."""

_DECODED = _PLAIN | {"numpy.scalar", "numpy.array", "numpy.dtype"}

_ORDERED = Global("collections", "OrderedDict")


class _Lost:
    """In place of a value that the format cannot hold; `Values.losses` says which."""


LOST: Final = _Lost()


class Values(ABC):
    """One walk, from the chosen parts to a value. Recursive: one call for each level."""

    def __init__(self, chosen: Chosen) -> None:
        self.opened = chosen.opened
        self.losses: list[Loss] = []
        self.side = Side(chosen.opened)
        items = (item for tree in self.opened.trees.values() for item in tree.items)
        plain = [item for item in items if type(item) is Node and item.codec in _DECODED]
        self.decoder = self.opened.decoder([*plain, Node("list")])
        self._made: dict[int, Inert] = {}
        self._around: set[int] = set()
        self._visits = VISITS
        self._parts = chosen.parts
        self._room = BYTES * (self.opened.size + self.opened.tensors.size)

    def root(self) -> Inert:
        """The value of the only part, or a dict of the parts; LOST if there is nothing to write."""
        found = {part: self.value(self.opened.tree(part).root, f"$.{part}") for part in self._parts}
        if len(found) == 1:
            return next(iter(found.values()))
        pairs = [(part, value) for part, value in found.items() if value is not LOST]
        return Pairs(pairs) if pairs else LOST

    @abstractmethod
    def array(self, node: Node, array: Array, place: str) -> Inert:
        """What an array or tensor becomes."""

    @abstractmethod
    def scalar(self, value: Any, place: str) -> Inert:
        """What a scalar of NumPy becomes."""

    @abstractmethod
    def other(self, node: Node, place: str) -> Inert:
        """What a value becomes that is neither plain nor an array; LOST if it has no form."""

    def plain(self, value: Any, place: str) -> Inert:
        """What a value of Python becomes that a tree cannot hold as itself."""
        return value

    def elements(self, items: list[Inert], frozen: bool, place: str) -> Inert:
        """What a set becomes."""
        return Elements(items, frozen)

    def charge(self, length: int) -> None:
        """Count the bytes of an array that is written. Raises IncompatibleError if they become too many."""
        self._room -= length
        if self._room < 0:
            raise IncompatibleError(
                f"{self.opened.where}: written without sharing, its arrays would take more than {BYTES} "
                "times its size; choose some parts, or write a Saver file"
            )

    def lost(self, place: str, what: str) -> Inert:
        """Note that a value cannot be written."""
        self.losses.append(Loss(place, what))
        return LOST

    def under(self, node: Node, place: str) -> Pairs | None:
        """The arrays of an object by name, of a module as in its state dict; None if there are none."""
        walk = Walk(self.side, self._visits)
        walk.value(node, place, [], place)
        self._visits = walk.visits
        self.losses += walk.losses
        pairs = []
        for each in walk.found:
            holder = Node("numpy.array")  # whose array it is does not matter
            value = self.array(holder, each.array, each.place)
            pairs += [(each.name, value)] if value is not LOST else []
        return Pairs(pairs) if pairs else None

    def value(self, value: Any, place: str) -> Inert:
        """What a value of a tree becomes."""
        if type(value) is Reference:
            value = self.opened.nodes.get(value.id)
        if type(value) is not Node:
            return value
        known = id(value)
        if known in self._made:
            return self._made[known]
        if known in self._around:
            return self.lost(place, "it refers back to what it is part of, which is not a list or a dict")
        self._around.add(known)
        found = self._made[known] = self._value(value, place)
        self._around.discard(known)
        return found

    def keep(self, node: Node, made: Inert) -> None:
        """Announce what a node becomes, before what is in it is made."""
        self._made[id(node)] = made

    def _value(self, node: Node, place: str) -> Inert:
        state: Any = node.state
        if node.codec == "numpy.scalar":
            return self.scalar(self.decoder(node), place)
        if node.codec in _PLAIN:
            return self.plain(self.decoder(node), place)
        if node.codec == "list":
            made: list[Any] = []
            self.keep(node, made)
            made += self.run(state, place)
            return made
        if node.codec == "tuple":
            return tuple(self.run(state, place))
        if node.codec in ("set", "frozenset"):
            items = [each for each in self.run(state, place) if each is not None]
            return self.elements(items, node.codec == "frozenset", place)
        if node.codec == "dict":
            pairs = Pairs()
            self.keep(node, pairs)
            pairs.items += self.pairs(state, place)
            return pairs
        if node.codec == "stdlib.OrderedDict":
            return self._ordered(node, state, place)
        inside = self.side.inside(node)
        array = None if inside is None else inside.children.get("")
        if type(array) is Array and array.form.size:
            return self.array(node, array, place)
        return self.other(node, place)

    def _ordered(self, node: Node, state: Any, place: str) -> Inert:
        call = Call(_ORDERED)
        self.keep(node, call)
        attributes: Any = {}
        if type(state) is list and state[2:] == ["attributes"]:
            state, attributes = state[:2]
        call.pairs += self.pairs(state, place)
        if attributes:
            call.state, call.has_state = Pairs(self.pairs(attributes, place)), True
        return call

    def run(self, state: Any, place: str) -> list[Inert]:
        """The items of a sequence; None for those that are lost, so that the others keep their places."""
        if type(state) is not list:
            return list(self.decoder(Node("list", state=state)))  # all numbers, or all texts
        made = [self.value(item, f"{place}[{at}]") for at, item in enumerate(state)]
        return [None if item is LOST else item for item in made]

    def pairs(self, state: Any, place: str) -> list[tuple[Inert, Inert]]:
        """The items of a mapping, without those that are lost."""
        if type(state) is dict:
            made = [(key, self.value(item, f"{place}.{key}")) for key, item in state.items()]
        else:
            keys, values = state
            listed = self.run(keys, place)
            names = [
                f"[{key!r:.60}]" if type(key) in (int, str) else f"[{at}]" for at, key in enumerate(listed)
            ]
            found = values if type(values) is list else self.run(values, place)
            each = zip(listed, names, found, strict=True)
            made = [(key, self.value(item, f"{place}{name}")) for key, name, item in each]
        return [pair for pair in made if pair[1] is not LOST]
