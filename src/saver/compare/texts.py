"""Values of trees in a line, as Python would write them. All texts are printable: files may hold anything."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import numpy as np

from saver import trust
from saver.compare.forms import form_of_numpy, values
from saver.errors import printable as printable  # who builds texts takes it from here
from saver.tree import Node

LINE = 80
"""Sequences whose text is longer are compared item by item."""

TEXT_LIMIT = 200
_LEVELS = 3
_AROUND = 40
"""What is shown of long texts before the place where they begin to differ."""


def plain(value: Any, levels: int = _LEVELS) -> str | None:
    """A value that fits in a line and holds no tensor, with nothing left out; otherwise None.

    Two values have the same text only if they are equal.
    """
    kind = type(value)
    if kind is str:
        return repr(value)
    if value is None or kind is int or kind is float or kind is bool:
        return repr(value)
    if kind is list:
        return row("[", value, "]", levels)
    if kind is not Node:
        return None
    text = _READABLE.get(value.codec, _other)(value, levels)
    return text if text is None or value.version == 1 else f"{text} (form {value.version})"


def row(opening: str, items: Any, closing: str, levels: int) -> str | None:
    """Items between brackets; None when that is too long, too deep, or not all of them are plain."""
    if type(items) is not list or not levels:
        return None
    texts: list[str] = []
    left = LINE - len(opening) - len(closing)
    for item in items:
        text = None if type(item) is str and len(item) > left else plain(item, levels - 1)
        left -= LINE if text is None else len(text) + len(", ")
        if text is None or left < -len(", "):
            return None
        texts.append(text)
    return f"{opening}{', '.join(texts)}{closing}"


def _bracketed(opening: str, closing: str) -> Callable[[Node, int], str | None]:
    return lambda node, levels: row(opening, node.state, closing, levels)


def _tuple(node: Node, levels: int) -> str | None:
    one = type(node.state) is list and len(node.state) == 1
    return row("(", node.state, ",)" if one else ")", levels)


def _dict(node: Node, levels: int) -> str | None:
    return "{}" if node.state == {} else None


def _named(node: Node, levels: int) -> str | None:
    return printable(trust.dotted(node.cls)) if node.cls is not None else _other(node, levels)


_NOT_FINITE = {"7ff8000000000000": "nan", "7ff0000000000000": "inf", "fff0000000000000": "-inf"}


def _float(node: Node, levels: int) -> str | None:
    told = _NOT_FINITE.get(node.state) if type(node.state) is str else None
    return told or _other(node, levels)


def _int(node: Node, levels: int) -> str | None:
    """In hexadecimal, as it stands there: decimal digits would take quadratic time."""
    if type(node.state) is str and re.fullmatch(r"-?[0-9a-f]+", node.state):
        sign, digits = ("-", node.state[1:]) if node.state[0] == "-" else ("", node.state)
        return f"{sign}0x{digits}"
    return _other(node, levels)


def _bytes(node: Node, levels: int) -> str | None:
    data = base64_bytes(node.state)
    if data is None:
        return _other(node, levels)
    return repr(data) if node.codec == "bytes" else f"{node.codec}({data!r})"


def _str(node: Node, levels: int) -> str | None:
    data = base64_bytes(node.state)
    return _other(node, levels) if data is None else repr(data.decode("utf-8", "backslashreplace"))


def base64_bytes(text: Any) -> bytes | None:
    """The bytes that base64 text stands for; None when it is none."""
    try:
        return b64decode(text, validate=True) if type(text) is str else None
    except ValueError:
        return None


def _enum(node: Node, levels: int) -> str | None:
    if node.cls is not None and type(node.state) is str:
        return printable(f"{trust.dotted(node.cls)}.{node.state}")
    return _other(node, levels)


def _scalar(node: Node, levels: int) -> str | None:
    """NumPy scalars; those that are not finite, and complex ones, stand there as their bytes."""
    state = node.state
    if type(state) is list and len(state) == 2:
        form, item = form_of_numpy(state[0]), state[1]
        data = base64_bytes(item)
        if form is not None and form.number and type(item) in (bool, int, float):
            return f"np.{_numpy_name(state[0])}({item!r})"
        if form is not None and form.number and data is not None and len(data) == form.size:
            (item,) = values(np.frombuffer(data, np.uint8), form) or (None,)
            exact = "" if _is_exact(item, data, state[0]) else f", bits {data.hex()}"
            return f"np.{_numpy_name(state[0])}({item!r}{exact})"
    return _other(node, levels)


def _numpy_name(dtype: str) -> str:
    return np.dtype(dtype).newbyteorder("<").name if dtype[0] != ">" else f"dtype({dtype!r}).type"


def _is_exact(item: Any, data: bytes, dtype: str) -> bool:
    """Whether what Python writes for it has these bits: there are many nans."""
    with np.errstate(all="ignore"):
        return np.array(type(item)(repr(item))).astype(dtype).tobytes() == data


def _constant(node: Node, levels: int) -> str | None:
    told = type(node.state) is str and node.state.startswith("torch.")
    return printable(node.state) if told else _other(node, levels)


def _other(node: Node, levels: int) -> str | None:
    """Any node of scalars: its class or codec, and what it holds."""
    name = printable(trust.dotted(node.cls) if node.cls else node.codec.removeprefix("stdlib."))
    if type(node.state) is list:
        return row(f"{name}(", node.state, ")", levels)
    inner = "" if node.state is None else plain(node.state, 0)
    return None if inner is None else f"{name}({inner})"


_READABLE: dict[str, Callable[[Node, int], str | None]] = {
    **dict.fromkeys(trust.REFERENCE_CODECS, _named),
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
    "numpy.scalar": _scalar,
    "torch.constant": _constant,
}


def title(value: Any) -> str:
    """What a value is, in a few words, where it is too large for a line."""
    if type(value) is not Node:
        return f"{len(value)} values" if isinstance(value, (list, dict)) else "a value"
    if value.cls is not None:
        return printable(trust.dotted(value.cls))
    counted = _COUNTED.get(value.codec) is type(value.state)
    return printable(value.codec) + (f" of {len(value.state)}" if counted else "")


_COUNTED = {
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), list),
    **dict.fromkeys(("dict", "stdlib.OrderedDict", "stdlib.Counter"), dict),
}


def both(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    """Two texts, cut to where they differ if they are long."""
    if old is None or new is None:
        return old and cut(old), new and cut(new)
    if max(len(old), len(new)) <= TEXT_LIMIT:
        return old, new
    pairs = enumerate(zip(old, new, strict=False))
    same = next((index for index, (x, y) in pairs if x != y), min(len(old), len(new)))
    start = max(0, same - _AROUND)
    return cut(old, start), cut(new, start)


def cut(text: str, start: int = 0) -> str:
    """At most `TEXT_LIMIT` characters of a text from a place on; dots say that something is missing."""
    end = start + TEXT_LIMIT
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
