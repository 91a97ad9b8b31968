"""Values of trees on one line, as Python would write them. All texts are made printable, since files may
hold anything."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from saver.errors import printable
from saver.reading.dispatch import said
from saver.tree import Node
from saver.trust import dotted

LINE = 80
"""Sequences whose text is longer than this are compared item by item."""

TEXT_LIMIT = 200
_LEVELS = 3
_AROUND = 40
"""How many characters of long texts are shown before the place where they begin to differ."""


def plain(value: Any, levels: int = _LEVELS) -> str | None:
    """The whole value as text, if it fits on a line and holds no tensor; otherwise None.

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
    text = (said(value.codec, "TEXTS") or other)(value, levels)
    return text if text is None or value.version == 1 else f"{text} (form {value.version})"


def row(opening: str, items: Any, closing: str, levels: int) -> str | None:
    """Items between brackets; None if the text is too long, nested too deep, or an item is not plain."""
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


def base64_bytes(text: Any) -> bytes | None:
    """The bytes that base64 text stands for; None if it is not valid base64."""
    try:
        return b64decode(text, validate=True) if type(text) is str else None
    except ValueError:
        return None


def other(node: Node, levels: int) -> str | None:
    """The text of any node of scalars: its class or codec, and its content."""
    name = printable(dotted(node.cls) if node.cls else node.codec.removeprefix("stdlib."))
    if type(node.state) is list:
        return row(f"{name}(", node.state, ")", levels)
    inner = "" if node.state is None else plain(node.state, 0)
    return None if inner is None else f"{name}({inner})"


def title(value: Any) -> str:
    """A few words for a value that is too large for a line."""
    if type(value) is not Node:
        return f"{len(value)} values" if isinstance(value, (list, dict)) else "a value"
    if value.cls is not None:
        return printable(dotted(value.cls))
    counted = said(value.codec, "COUNTED") is type(value.state)
    return printable(value.codec) + (f" of {len(value.state)}" if counted else "")


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
    """At most `TEXT_LIMIT` characters of a text from `start` on; an ellipsis marks what was cut off."""
    end = start + TEXT_LIMIT
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
