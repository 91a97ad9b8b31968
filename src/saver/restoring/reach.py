"""What a restore will decode, and which part of it is examined while decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from saver.reading.dispatch import said
from saver.tree import Node, Reference, Value

if TYPE_CHECKING:
    from saver.restoring.saved import Saved


_Holds: TypeAlias = Callable[[Any], tuple[Any, Any]]
"""Divides the state of a node into the values that its object stores as they are decoded, and the rest.

Code that checks, counts, copies or hashes the rest must get the saved values, not objects that are only
filled with them later.
"""

_WITHIN = frozenset((Node, Reference, list, tuple, dict))
"""Everything else is a scalar or a tensor, in which there are no nodes."""


class Reach:
    """All nodes that decoding `wanted` and `held` would visit, except those in `standing`, which live
    objects stand for. Wanted values are examined while decoding, held ones are not.

    `looked_into` are the Python ids of the examined nodes and all nodes below them; `tensors` are the nodes
    of tensors by their ids, without those that only serve as the base of views.
    """

    def __init__(
        self, saved: Saved, wanted: Iterable[Value], held: Iterable[Value], standing: set[int]
    ) -> None:
        self.looked_into: set[int] = set()
        self.tensors: dict[int, Node] = {}
        self._saved = saved
        self._forms: dict[str, tuple[bool, _Holds | None]] = {}
        self._batches = {name.rpartition("/")[2] for name in saved.batches}
        self._stack: list[tuple[Any, bool, bool]] = [(value, True, False) for value in wanted]
        self._stack += [(value, False, False) for value in held]
        self._walk(standing)

    def _walk(self, standing: set[int]) -> None:
        met, stack = set[tuple[int, bool, bool]](), self._stack
        while stack:
            value, looked, as_base = stack.pop()
            if isinstance(value, (list, tuple, dict)):
                for item in value.values() if isinstance(value, dict) else value:
                    if type(item) in _WITHIN:
                        stack.append((item, looked, False))
                continue
            node = self._saved.follow(value) if type(value) is Reference else value
            if type(node) is not Node or id(node) in standing:
                continue
            way = id(node), looked, as_base
            if way in met:
                continue
            met.add(way)
            if looked:
                self.looked_into.add(id(node))
            tensor, holds = self._form(node.codec)
            if tensor:
                self._tensor(node, looked, as_base)
                continue
            held, others = (None, node.state) if holds is None else holds(node.state)
            if type(held) in _WITHIN and _has_nodes(held):
                stack.append((held, looked, False))
            if type(others) in _WITHIN and _has_nodes(others):
                stack.append((others, True, False))
            if node.codec in self._batches and type(node.state) is list and node.state:
                stack.append((self._saved.batches.get(str(node.state[0])), True, False))

    def _form(self, codec: str) -> tuple[bool, _Holds | None]:
        """Whether nodes of this codec are tensors, and what divides the state of others."""
        found = self._forms.get(codec)
        if found is None:
            found = self._forms[codec] = bool(said(codec, "TENSORS")), said(codec, "HOLDS")
        return found

    def _tensor(self, node: Node, looked: bool, as_base: bool) -> None:
        if not as_base:
            self.tensors[id(node)] = node
        for key, item in node.state.items():
            if type(item) in (Node, Reference, dict):
                self._stack.append((item, looked or key not in ("base", "attributes"), key == "base"))


def _has_nodes(value: Any) -> bool:
    """Whether there may be a node in it: not in a dict or list of scalars, as most of very many are."""
    if type(value) is dict:
        return not _WITHIN.isdisjoint(map(type, value.values()))
    return type(value) is not list or not _WITHIN.isdisjoint(map(type, value))


def is_tensor(node: Node) -> bool:
    """Whether the node is a tensor, which may be a view of another one: its `base`."""
    return bool(said(node.codec, "TENSORS"))


def root_of(node: Node, follow: Callable[[Value], Value]) -> Node:
    """The tensor that a tensor is a view of; the tensor itself if it is not a view."""
    met = set[int]()
    while "base" in node.state:
        met.add(id(node))
        base = follow(node.state["base"])
        if type(base) is not Node or not is_tensor(base) or id(base) in met:
            raise ValueError("the base of a view is not a tensor")
        node = base
    return node
