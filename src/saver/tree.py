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
from saver.stack import anywhere, on_fresh_stack

MAX_OBJECT_DEPTH = 150
"""How deeply objects may be nested when written. A limit of the format: the depth of the caller's own stack
does not matter (`saver.stack`)."""

MAX_JSON_DEPTH = 600
"""Levels of lists and objects in the JSON of a tree; a nested list takes two, other objects up to four."""

EXACT_INTEGER = 2**53
"""Integers up to this size are exact in every JSON reader; larger ones are nodes."""


class Node(msgspec.Struct, omit_defaults=True, gc=False):
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
Value: TypeAlias = "Scalar | Node | Tensor | Reference | list[Any] | dict[str, Any]"


def to_json(tree: Value) -> bytes:
    """The canonical JSON of a tree; equal trees give equal bytes.

    Raises CannotSaveError if JSON cannot express a value, or if the tree is too deep for `parse`.
    """
    return anywhere(_to_json, tree)  # type: ignore[no-any-return]


def _to_json(tree: Value) -> bytes:
    try:
        return canonical(_marked(tree, 0), floats=False)  # floats that need a mark have one
    except UnicodeEncodeError as error:
        found = error.object[max(0, error.start - 20) : error.end + 20]
        raise CannotSaveError(
            f"$: {found!r} is no Unicode text, so it cannot be a name, as of a field; rename it"
        ) from None


_ATOMS = frozenset((str, bool, type(None), Tensor, Reference, msgspec.Raw))


def _marked(value: Any, depth: int) -> Any:
    """The value with marks for what canonical JSON does not keep. Recursive, once per level of JSON."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is int or kind is float:
        return _marked_number(value)
    if depth >= MAX_JSON_DEPTH:
        raise CannotSaveError(
            "$: objects lie too deep within each other; flatten the structure, or save its pieces as "
            f"separate parts (the limit is {MAX_JSON_DEPTH} levels of JSON)"
        )
    if kind is Node:
        state = value.state
        if type(state) not in _ATOMS:
            state = _marked(state, depth + 1)
        return Node(value.codec, value.cls, value.version, value.id, state)
    if kind is dict:
        fields = {}
        for name, item in value.items():
            fields[name] = item if type(item) in _ATOMS else _marked(item, depth + 1)
        return _with_order(fields)
    if kind is not list and kind is not tuple:
        return _marked_number(float(value)) if isinstance(value, float) else value
    found = list(value)
    for index, item in enumerate(found):
        if type(item) not in _ATOMS:
            found[index] = _marked(item, depth + 1)
    return found


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


def parse(raw: Any, where: str, found: list[Node | Tensor | Reference]) -> Any:
    """Decoded JSON as a tree; every node, tensor and reference in it is appended to `found`, in the order of
    the document.

    `raw` is not changed, and its lists and dicts of plain values become part of the tree without a copy.
    Raises IncompatibleError if it is not a tree.
    """
    before = len(found)
    try:
        return _parse(raw, where, found, 0)
    except RecursionError:
        del found[before:]
        return on_fresh_stack(_parse, raw, where, found, 0)


def _parse(raw: Any, where: str, found: list[Node | Tensor | Reference], depth: int) -> Any:
    """The same for a value that is `depth` levels deep. Recursive, once per level."""
    item: Any = _parse_dict(raw, where) if type(raw) is dict else raw
    kind = type(item)
    if depth >= MAX_JSON_DEPTH and (kind is Node or kind in _CONTAINERS):
        raise IncompatibleError(f"{where}: nested deeper than {MAX_JSON_DEPTH} levels")
    if kind is Node:
        found.append(item)
        if type(item.state) in _CONTAINERS:
            item.state = _parse(item.state, where, found, depth + 1)
    elif kind is dict or kind is list:
        parsed = None
        for name, value in item.items() if kind is dict else enumerate(item):
            if type(value) in _CONTAINERS:
                within = _parse(value, where, found, depth + 1)
                if within is not value:
                    parsed = item.copy() if parsed is None else parsed
                    parsed[name] = within
        return item if parsed is None else parsed
    elif kind is Tensor or kind is Reference:
        found.append(item)
    return item


_CONTAINERS = frozenset((dict, list))


def _parse_dict(raw: dict[str, Any], where: str) -> Node | Tensor | Reference | float | dict[str, Any]:
    """What a JSON object stands for; its content is still raw."""
    if "$" in raw:
        return _parse_node(raw, where)
    if "$tensor" in raw or "$ref" in raw:
        return _parse_leaf(raw, where)
    for key in raw:
        if key[:1] in _RESERVED_FIRST and reserved(key):
            if key == "$order":
                return _parse_dict(_ordered(raw, where), where)
            if key == "$float":
                return _parse_float(raw, where)
            raise IncompatibleError(f"{where}: an object has the reserved key {key!r}")
    return raw


def _ordered(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """The object with its keys in the order that they had when it was saved."""
    order = raw["$order"]
    keys = in_order([key for key in raw if key != "$order"])
    if type(order) is not list or set(map(type, order)) - {int} or sorted(order) != [*range(len(keys))]:
        raise IncompatibleError(f"{where}: the order of an object is not one of its keys")
    return {keys[place]: raw[keys[place]] for place in order}


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
_NODE_KEYS = frozenset(("$", "class", "v", "id", "state"))


def _parse_node(raw: dict[str, Any], where: str) -> Node:
    codec, cls, version, ident = raw["$"], raw.get("class"), raw.get("v", 1), raw.get("id")
    if (
        not raw.keys() <= _NODE_KEYS
        or type(codec) is not str
        or not (cls is None or type(cls) is str)
        or type(version) is not int
        or not (ident is None or type(ident) is int)
    ):
        raise IncompatibleError(f"{where}: a node with wrong fields: {str(list(raw))[:120]}")
    return Node(codec, cls, version, ident, raw.get("state"))


def _parse_leaf(raw: dict[str, Any], where: str) -> Tensor | Reference:
    if len(raw) == 1 and type(raw.get("$tensor")) is str:
        return Tensor(raw["$tensor"])
    part = raw.get("part")
    far = raw.keys() == {"$ref", "part"} and type(part) is str
    if not (far or len(raw) == 1) or type(raw.get("$ref")) is not int:
        raise IncompatibleError(f"{where}: a wrong reference: {str(list(raw))[:120]}")
    return Reference(raw["$ref"], part)


def settle(found: Iterable[Node | Tensor | Reference], part: str) -> None:
    """Make the ids of a parsed part unique in the file: `model/7` for id 7 of `model`.

    In the file they are numbered within each part, so that equal parts have equal trees.
    """
    for item in found:
        if type(item) is Reference:
            item.id = f"{item.part or part}/{item.id}"
        elif type(item) is Node and item.id is not None:
            item.id = f"{part}/{item.id}"


def walk(value: Any) -> Iterator[Node | Tensor | Reference]:
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
