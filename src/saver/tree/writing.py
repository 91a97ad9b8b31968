"""Trees as canonical JSON."""

from __future__ import annotations

from math import copysign, isfinite
from typing import Any

import msgspec

from saver.canonical import canonical, in_order, number
from saver.errors import CannotSaveError
from saver.stack import anywhere
from saver.tree.values import EXACT_INTEGER, MAX_JSON_DEPTH, Item, Node, Reference, Tensor, Value


def to_json(tree: Value, found: list[Item] | None = None) -> bytes:
    """The canonical JSON of a tree; equal trees give equal bytes. Every node, tensor and reference in it is
    appended to `found`, in the order of the tree.

    Raises CannotSaveError if JSON cannot express a value, or if the tree is too deep for `parse`.
    """
    try:
        text, items = anywhere(_written, tree)
    except UnicodeEncodeError as error:
        name = error.object[max(0, error.start - 20) : error.end + 20]
        raise CannotSaveError(
            f"$: {name!r} is not Unicode text, so it cannot be a name, such as that of a field; rename it"
        ) from None
    if found is not None:
        found += items
    return text  # type: ignore[no-any-return]


def _written(tree: Value) -> tuple[bytes, list[Item]]:
    marks = _Marks()
    return canonical(marks.on(tree, 0), floats=False), marks.found  # floats that need a mark have one


_TOO_DEEP = (
    "$: objects lie too deep within each other; flatten the structure, or save its pieces as separate parts "
    f"(the limit is {MAX_JSON_DEPTH} levels of JSON)"
)
_PLAIN = frozenset((str, bool, type(None), msgspec.Raw))
_CONTAINERS = frozenset((dict, list, tuple))


class _Marks:
    """Marks what canonical JSON does not keep, in a copy of what has to be marked of a tree. `found` are its
    nodes, tensors and references."""

    def __init__(self) -> None:
        self.found: list[Item] = []
        self._orders: dict[tuple[str, ...], list[int] | None] = {}
        """The order to write beside keys; many objects have the same keys."""

    def on(self, value: Any, depth: int) -> Any:
        """The value with marks. Recursive: one call for each level."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is int or kind is float:
            return _marked_number(value)
        if kind is Tensor or kind is Reference:
            self.found.append(value)
            return value
        if depth >= MAX_JSON_DEPTH:
            raise CannotSaveError(_TOO_DEEP)
        depth += 1
        if kind is Node:
            self.found.append(value)
            state = value.state
            marked = state if type(state) in _PLAIN else self.on(state, depth)
            return value if marked is state else Node(value.codec, value.cls, value.version, value.id, marked)
        if kind not in _CONTAINERS:
            return _marked_number(float(value)) if isinstance(value, float) else value
        order = self._order(tuple(value)) if kind is dict else None
        marked = value
        for at, item in value.items() if kind is dict else enumerate(value):
            kind_of_item = type(item)
            if kind_of_item in _PLAIN or (kind_of_item is int and -EXACT_INTEGER <= item <= EXACT_INTEGER):
                continue
            new = _marked_number(item) if kind_of_item is float else self.on(item, depth)
            if new is not item:
                if marked is value:
                    marked = dict(value) if kind is dict else list(value)
                marked[at] = new
        return marked if order is None else {**marked, "$order": order}

    def _order(self, keys: tuple[str, ...]) -> list[int] | None:
        """The place of each key among the sorted ones; None if they are sorted, or a node's as raw JSON."""
        if keys not in self._orders:
            ordered = in_order(keys)
            order = None
            if list(keys) != ordered and not any(key[:1] == "$" for key in keys):
                places = {key: place for place, key in enumerate(ordered)}
                order = [places[key] for key in keys]
            self._orders[keys] = order
        return self._orders[keys]


def _marked_number(value: float) -> Any:
    if type(value) is int:
        if not -EXACT_INTEGER <= value <= EXACT_INTEGER:
            raise CannotSaveError(
                f"$: a codec put {value} into its state, where JSON is not exact; encode it"
            )
        return value
    if not isfinite(value):
        raise CannotSaveError(f"$: a codec put {value} into its state, which JSON does not have; encode it")
    if value.is_integer() and abs(value) < 1e21:
        if value == 0 and copysign(1, value) < 0:
            return {"$float": "-0"}
        return {"$float": int(value) if abs(value) <= EXACT_INTEGER else number(value)}
    if 1e-5 <= abs(value) < 1e16:  # msgspec writes them as is canonical
        return value
    return msgspec.Raw(number(value).encode())
