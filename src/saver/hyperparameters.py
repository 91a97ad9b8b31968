"""Hyperparameters: the plain fields of the objects that a tree describes, read without building anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from saver import registry, trust
from saver.defaults import default_arguments
from saver.tensors import NUMPY_DTYPE
from saver.tree import Node, Value

HYPERPARAMETERS_LIMIT = 200
"""Fields listed for one part: a pipeline has dozens; those of a large ensemble would bury the rest."""

ALIKE = 3
"""A list of more objects of one class than this is summed up: the trees of a forest."""

_TEXT_LIMIT = 80
_SPECIAL_FLOATS = {
    "7ff8000000000000": "nan",
    "7ff0000000000000": "inf",
    "fff0000000000000": "-inf",
}


class Hyperparameters(msgspec.Struct, frozen=True):
    """Plain fields by path, as Python would write them. Those in `defaults` are arguments of a constructor
    that have their default value, by the source of the library that is installed here."""

    values: dict[str, str]
    defaults: tuple[str, ...]


def hyperparameters(tree: Value) -> Hyperparameters:
    """The plain fields of the objects and dicts in a tree.

    Small arrays that are stored in the tree are shown as dtype and shape. Private fields are left out, and
    values that are too long for a line; there are `HYPERPARAMETERS_LIMIT` fields at most. A part that is one
    plain value has the single field `value`. The texts come from the file and cannot be trusted.
    """
    sole = _shown(tree)
    if sole is not None:
        return Hyperparameters({"value": sole}, ())
    found: dict[str, str] = {}
    defaults: list[str] = []
    stack: list[tuple[str, Value, str | None]] = [("", tree, None)]
    while stack and len(found) < HYPERPARAMETERS_LIMIT:
        path, value, default = stack.pop()
        text = (_shown(value) or _many_shown(value)) if path else None
        if text is not None:
            found[path.removeprefix(".")] = text
            if text == default:
                defaults.append(path.removeprefix("."))
        elif isinstance(value, Node):
            known = _defaults_of(value)
            within = [(path + step, item, known.get(step[1:])) for step, item in _within(value)]
            stack.extend(reversed(within))
    return Hyperparameters(found, tuple(defaults))


def _defaults_of(node: Node) -> dict[str, str]:
    """The default arguments of the class of a node, if Saver knows it, and not only the file names it."""
    if node.cls is None or not registry.is_own(registry.codec_root(node.codec)):
        return {}
    return default_arguments(node.cls) if trust.allows(node.codec, node.cls, ()) else {}


def _within(node: Node) -> Iterator[tuple[str, Value]]:
    """The values within an object, each with the step that leads to it: attribute, key or index."""
    if type(node.state) is dict and (node.cls is not None or node.codec in _MAPPINGS):
        for name, value in node.state.items():
            if not name.startswith("_"):
                yield f".{name}", value
    elif type(node.state) is list and node.codec in _BRACKETS:
        for index, value in enumerate(node.state):
            if isinstance(value, Node) and _shown(value) is None:
                yield f"[{index}]", value


_MAPPINGS = frozenset(("dict", "stdlib.OrderedDict"))
_BRACKETS = {"tuple": ("(", ")"), "list": ("[", "]")}


def _shown(value: Any, levels: int = 3) -> str | None:
    """A value on one line, with at most `levels` levels of brackets; None if it does not fit."""
    text = _node_shown(value, levels) if isinstance(value, Node) else _scalar_shown(value)
    return text if text is not None and len(text) <= _TEXT_LIMIT else None


def _many_shown(value: Value) -> str | None:
    """How many objects of which class a long list holds; None for anything else."""
    if not (isinstance(value, Node) and value.codec in _BRACKETS and type(value.state) is list):
        return None
    classes = {item.cls if isinstance(item, Node) else None for item in value.state}
    cls, *others = classes or {None}
    if cls is None or others or len(value.state) <= ALIKE:
        return None
    return f"{len(value.state)} x {trust.dotted(cls)}"


def _scalar_shown(value: Any) -> str | None:
    return repr(value) if value is None or isinstance(value, (bool, int, float, str)) else None


def _node_shown(node: Node, levels: int) -> str | None:
    state = node.state
    if node.codec in trust.REFERENCE_CODECS and node.cls is not None:
        return trust.dotted(node.cls)
    if node.codec == "float":
        return _SPECIAL_FLOATS.get(state) if isinstance(state, str) else None
    if node.codec in _BRACKETS and type(state) is list and levels:
        items = [_shown(item, levels - 1) for item in state[:_TEXT_LIMIT]]
        if None in items or len(items) < len(state):
            return None
        opening, closing = _BRACKETS[node.codec]
        comma = "," if node.codec == "tuple" and len(items) == 1 else ""
        return f"{opening}{', '.join(map(str, items))}{comma}{closing}"
    if node.codec == "numpy.scalar" and type(state) is list and len(state) == 2:
        plain = isinstance(state[0], str) and isinstance(state[1], (bool, int, float))
        return repr(state[1]) if plain else None
    if node.codec == "numpy.array" and type(state) is dict and isinstance(state.get("data"), str):
        return _array_shown(state)
    return None


def _array_shown(state: dict[str, Any]) -> str | None:
    dtype, shape = state.get("dtype"), state.get("shape")
    if not isinstance(dtype, str) or type(shape) is not list:
        return None
    return f"{_DTYPE_NAMES.get(dtype, dtype)}{shape[::-1] if state.get('order') == 'F' else shape}"


_DTYPE_NAMES = {dtype.str: name for name, dtype in NUMPY_DTYPE.items()}
