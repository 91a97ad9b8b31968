"""One object, or one piece of memory, that two saved values would fill: refused unless they are equal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from saver.codec import Decoder
from saver.errors import DoesNotFitError
from saver.restoring.memory import agree, overlapping
from saver.tree import Node, Reference, Tensor, Value

if TYPE_CHECKING:
    from saver.restoring.pairing import Pair
    from saver.restoring.saved import Saved


class Conflicts:
    """The objects that plans fill whole, each with the name under which it was planned first."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._planned: dict[int, tuple[str, Value, Any]] = {}

    def add(self, name: str, value: Value, target: Any) -> None:
        """Take note of a target. Raises DoesNotFitError if another value is to fill it, too."""
        first, known, _ = self._planned.setdefault(id(target), (name, value, target))
        if known is not value and not self._equal(known, value):
            raise DoesNotFitError(_refused(self._saved.where, first, name, "are one object"))

    def check(self, pairs: Iterable[Pair], decoder: Decoder) -> None:
        """Raise DoesNotFitError if two arrays or tensors that share memory would get other elements there."""
        found = [(pair, pair.memory) for pair in pairs if pair.memory and id(pair.target) in self._planned]
        for one, other in sorted(overlapping([memory for _, memory in found])):
            (pair, first), (another, second) = found[one], found[other]
            if pair.target is another.target or first.saved is None or second.saved is None:
                continue
            if not agree(first, second, decoder):
                name, other_name = (self._planned[id(each.target)][0] for each in (pair, another))
                raise DoesNotFitError(_refused(self._saved.where, name, other_name, "share memory"))

    def _equal(self, one: Value, other: Value) -> bool:
        """Whether both trees describe equal values, which may contain themselves."""
        stack, met = [(one, other)], set[tuple[int, int]]()
        while stack:
            first, second = (
                self._saved.follow(each) if type(each) is Reference else each for each in stack.pop()
            )
            if type(first) is not type(second):
                return False
            if isinstance(first, Node) and isinstance(second, Node):
                both = id(first), id(second)
                if both not in met:
                    met.add(both)
                    if (first.codec, first.cls, first.version) != (second.codec, second.cls, second.version):
                        return False
                    stack.append((first.state, second.state))
            elif isinstance(first, Tensor) and isinstance(second, Tensor):
                if first.name != second.name and self._content(first) != self._content(second):
                    return False
            elif isinstance(first, dict) and isinstance(second, dict):
                if list(first) != list(second):
                    return False
                stack += zip(first.values(), second.values(), strict=True)
            elif isinstance(first, list) and isinstance(second, list):
                if len(first) != len(second):
                    return False
                stack += zip(first, second, strict=True)
            elif repr(first) != repr(second):
                return False
        return True

    def _content(self, tensor: Tensor) -> Any:
        entry = self._saved.entry(tensor)
        shards = [(shard.box, shard.hash) for shard in entry.shards]
        return entry.dtype, entry.shape, shards


def _refused(where: str, first: str, second: str, how: str) -> str:
    return (
        f"{where}: the targets of {first} and {second} {how}, and other values were saved for each; "
        "pass an object for each of them, or restore one of them. Nothing was changed"
    )
