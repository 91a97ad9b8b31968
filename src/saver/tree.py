"""Values as data that cannot run.

A *tree* describes an object with seven things only: the JSON scalars, `Node`, `Tensor`, `Reference`, and the
lists and string-keyed dicts that a node's state is made of. As JSON:

    Node    {"$": "numpy.array", "class": …, "v": 2, "id": 7, "state": …}
    Tensor  {"$tensor": "model/coef_"}
    Reference     {"$ref": 7, "part": …}         another reference to the node with that id

A list or dict in a tree is structure that belongs to the node around it; the user's own lists and
dicts are nodes, so that they can be shared and take part in cycles.

The JSON is canonical (RFC 8785), which sorts keys and writes 1.0 as 1. What that loses is kept beside it:

    dict    {"$order": [1, 0], "a": …, "b": …}     was b, a: the place of each key among the sorted ones
    float   {"$float": 1}, {"$float": "-0"}        1.0, -0.0: floats that would be read as integers
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import copysign, isfinite
from typing import Any, TypeAlias

import msgspec

from saver.canonical import canonical, in_order, number
from saver.errors import CannotSaveError, IncompatibleError
from saver.stack import anywhere, is_deep, on_fresh_stack
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
Item: TypeAlias = Node | Tensor | Reference
Value: TypeAlias = "Scalar | Item | list[Any] | dict[str, Any]"


def to_json(tree: Value, found: list[Item] | None = None) -> bytes:
    """The canonical JSON of a tree; equal trees give equal bytes. Every node, tensor and reference in it is
    appended to `found`, in the order of the tree.

    Raises CannotSaveError if JSON cannot express a value, or if the tree is too deep for `parse`.
    """
    try:
        text, items = anywhere(_written, tree)
    except UnicodeEncodeError as error:
        name = error.object[max(0, error.start - 20) : error.end + 20]
        raise CannotSaveError(
            f"$: {name!r} is not Unicode text, so it cannot be a name, such as that of a field; rename it"
        ) from None
    (found if found is not None else []).extend(items)
    return text  # type: ignore[no-any-return]


def _written(tree: Value) -> tuple[bytes, list[Item]]:
    items: list[Item] = []
    return canonical(_marked(tree, 0, items), floats=False), items  # floats that need a mark have one


_PLAIN = frozenset((str, bool, type(None), msgspec.Raw))


def _marked(value: Any, depth: int, found: list[Item]) -> Any:
    """The value with marks for what canonical JSON does not keep. Recursive: one call for each level."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int or kind is float:
        return _marked_number(value)
    if kind is Tensor or kind is Reference:
        found.append(value)
        return value
    if depth >= MAX_JSON_DEPTH:
        raise CannotSaveError(
            "$: objects lie too deep within each other; flatten the structure, or save its pieces as "
            f"separate parts (the limit is {MAX_JSON_DEPTH} levels of JSON)"
        )
    if kind is Node:
        found.append(value)
        return Node(value.codec, value.cls, value.version, value.id, _marked(value.state, depth + 1, found))
    if kind is dict:
        fields = {}
        for name, item in value.items():
            fields[name] = item if type(item) in _PLAIN else _marked(item, depth + 1, found)
        return _with_order(fields)
    if kind is list or kind is tuple:
        items = list(value)
        for index, item in enumerate(items):
            if type(item) not in _PLAIN:
                items[index] = _marked(item, depth + 1, found)
        return items
    return _marked_number(float(value)) if isinstance(value, float) else value


def _marked_number(value: float) -> Any:
    if type(value) is int:
        if not -EXACT_INTEGER <= value <= EXACT_INTEGER:
            raise CannotSaveError(
                f"$: a codec put {value} into its state, where JSON is not exact; encode it"
            )
        return value
    if not isfinite(value):
        raise CannotSaveError(f"$: a codec put {value} into its state, which JSON does not have; encode it")
    if value.is_integer() and abs(value) < 1e21:
        if value == 0 and copysign(1, value) < 0:
            return {"$float": "-0"}
        return {"$float": int(value) if abs(value) <= EXACT_INTEGER else number(value)}
    if 1e-5 <= abs(value) < 1e16:  # msgspec writes them as is canonical
        return value
    return msgspec.Raw(number(value).encode())


def _with_order(found: dict[str, Any]) -> dict[str, Any]:
    keys = list(found)
    ordered = in_order(keys)
    if keys != ordered and not any(key[:1] == "$" for key in keys):  # raw JSON of a node has no order
        places = {key: place for place, key in enumerate(ordered)}
        found["$order"] = [places[key] for key in keys]
    return found


def parse(raw: Any, where: str, found: list[Item]) -> Any:
    """Decoded JSON as a tree; every node, tensor and reference in it is appended to `found`, in the order of
    the document.

    Lists and dicts in `raw` become part of the tree: they are changed in place, or consumed. Raises
    IncompatibleError if it is not a tree.
    """
    if type(raw) not in _CONTAINERS:
        return raw
    return on_fresh_stack(_parse, raw, where, found, 0) if is_deep() else _parse(raw, where, found, 0)


_CONTAINERS = frozenset((dict, list))


def _parse(raw: Any, where: str, found: list[Item], depth: int) -> Any:
    """What a list or dict stands for that is `depth` levels deep. Recursive: one call for each level."""
    is_object = type(raw) is dict
    if is_object and "$" not in raw:
        if "$tensor" in raw or "$ref" in raw:
            return _parse_leaf(raw, where, found)
        if "$float" in raw:
            return _parse_float(raw, where)
        if "$order" in raw:
            raw = _ordered(raw, where)
    if depth >= MAX_JSON_DEPTH:
        raise IncompatibleError(f"{where}: nested deeper than {MAX_JSON_DEPTH} levels")
    depth += 1
    if is_object and "$" in raw:
        node = _parse_node(raw, where)
        found.append(node)
        if type(node.state) in _CONTAINERS:
            node.state = _parse(node.state, where, found, depth)
        return node
    if is_object:
        for key, item in raw.items():
            if key[:1] in _RESERVED_FIRST and reserved(key):
                raise IncompatibleError(f"{where}: an object has the reserved key {key!r}")
            if type(item) in _CONTAINERS:
                raw[key] = _parse(item, where, found, depth)
        return raw
    for index, item in enumerate(raw):
        if type(item) in _CONTAINERS:
            raw[index] = _parse(item, where, found, depth)
    return raw


def _parse_node(raw: dict[str, Any], where: str) -> Node:
    """The node, whose state is still raw."""
    try:
        node = msgspec.convert(raw, Node)
    except msgspec.ValidationError as error:
        raise IncompatibleError(f"{where}: a malformed node: {error}") from None
    if type(node.id) is str:
        raise IncompatibleError(f"{where}: a node with the id {node.id[:80]!r}, which is not a number")
    return node


def _ordered(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """The object with its keys in the order that they had when it was saved."""
    order = raw.pop("$order")
    keys = in_order(raw)
    try:
        found = {keys[place]: raw[keys[place]] for place in order}
    except (TypeError, IndexError):
        found = {}
    if len(found) != len(keys) or [*map(type, order)] != [int] * len(keys) or min(order, default=0) < 0:
        raise IncompatibleError(f"{where}: the order of an object is not one of its keys")
    return found


_WHOLE_FLOAT = re.compile("-0|-?[1-9][0-9]{15,20}")


def _parse_float(raw: dict[str, Any], where: str) -> float:
    value = raw["$float"]
    if len(raw) == 1 and type(value) is int and abs(value) <= EXACT_INTEGER:
        return float(value)
    if len(raw) == 1 and type(value) is str and _WHOLE_FLOAT.fullmatch(value):
        return float(value)
    raise IncompatibleError(f"{where}: a float is written wrongly: {str(raw)[:120]}")


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


_RESERVED_FIRST = frozenset("$_")


def _parse_leaf(raw: dict[str, Any], where: str, found: list[Item]) -> Tensor | Reference:
    leaf: Tensor | Reference
    part = raw.get("part")
    if len(raw) == 1 and type(raw.get("$tensor")) is str:
        leaf = Tensor(raw["$tensor"])
    elif type(raw.get("$ref")) is int and (len(raw) == 1 or (len(raw) == 2 and type(part) is str)):
        leaf = Reference(raw["$ref"], part)
    else:
        raise IncompatibleError(f"{where}: a malformed reference: {str(list(raw))[:120]}")
    found.append(leaf)
    return leaf


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
