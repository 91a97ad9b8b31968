"""The result of `lazy=True`: parts, and the content of plain containers, read on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias, overload

from saver.codec import Decoder, codec_named
from saver.tree import Node, Reference, Tensor, Value

Held: TypeAlias = "Mapping[Any, Value] | Sequence[Value]"

_SHOWN = 5
"""Keys of a mapping that its `repr` lists."""


class Building:
    """Builds the values of one lazy load, each on first use.

    `nodes` are those that references point to. Dicts and lists that contain a tensor, at any depth, become
    lazy ones; everything else is built whole.
    """

    def __init__(self, decoder: Decoder, nodes: Mapping[int | str, Node]) -> None:
        self.decoder = decoder
        self._nodes = nodes
        self._lazy: dict[int, LazyMapping | LazySequence] = {}
        self._holding = _Holding()

    def __call__(self, value: Value) -> Any:
        """The object that `value` describes. If building it fails, the next call fails again."""
        node = self._nodes.get(value.id) if type(value) is Reference else value
        if type(node) is not Node:
            return self.decoder.attempt(value)
        if id(node) not in self._lazy:
            held = codec_named(node.codec).held(node) if self._holding.tensors(node) else None
            if held is None:
                return self.decoder.attempt(value)
            self._lazy[id(node)] = (
                LazyMapping(held, self) if isinstance(held, Mapping) else LazySequence(held, self)
            )
        return self._lazy[id(node)]


class _Holding:
    """Finds the nodes that contain a tensor, or a reference, which may lead to one. Examines each once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._found: set[int] = set()

    def tensors(self, node: Node) -> bool:
        if id(node) not in self._seen:
            self._look(node)
        return id(node) in self._found

    def _look(self, root: Node) -> None:
        stack: list[Any] = [root]
        path: list[int] = []
        while stack:
            item = stack.pop()
            kind = type(item)
            if item is _LEAVE:
                path.pop()
            elif kind is Node and id(item) not in self._seen:
                self._seen.add(id(item))
                path.append(id(item))
                stack += [_LEAVE, item.state]
            elif kind is Tensor or kind is Reference or (kind is Node and id(item) in self._found):
                for ident in reversed(path):
                    if ident in self._found:
                        break
                    self._found.add(ident)
            elif kind is list:
                stack += item
            elif kind is dict:
                stack += item.values()


_LEAVE = object()
"""On the stack of a walk: marks the end of the node that was entered last."""


class LazyMapping(Mapping[Any, Any]):
    """The items of a dict, read and built on first use; read-only, in the saved order."""

    def __init__(self, held: Mapping[Any, Value], build: Callable[[Value], Any]) -> None:
        self._held = held
        self._build = build
        self._built: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        if key not in self._built:
            self._built[key] = self._build(self._held[key])
        return self._built[key]

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        keys = ", ".join(f"{key!r:.40}" for key in islice(self._held, _SHOWN))
        more = f" and {len(self) - _SHOWN} more" if len(self) > _SHOWN else ""
        return f"<{type(self).__name__}: {keys}{more}>"


class LazySequence(Sequence[Any]):
    """The items of a list, read and built on first use; read-only. Equal to a list of the same items."""

    def __init__(self, held: Sequence[Value], build: Callable[[Value], Any]) -> None:
        self._held = held
        self._build = build
        self._built: dict[int, Any] = {}

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(len(self))[index]]
        at = range(len(self))[index]
        if at not in self._built:
            self._built[at] = self._build(self._held[at])
        return self._built[at]

    def __len__(self) -> int:
        return len(self._held)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, LazySequence)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<LazySequence of {len(self)}>"


class LazyParts(LazyMapping):
    """The parts of a version. `before` is called with the name of each before it is built."""

    def __init__(
        self, roots: Mapping[str, Value], build: Building, before: Callable[[Iterable[str]], None]
    ) -> None:
        super().__init__(roots, build)
        self._building = build
        self._before = before

    def __getitem__(self, name: str) -> Any:
        if name in self._held and name not in self._built:
            self._before([name])
            self._building.decoder.budget.part = name
        return super().__getitem__(name)
