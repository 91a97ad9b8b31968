"""What a tree is made of, and walks through one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from saver.strict import decodable

MAX_OBJECT_DEPTH = 150
"""How deeply objects may be nested when written. A limit of the format: the depth of the caller's own stack
does not matter (`saver.stack`)."""

MAX_JSON_DEPTH = 600
"""Levels of lists and objects in the JSON of a tree; a nested list takes two, other objects up to four."""

EXACT_INTEGER = 2**53
"""Integers up to this size are exact in every JSON reader; larger ones are nodes."""


@decodable
class Node(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An object: the codec that knows it, the class it asks for (`module:qualname`), its state.

    Trees have no cycles (that is what `Reference` is for), so the garbage collector need not look at them.
    """

    codec: str = msgspec.field(name="$")
    cls: str | None = msgspec.field(name="class", default=None)
    version: int = msgspec.field(name="v", default=1)
    id: int | str | None = None
    state: Any = None


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor of the pack, by name."""

    name: str = msgspec.field(name="$tensor")


class Reference(msgspec.Struct, omit_defaults=True, gc=False):
    """A reference to the node with this id; `part` names its part, if it is not the same one."""

    id: int | str = msgspec.field(name="$ref")
    part: str | None = None


Scalar: TypeAlias = bool | int | float | str | None
SCALARS = frozenset((bool, int, float, str, type(None)))
"""Their types."""

Item: TypeAlias = Node | Tensor | Reference
Value: TypeAlias = "Scalar | Item | list[Any] | dict[str, Any]"


def reserved(key: str) -> bool:
    """Whether this key is forbidden in the JSON objects of a tree.

    `$` marks nodes. NumPy and PyTorch look the others up on any instance and believe what they find:
    an attribute `__array_interface__` from a file would be a pointer from a file.
    """
    return key.startswith(("$", "__array_", "__cuda_array_"))


def encodable(text: str) -> bool:
    """Whether UTF-8 can encode it: it cannot encode lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def settle(found: Iterable[Item], part: str) -> None:
    """Make the ids of a parsed part unique in the file: `model/7` for id 7 of `model`.

    In the file they are numbered within each part, so that equal parts have equal trees.
    """
    for item in found:
        if type(item) is Reference:
            item.id = f"{item.part or part}/{item.id}"
        elif type(item) is Node and item.id is not None:
            item.id = f"{part}/{item.id}"


def walk(value: Any) -> Iterator[Item]:
    """Every node, tensor and reference below `value`, in the order of the document."""
    stack = [value]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind is Node:
            yield item
            stack.append(item.state)
        elif kind is Tensor or kind is Reference:
            yield item
        elif kind is list:
            stack.extend(reversed(item))
        elif kind is dict:
            stack.extend(reversed(item.values()))
