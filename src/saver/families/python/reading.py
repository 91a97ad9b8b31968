"""How trees of Python's own values are read: their items, and their texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from saver.errors import printable
from saver.reading.arrays import Array, Entries, entry_of, tensor_array
from saver.reading.forms import FORMS, STRINGS, TEXT
from saver.reading.steps import Children, Found, Look, any_node, any_state, step
from saver.reading.texts import base64_bytes, other, plain, row
from saver.tree import Node, Tensor
from saver.trust import dotted


def column_array(state: dict[str, Any], entries: Entries) -> Array | None:
    """A long run of floats, bools, ints or strings; None if the state is not one."""
    if len(state) == 1 and state.keys() & {"float", "bool", "int"}:
        (value,) = state.values()
        return tensor_array(value, entries) if type(value) is Tensor else None
    if state.keys() == {"str", "ends"}:
        letters, ends = (entry_of(state[key], entries) for key in ("str", "ends"))
        if letters is not None and ends is not None and (letters.dtype, ends.dtype) == ("U8", "I64"):
            joined = letters.hash + ends.hash
            return Array(STRINGS, ends.shape, joined, state["str"].name, ends=state["ends"].name)
    return None


def run(state: Any, look: Look) -> Children:
    """The items of a long sequence, or the array in which they are stored."""
    column = column_array(state, look.entries) if type(state) is dict else None
    return any_state(state) if column is None else [("", column)]


def _sequence(node: Node, look: Look) -> Found:
    named = _named_steps(node.state, look) if node.codec == "list" else None
    return (run(node.state, look), False) if named is None else (named, True)


def _named_steps(state: Any, look: Look) -> list[tuple[str, Any]] | None:
    """The items of a list of `(name, …)`, by name: steps of pipelines, for example, come and go."""
    if type(state) is not list or not state:
        return None
    found, names = [], set()
    for item in map(look.resolve, state):
        inner = item.state if type(item) is Node and item.codec == "tuple" else None
        if type(inner) is not list or len(inner) < 2 or type(inner[0]) is not str or inner[0] in names:
            return None
        names.add(inner[0])
        name = step(inner[0])
        rest = enumerate(inner[1:], 1)
        found += [(name if len(inner) == 2 else f"{name}[{index}]", value) for index, value in rest]
    return found


def mapping(node: Node, look: Look) -> Found:
    """The content of a mapping."""
    state = node.state
    if type(state) is list and len(state) == 3 and state[2] == "attributes":
        held, attributes, _ = state
        return [*items(held, look), *any_state(attributes)], True
    return items(state, look), True


def _default_mapping(node: Node, look: Look) -> Found:
    if type(node.state) is not list or len(node.state) != 2:
        return any_node(node, look)
    factory, held = node.state
    return [(".default_factory", factory), *items(held, look)], True


def items(state: Any, look: Look) -> Children:
    """The items of a mapping, as `encode_items` wrote them."""
    if type(state) is not list or len(state) != 2:
        return any_state(state)
    keys, values = state
    if type(keys) is list and type(values) is list and len(keys) == len(values):
        texts = list(map(plain, keys))
        if None not in texts:
            steps = [step(k) if type(k) is str else f"[{t}]" for k, t in zip(keys, texts, strict=True)]
            return list(zip(steps, values, strict=True))
    return [
        (f".{what}{name}", value)
        for what, listed in (("keys", keys), ("values", values))
        for name, value in run(listed, look)
    ]


def _text(node: Node, look: Look) -> Found:
    """A long string."""
    array = tensor_array(node.state, look.entries) if type(node.state) is Tensor else None
    if array is None or array.form != FORMS["U8"]:
        return any_node(node, look)
    return [("", msgspec.structs.replace(array, form=TEXT))], False


def _bracketed(opening: str, closing: str) -> Callable[[Node, int], str | None]:
    return lambda node, levels: row(opening, node.state, closing, levels)


def _tuple(node: Node, levels: int) -> str | None:
    one = type(node.state) is list and len(node.state) == 1
    return row("(", node.state, ",)" if one else ")", levels)


def _dict(node: Node, levels: int) -> str | None:
    return "{}" if node.state == {} else None


def _named(node: Node, levels: int) -> str | None:
    return printable(dotted(node.cls)) if node.cls is not None else other(node, levels)


_NOT_FINITE = {"7ff8000000000000": "nan", "7ff0000000000000": "inf", "fff0000000000000": "-inf"}


def _float(node: Node, levels: int) -> str | None:
    shown = _NOT_FINITE.get(node.state) if type(node.state) is str else None
    return shown or other(node, levels)


def _int(node: Node, levels: int) -> str | None:
    """In hexadecimal, as it is stored: decimal digits would take quadratic time."""
    if type(node.state) is str and re.fullmatch(r"-?[0-9a-f]+", node.state):
        sign, digits = ("-", node.state[1:]) if node.state[0] == "-" else ("", node.state)
        return f"{sign}0x{digits}"
    return other(node, levels)


def _bytes(node: Node, levels: int) -> str | None:
    data = base64_bytes(node.state)
    if data is None:
        return other(node, levels)
    return repr(data) if node.codec == "bytes" else f"{node.codec}({data!r})"


def _str(node: Node, levels: int) -> str | None:
    data = base64_bytes(node.state)
    return other(node, levels) if data is None else repr(data.decode("utf-8", "backslashreplace"))


def _enum(node: Node, levels: int) -> str | None:
    if node.cls is not None and type(node.state) is str:
        return printable(f"{dotted(node.cls)}.{node.state}")
    return other(node, levels)


READERS = {
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), _sequence),
    **dict.fromkeys(("dict", "stdlib.OrderedDict", "stdlib.Counter"), mapping),
    "str": _text,
    "stdlib.defaultdict": _default_mapping,
}

TEXTS: dict[str, Callable[[Node, int], str | None]] = {
    **dict.fromkeys(("function", "class"), _named),
    "list": _bracketed("[", "]"),
    "set": _bracketed("{", "}"),
    "frozenset": _bracketed("frozenset({", "})"),
    "tuple": _tuple,
    "dict": _dict,
    "float": _float,
    "int": _int,
    "str": _str,
    "bytes": _bytes,
    "bytearray": _bytes,
    "enum": _enum,
}

COUNTED: dict[str, type] = {
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), list),
    **dict.fromkeys(("dict", "stdlib.OrderedDict", "stdlib.Counter"), dict),
}
"""Codecs of containers whose state is the list or dict of their items."""


def _whole(state: Any) -> tuple[Any, Any]:
    return state, []


def held_values(state: Any) -> tuple[Any, Any]:
    """Of a mapping: the values, which it stores as they are; the keys, which are hashed."""
    if type(state) is not list:
        return state, []
    keys, values = state
    return values, [keys]


def _ordered(state: Any) -> tuple[Any, Any]:
    if type(state) is not list or state[2:] != ["attributes"]:
        return held_values(state) if type(state) is list else _whole(state)
    listed, attributes, _ = state
    held, others = held_values(listed)
    return held, [attributes, *others]


def _with_factory(state: Any) -> tuple[Any, Any]:
    factory, listed = state
    held, others = held_values(listed)
    return held, [factory, *others]


def _derived(state: Any) -> tuple[Any, Any]:
    """Of an object of a derived class, whose elements are hashed if it is a set."""
    base, content, attributes = state
    held, others = (content, None) if base == "list" else (None, content)
    if base in ("dict", "OrderedDict"):
        held, others = held_values(content)
    return [held, attributes], others


HOLDS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    **dict.fromkeys(("dataclass", "list", "object", "stdlib.SimpleNamespace", "tuple"), _whole),
    "namedtuple": lambda state: (state[0], state[1:]) if type(state) is list else _whole(state),
    "dict": held_values,
    "stdlib.OrderedDict": _ordered,
    "stdlib.Counter": held_values,
    "derived": _derived,
    "stdlib.defaultdict": _with_factory,
    "stdlib.deque": lambda state: (state[1], None),
}
"""Divides the state of a container: the values that it stores as they are decoded, and the rest."""

MAPPINGS = dict.fromkeys(("dict", "stdlib.OrderedDict", "stdlib.defaultdict", "stdlib.Counter"), True)
"""Codecs of mappings, whose items can be read one by one."""
