"""What a restore will decode, and who looks into it while decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from saver.tree import Node, Ref, Value

if TYPE_CHECKING:
    from saver.restoring.contract import Saved

TENSOR = "torch.Tensor"

_HOLDERS = frozenset(
    ("dataclass", "dict", "list", "namedtuple", "object", "sklearn.bunch", "stdlib.SimpleNamespace", "tuple")
)
"""Codecs whose objects hold what is decoded as it is. Whoever checks, counts, copies or hashes it must be
given what was saved, and not an object that will only be filled with that."""


class Reach:
    """All nodes that decoding `wanted` and `held` would meet, but for those that live objects are `standing`
    for. What is wanted is looked into, what is held is not.

    `looked_into` are the ids (of Python) of nodes with all that lies below them; `tensors` are the nodes of
    tensors by theirs, without those that are nothing but what others are views of.
    """

    def __init__(
        self, saved: Saved, wanted: Iterable[Value], held: Iterable[Value], standing: set[int]
    ) -> None:
        self.looked_into: set[int] = set()
        self.tensors: dict[int, Node] = {}
        self._saved = saved
        self._batches = {name.rpartition("/")[2] for name in saved.batches}
        self._stack: list[tuple[Any, bool, bool]] = [(value, True, False) for value in wanted]
        self._stack += [(value, False, False) for value in held]
        self._walk(standing)

    def _walk(self, standing: set[int]) -> None:
        met = set[tuple[int, bool, bool]]()
        while self._stack:
            value, looked, as_base = self._stack.pop()
            if isinstance(value, (list, tuple, dict)):
                within = value.values() if isinstance(value, dict) else value
                self._stack.extend(
                    (item, looked, False) for item in within if type(item) in (Node, Ref, list, dict)
                )
                continue
            node = self._saved.follow(value)
            if type(node) is not Node or id(node) in standing or (id(node), looked, as_base) in met:
                continue
            met.add((id(node), looked, as_base))
            if looked:
                self.looked_into.add(id(node))
            if node.codec == TENSOR:
                self._tensor(node, looked, as_base)
                continue
            held, others = _held(node)
            self._stack.append((held, looked, False))
            self._stack.append((others, True, False))
            if node.codec in self._batches and type(node.state) is list and node.state:
                self._stack.append((self._saved.batches.get(str(node.state[0])), True, False))

    def _tensor(self, node: Node, looked: bool, as_base: bool) -> None:
        if not as_base:
            self.tensors[id(node)] = node
        for key, item in node.state.items():
            if type(item) in (Node, Ref, dict):
                self._stack.append((item, looked or key not in ("base", "attributes"), key == "base"))


def _held(node: Node) -> tuple[Any, Any]:
    """Of what lies within a node: what its object holds as it is decoded, and the rest."""
    state, others = node.state, list[Any]()
    if node.codec == "stdlib.deque":
        return state[1], None
    if node.codec == "numpy.array" and type(state) is dict and "items" in state:
        return state["items"], state.get("dtype")
    if node.codec == "stdlib.OrderedDict" and type(state) is list and state[2:] == ["attributes"]:
        state, attributes, _ = state
        others.append(attributes)
    elif node.codec == "stdlib.defaultdict":
        factory, state = state
        others.append(factory)
    elif node.codec != "stdlib.OrderedDict" and node.codec not in _HOLDERS:
        return None, state
    if type(state) is list and node.codec not in ("list", "tuple"):
        keys, state = state
        others.append(keys)
    return state, others


def root_of(node: Node, follow: Callable[[Value], Value]) -> Node:
    """The tensor that a tensor is a view of; itself, if it is none."""
    met = set[int]()
    while "base" in node.state:
        met.add(id(node))
        base = follow(node.state["base"])
        if type(base) is not Node or base.codec != TENSOR or id(base) in met:
            raise ValueError("a view of what is not a tensor")
        node = base
    return node
