"""What lies within the values of a tree, by the steps that people take there: attribute, key, index."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from saver.errors import printable
from saver.opened import Opened
from saver.reading.arrays import Array, Entries, tensor_array
from saver.reading.dispatch import said
from saver.reading.steps import any_node, any_state
from saver.reading.texts import plain, title
from saver.tree import Node, Reference, Tensor

LOOKS = 1_000_000
"""Values that readers may look up beside those that they walk through, as parameters of optimizers."""


class Inside(NamedTuple):
    """Children by their step from the value; the empty step is the value's own array. `order` holds the
    steps whose order is part of the value."""

    children: dict[str, Any]
    order: list[str]


class Side:
    """One of two versions, ready to be walked.

    What references lead to is read once only, so that naming one large thing many times costs little.
    """

    def __init__(self, view: Opened) -> None:
        self.view = view
        self.entries: Entries = view.tensors.info
        self._looks = LOOKS
        self._texts: dict[int, str | None] = {}
        self._insides: dict[int, Inside | None] = {}

    def resolve(self, value: Any) -> Any:
        """The node that a reference leads to, the array that a tensor is; everything else as it is."""
        if type(value) is Reference:
            return self.view.nodes.get(value.id, value)
        if type(value) is Tensor:
            return tensor_array(value, self.entries) or value
        return value

    def may_look(self) -> bool:
        """Whether one value more may be looked up: a crafted file could have one list in many places."""
        self._looks -= 1
        return self._looks >= 0

    def text(self, value: Any) -> str | None:
        """A value that fits in a line, as `plain` has it."""
        if isinstance(value, (Reference, Tensor)):
            missing = value.id if isinstance(value, Reference) else value.name
            return printable(f"something that is not there: {missing}")
        if type(value) is not Node or value.id is None:
            return plain(value)
        if id(value) not in self._texts:
            self._texts[id(value)] = plain(value)
        return self._texts[id(value)]

    def title(self, value: Any) -> str:
        """A value in a line, or what it is."""
        if type(value) is Array:
            return f"{value.form.name} {list(value.shape)}"
        return self.text(value) or title(value)

    def inside(self, value: Any) -> Inside | None:
        """What lies within; None for what is no container."""
        if type(value) is not Node or value.id is None:
            return self._read(value)
        if id(value) not in self._insides:
            self._insides[id(value)] = self._read(value)
        return self._insides[id(value)]

    def _read(self, value: Any) -> Inside | None:
        if type(value) is Node:
            children, order = (said(value.codec, "READERS") or any_node)(value, self)
        elif type(value) is dict or type(value) is list:
            children, order = any_state(value), False
        else:
            return None
        found: dict[str, Any] = {}
        times: Counter[str] = Counter()
        for name, child in children:
            unique = name
            while unique in found:
                times[name] += 1
                unique = f"{name}#{times[name] + 1}"
            found[unique] = child
        ordered = list(found) if order is True else [name for name in found if order and name in order]
        return Inside(found, ordered)
