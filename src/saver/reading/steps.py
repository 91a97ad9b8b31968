"""Steps into the values of a tree, as people write them: attribute, key, index."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Protocol

from saver.reading.arrays import Entries
from saver.tree import Node

STEP_LIMIT = 100


class Look(Protocol):
    """The parts of one version that readers of trees need."""

    @property
    def entries(self) -> Entries:
        """Finds what is known about a tensor."""
        ...

    def resolve(self, value: Any) -> Any:
        """The node that a reference leads to, or the array of a tensor; any other value unchanged."""
        ...

    def may_look(self) -> bool:
        """Whether one more value may be looked up: a crafted file could have one list in many places."""
        ...


class Step(str):
    """A step to an attribute or a key. `key` is all of it; as people read it, a long one is cut off."""

    key: str


def step(key: str) -> Step:
    """The step to an attribute or a key."""
    plain = len(key) <= STEP_LIMIT and re.fullmatch(r"[\w.\-]+", key)
    shown = key if len(key) <= STEP_LIMIT else f"{key[:STEP_LIMIT]}…"
    found = Step(f".{key}" if plain else f"[{json.dumps(shown)}]")
    found.key = key
    return found


Children = Iterable[tuple[str, Any]]
Found = tuple[Children, "bool | frozenset[str]"]
"""Children, and whether their order matters: for all of them, for none, or for those with these steps."""


def indexed(items: list[Any]) -> Children:
    """The items of a list, by index."""
    return [(f"[{index}]", item) for index, item in enumerate(items)]


def any_node(node: Node, look: Look) -> Found:
    """The content of a node whose meaning is not known here."""
    return any_state(node.state), False


def any_state(state: Any) -> Children:
    """The content of a state whose meaning is not known here."""
    if type(state) is dict:
        return [(step(key), item) for key, item in state.items()]
    if type(state) is list:
        return indexed(state)
    return [] if state is None else [("", state)]
