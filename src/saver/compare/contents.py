"""The contents of the values of a tree, by the steps that people would write: attribute, key, index."""

from __future__ import annotations

from typing import Any, NamedTuple

from saver.errors import printable
from saver.opened import Opened
from saver.reading.arrays import Array, Entries, tensor_array
from saver.reading.dispatch import said
from saver.reading.steps import any_node, any_state
from saver.reading.texts import plain, title
from saver.tree import Node, Reference, Tensor

LOOKS = 1_000_000
"""How many values readers may look up in addition to their walk, such as parameters of optimizers."""


class Inside(NamedTuple):
    """Children by their step from the value; the empty step is the value's own array. `order` holds the
    steps whose order is part of the value."""

    children: dict[str, Any]
    order: list[str]


class Side:
    """One of two versions, ready to be walked.

    The target of references is read only once, so that many references to one large value cost little.
    """

    def __init__(self, view: Opened) -> None:
        self.view = view
        self.entries: Entries = view.tensors.info
        self._looks = LOOKS
        self._texts: dict[int, str | None] = {}
        self._insides: dict[int, Inside | None] = {}

    def resolve(self, value: Any) -> Any:
        """The target node of a reference, the array of a tensor; any other value unchanged."""
        if type(value) is Reference:
            return self.view.nodes.get(value.id, value)
        if type(value) is Tensor:
            return tensor_array(value, self.entries) or value
        return value

    def may_look(self) -> bool:
        """Whether one more value may be looked up: a crafted file could have one list in many places."""
        self._looks -= 1
        return self._looks >= 0

    def text(self, value: Any) -> str | None:
        """A value in one line, as `plain` writes it; None if it does not fit."""
        if isinstance(value, (Reference, Tensor)):
            missing = value.id if isinstance(value, Reference) else value.name
            return printable(f"a missing object: {missing}")
        if type(value) is not Node or value.id is None:
            return plain(value)
        if id(value) not in self._texts:
            self._texts[id(value)] = plain(value)
        return self._texts[id(value)]

    def title(self, value: Any) -> str:
        """A value in one line, or its kind if it does not fit."""
        if type(value) is Array:
            return f"{value.form.name} {list(value.shape)}"
        return self.text(value) or title(value)

    def inside(self, value: Any) -> Inside | None:
        """The contents of a container; None for other values."""
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
        times: dict[str, int] = {}
        for name, child in children:
            unique = name
            while unique in found:
                times[name] = times.get(name, 1) + 1
                unique = f"{name}#{times[name]}"
            found[unique] = child
        ordered = list(found) if order is True else [name for name in found if order and name in order]
        return Inside(found, ordered)
