"""Trees from decoded JSON, which may come from an attacker."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any

import msgspec

from saver.canonical import in_order, number
from saver.errors import IncompatibleError
from saver.stack import is_deep, on_fresh_stack
from saver.tree.values import EXACT_INTEGER, MAX_JSON_DEPTH, Item, Node, Reference, Tensor, reserved

_CONTAINERS = frozenset((dict, list))


def parse(raw: Any, where: str, found: list[Item], shapes: Shapes | None = None) -> Any:
    """Decoded JSON as a tree; every node, tensor and reference in it is appended to `found`, in the order of
    the document. Pass the same `shapes` for documents that belong together.

    Lists and dicts in `raw` become part of the tree: they are changed in place, or consumed. Raises
    IncompatibleError if it is not a tree.
    """
    if type(raw) not in _CONTAINERS:
        return raw
    shapes = Shapes() if shapes is None else shapes
    tree = _Parser(where, found, shapes).tree
    return on_fresh_stack(tree, raw, 0) if shapes.deep else tree(raw, 0)


class _Kind(Enum):
    """What a JSON object stands for, by its keys."""

    NODE = auto()
    LEAF = auto()
    FLOAT = auto()
    ORDERED = auto()
    UNSORTED = auto()
    PLAIN = auto()


_NODE, _LEAF, _FLOAT, _ORDERED, _UNSORTED, _PLAIN = _Kind
_MARKS: dict[tuple[str, ...], _Kind] = {("$tensor",): _LEAF, ("$ref",): _LEAF, ("$float",): _FLOAT}


class Shapes:
    """What follows from the keys of JSON objects, found out once for all objects with the same keys; and
    whether the caller is `deep` on its stack."""

    __slots__ = ("deep", "kinds", "orders")

    def __init__(self) -> None:
        self.deep = is_deep()
        self.kinds = _MARKS.copy()
        self.orders: dict[tuple[str, ...], tuple[list[int], list[str]]] = {}
        """The last order that was checked, and the names in that order."""


class _Parser:
    """One walk through decoded JSON."""

    __slots__ = ("_found", "_kinds", "_orders", "_where")

    def __init__(self, where: str, found: list[Item], shapes: Shapes) -> None:
        self._where = where
        self._found = found
        self._kinds, self._orders = shapes.kinds, shapes.orders

    def tree(self, raw: Any, depth: int) -> Any:
        """What a list or dict stands for that is `depth` levels deep. Recursive: one call for each level."""
        kind = _PLAIN
        if type(raw) is dict and "$" in raw:
            kind = _NODE
        elif type(raw) is dict:
            keys = tuple(raw)
            kind = self._kinds.get(keys) or self._kind_of(keys)
            if kind is _FLOAT:
                return self._float(raw)
            if kind is _LEAF:
                return self._leaf(raw)
        if depth >= MAX_JSON_DEPTH:
            raise self._wrong("2.16", f"nested deeper than {MAX_JSON_DEPTH} levels")
        depth += 1
        if kind is _NODE:
            node = self._node(raw)
            if type(node.state) in _CONTAINERS:
                node.state = self.tree(node.state, depth)
            return node
        if kind is _ORDERED or kind is _UNSORTED:
            ordered = {}
            for key in self._names(raw, keys) if kind is _ORDERED else in_order(keys):
                item = raw[key]
                ordered[key] = self.tree(item, depth) if type(item) in _CONTAINERS else item
            return ordered
        if type(raw) is list and _CONTAINERS.isdisjoint(map(type, raw)):  # a shape, or a list of numbers
            return raw
        for at, item in raw.items() if type(raw) is dict else enumerate(raw):
            if type(item) in _CONTAINERS:
                raw[at] = self.tree(item, depth)
        return raw

    def _kind_of(self, keys: tuple[str, ...]) -> _Kind:
        text = "\n".join(keys)
        if "$" not in text and "__" not in text:  # what all other kinds and reserved keys contain
            kind = _PLAIN
        elif keys[0] == "$order" and "$" not in text[1:] and "__" not in text:
            kind = _ORDERED
        elif "$tensor" in keys or "$ref" in keys:
            kind = _LEAF
        elif "$float" in keys:
            kind = _FLOAT
        else:
            kind = _ORDERED if "$order" in keys else _PLAIN
            for key in keys:
                if key[:1] in _RESERVED_FIRST and reserved(key) and key != "$order":
                    raise self._wrong("2.15", f"an object has the reserved key {key!r}")
        if kind is _PLAIN and in_order(keys) != [*keys]:
            kind = _UNSORTED  # how it stands in the text is in no hash of a part, and so in no signature
        self._kinds[keys] = kind
        return kind

    def _node(self, raw: dict[str, Any]) -> Node:
        """The node, whose state is still raw."""
        try:
            node = msgspec.convert(raw, Node)
        except msgspec.ValidationError as error:
            raise self._wrong("2.08", f"a malformed node: {error}") from None
        if node.id is not None and (type(node.id) is str or node.id < 0):  # type: ignore[operator]
            raise self._wrong(
                "2.08", f"a node with the id {str(node.id)[:80]!r}, which is not a number from 0"
            )
        if (node.id is None and "id" in raw) or (node.cls is None and "class" in raw):
            raise self._wrong("2.08", "a node whose id or class is null")
        self._found.append(node)
        return node

    def _leaf(self, raw: dict[str, Any]) -> Tensor | Reference:
        leaf: Tensor | Reference
        part = raw.get("part")
        if len(raw) == 1 and type(raw.get("$tensor")) is str:
            leaf = Tensor(raw["$tensor"])
        elif type(raw.get("$ref")) is int and (len(raw) == 1 or (len(raw) == 2 and type(part) is str)):
            leaf = Reference(raw["$ref"], part)
        else:
            raise self._wrong("2.10", f"a malformed reference: {str(list(raw))[:120]}")
        self._found.append(leaf)
        return leaf

    def _float(self, raw: dict[str, Any]) -> float:
        value = raw["$float"]
        if len(raw) == 1 and type(value) is int and abs(value) <= EXACT_INTEGER:
            return float(value)
        if len(raw) == 1 and type(value) is str and _WHOLE_FLOAT.fullmatch(value):
            found = float(value)
            if value == "-0" or (abs(found) > EXACT_INTEGER and number(found) == value):
                return found
        raise self._wrong("2.13", f"a float is written wrongly: {str(raw)[:120]}")

    def _names(self, raw: dict[str, Any], keys: tuple[str, ...]) -> list[str]:
        """The names of an object's items in the order that they had when it was saved."""
        order = raw["$order"]
        if type(order) is list and _INTEGER.issuperset(map(type, order)):
            known = self._orders.get(keys)
            if known is not None and known[0] == order:
                return known[1]
            names = in_order([key for key in keys if key != "$order"])
            if sorted(order) == [*range(len(names))]:
                self._orders[keys] = order, [names[place] for place in order]
                return self._orders[keys][1]
        raise self._wrong("2.14", "the order of an object is not one of its keys")

    def _wrong(self, rule: str, what: str) -> IncompatibleError:
        return IncompatibleError(f"{self._where}: {what}", rule=rule)


_WHOLE_FLOAT = re.compile("-0|-?[1-9][0-9]{15,20}")
_INTEGER = frozenset((int,))
_RESERVED_FIRST = frozenset("$_")
