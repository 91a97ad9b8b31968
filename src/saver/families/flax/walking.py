"""What modules of nnx hold, and what was saved of that: by names, keys or positions, and by paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flax import nnx

from saver.families.flax.nnx import left_out
from saver.families.python.restoring import items
from saver.restoring import Saved
from saver.tree import Node, Value


def items_here(live: Any) -> Mapping[Any, Any] | None:
    """What a live object holds, by name, key or position; None if it is filled as a whole."""
    if isinstance(live, nnx.Pytree):
        out = left_out(type(live))
        return {name: item for name, item in vars(live).items() if name not in out}
    if isinstance(live, nnx.State):
        return dict(live.raw_mapping)
    if isinstance(live, dict):
        return live
    names = getattr(type(live), "_fields", None)
    if isinstance(live, tuple) and names is not None:
        return dict(zip(names, tuple(live), strict=True))
    return dict(enumerate(live)) if isinstance(live, (tuple, list)) else None


def items_saved(node: Value, saved: Saved) -> dict[Any, Value] | None:
    """The same of a saved one."""
    if type(node) is not Node:
        return None
    state: Any = node.state
    if node.codec == "flax.module":
        return dict(state["attributes"])
    if node.codec == "flax.state":
        return items_saved(saved.follow(state), saved)
    if node.codec == "optax.state":
        return dict(state[1])
    if node.codec == "namedtuple":
        return dict(state) if type(state) is dict else None
    if node.codec in ("tuple", "list") and type(state) is list:
        return dict(enumerate(state))
    found = items(node, saved)
    if found is None and node.codec == "dict":
        keys = [_key(key, saved) for key in state[0]]
        found = dict(zip(keys, state[1], strict=True)) if None not in keys else None
    return found


def _key(value: Value, saved: Saved) -> Any:
    """A key of plain values; None for others."""
    node = saved.follow(value)
    if type(node) is not Node:
        return node
    if node.codec != "tuple" or type(node.state) is not list:
        return None
    return None if any(isinstance(each, Node) for each in node.state) else tuple(node.state)


def is_variable(node: Any) -> bool:
    return type(node) is Node and node.codec == "flax.variable"


def by_path(
    root: Any, items_of: Callable[[Any], Mapping[Any, Any] | None], ends: Callable[[Any], bool]
) -> Iterator[tuple[str, Any]]:
    """What is an end, below the root, by its path; each holder and each end once."""
    waiting, met = [("", root)], set[int]()
    while waiting:
        path, found = waiting.pop()
        if id(found) in met:
            continue
        met.add(id(found))
        if ends(found):
            yield path, found
        else:
            inner = items_of(found) or {}
            steps = [(f"{path}.{name}" if path else str(name), item) for name, item in inner.items()]
            waiting += reversed(steps)
