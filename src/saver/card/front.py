"""The front matter of a card, as Hugging Face reads it: YAML between two lines of dashes.

https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from saver.errors import limited

Value: TypeAlias = str | Sequence[str]

NAMES = 100
"""The most values of a field."""


def front_matter(fields: Mapping[str, Value]) -> str:
    """The fields that have a value. Names are Saver's own; values may be anything."""
    return "\n".join(("---", *_lines(fields), "---"))


def _lines(fields: Mapping[str, Value]) -> Iterable[str]:
    for name, value in fields.items():
        if isinstance(value, str):
            yield from [f"{name}: {quoted(value)}"] if value else []
        elif value:
            yield f"{name}:"
            yield from (f"- {quoted(each)}" for each in dict.fromkeys(value[:NAMES]))


def quoted(found: str) -> str:
    """A scalar in double quotes, of ASCII alone: whatever the text, it is one string and nothing else."""
    return '"' + "".join(map(_escaped, limited(found))) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isascii():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 1 << 16 else f"\\U{ord(char):08x}"
