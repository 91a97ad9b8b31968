"""Values as data that cannot run.

A *tree* describes an object with seven things only: the JSON scalars, `Node`, `Tensor`, `Ref`, and the
lists and string-keyed dicts that a node's state is made of. As JSON:

    Node    {"$": "numpy.array", "class": …, "v": 2, "id": 7, "state": …}
    Tensor  {"$tensor": "model/coef_"}
    Ref     {"$ref": 7, "part": …}         the node with that id, once more

A list or dict in a tree is structure that belongs to the node around it; the user's own lists and
dicts are nodes, so that they can be shared and take part in cycles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.errors import CannotSaveError, DamagedError

T = TypeVar("T")

MAX_OBJECT_DEPTH = 150
"""Objects within objects. Each costs a few interpreter frames of the default 1,000 on either side."""

MAX_JSON_DEPTH = 600

EXACT_INTEGER = 2**53
"""Integers up to this size are exact in every JSON reader; larger ones are nodes."""


class Node(msgspec.Struct, omit_defaults=True, gc=False):
    """An object: the codec that knows it, the class it asks for (`module:qualname`), its state.

    Trees have no cycles (that is what `Ref` is for), so the garbage collector need not look at them.
    """

    codec: str = msgspec.field(name="$")
    cls: str | None = msgspec.field(name="class", default=None)
    version: int = msgspec.field(name="v", default=1)
    id: int | str | None = None
    state: Any = None


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor of the pack, by name."""

    name: str = msgspec.field(name="$tensor")


class Ref(msgspec.Struct, omit_defaults=True, gc=False):
    """The node with this id, met again; `part` says in which part it is, if not in the same."""

    id: int | str = msgspec.field(name="$ref")
    part: str | None = None


Scalar: TypeAlias = bool | int | float | str | None
Value: TypeAlias = "Scalar | Node | Tensor | Ref | list[Any] | dict[str, Any]"


class TensorData(msgspec.Struct, frozen=True):
    """What a save adds to the pack under one name.

    `dtype` is a safetensors dtype, `shape` in elements. `data` holds the elements in C order,
    little-endian; or it is a function that yields such arrays one after another, for data that
    should not be held in memory whole. `changes` counts how often the elements were changed, where that is
    known: so one can tell whether they stayed the same while they were copied.
    """

    dtype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | Callable[[], Iterator[NDArray[Any]]]
    changes: Callable[[], int] | None = None


ITEM_SIZE = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
"""Bytes per element of every safetensors dtype that Saver writes."""

_NUMPY_NAMES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2",
    "U32": "<u4", "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip
NUMPY_DTYPE = {name: np.dtype(code) for name, code in _NUMPY_NAMES.items()}
"""safetensors dtype → NumPy dtype, where NumPy has one."""

TENSOR_DTYPE = {(d.kind, d.itemsize): name for name, d in NUMPY_DTYPE.items()}
"""(NumPy kind, item size) → safetensors dtype; byte order aside."""


def to_json(value: object) -> bytes:
    """The tree as compact UTF-8 JSON; equal trees give equal bytes."""
    try:
        return msgspec.json.encode(value)
    except RecursionError:
        raise CannotSaveError(
            "$: objects lie too deep within each other; flatten the structure, "
            f"or save its pieces as separate parts (the limit is {MAX_OBJECT_DEPTH} levels)"
        ) from None


def decodable(kind: type[T]) -> type[T]:
    """Decorates a struct that is decoded: msgspec learns now what it looks like.

    Otherwise it would when the first one is decoded; and when two threads do that at once, it crashes
    (msgspec 0.22).
    """
    msgspec.json.Decoder(kind)
    return kind


def strict_json(data: bytes, where: str) -> Any:
    """JSON, refusing what readers disagree about: duplicate keys, NaN, bad UTF-8.

    Saver writes canonical JSON, for which one round trip in C proves that no key is doubled; any
    other JSON takes the slower road.
    """
    try:
        value = msgspec.json.decode(data)
        if msgspec.json.encode(value) == data:
            return value
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise DamagedError(f"{where}: not valid JSON ({error}); restore the file from a copy") from None
    except RecursionError:
        raise DamagedError(f"{where}: JSON nested too deep; restore the file from a copy") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} stands there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse(raw: Any, where: str, found: list[Node | Tensor | Ref], depth: int = 0) -> Any:
    """Decoded JSON as a tree; every node, tensor and reference in it is appended to `found`.

    `raw` stays as it is; what holds plain values alone is part of the tree as it is. Raises DamagedError for
    anything that is not a tree.
    """
    if depth > MAX_JSON_DEPTH:
        raise DamagedError(f"{where}: nested deeper than {MAX_JSON_DEPTH} levels")
    if type(raw) is list:
        items = raw
        for index, item in enumerate(raw):
            if type(item) is dict or type(item) is list:
                parsed = parse(item, where, found, depth + 1)
                if parsed is not item:
                    items = raw.copy() if items is raw else items
                    items[index] = parsed
        return items
    if type(raw) is not dict:
        return raw
    if "$" in raw:
        return _parse_node(raw, where, found, depth)
    if "$tensor" in raw or "$ref" in raw:
        leaf = _parse_leaf(raw, where)
        found.append(leaf)
        return leaf
    tree = raw
    for key, item in raw.items():
        if key[:1] in _RESERVED_FIRST and reserved(key):
            raise DamagedError(f"{where}: an object has the reserved key {key!r}")
        if type(item) is dict or type(item) is list:
            parsed = parse(item, where, found, depth + 1)
            if parsed is not item:
                tree = raw.copy() if tree is raw else tree
                tree[key] = parsed
    return tree


def reserved(key: str) -> bool:
    """Whether no JSON object of a tree may have this key.

    `$` marks nodes. NumPy and PyTorch look the others up on any instance and believe what they find:
    an attribute `__array_interface__` from a file would be a pointer from a file.
    """
    return key.startswith(("$", "__array_", "__cuda_array_"))


_RESERVED_FIRST = frozenset("$_")
_NODE_KEYS = frozenset(("$", "class", "v", "id", "state"))


def _parse_node(raw: dict[str, Any], where: str, found: list[Node | Tensor | Ref], depth: int) -> Node:
    codec, cls, version, ident = raw["$"], raw.get("class"), raw.get("v", 1), raw.get("id")
    if (
        not raw.keys() <= _NODE_KEYS
        or type(codec) is not str
        or not (cls is None or type(cls) is str)
        or type(version) is not int
        or not (ident is None or type(ident) is int)
    ):
        raise DamagedError(f"{where}: a node with wrong fields: {str(list(raw))[:120]}")
    node = Node(codec, cls, version, ident)
    found.append(node)
    state = raw.get("state")
    if type(state) is dict or type(state) is list:
        state = parse(state, where, found, depth + 1)
    node.state = state
    return node


def _parse_leaf(raw: dict[str, Any], where: str) -> Tensor | Ref:
    if len(raw) == 1 and type(raw.get("$tensor")) is str:
        return Tensor(raw["$tensor"])
    part = raw.get("part")
    far = list(raw) == ["$ref", "part"] and type(part) is str
    if not (far or len(raw) == 1) or type(raw.get("$ref")) is not int:
        raise DamagedError(f"{where}: a wrong reference: {str(list(raw))[:120]}")
    return Ref(raw["$ref"], part)


def settle(found: Iterable[Node | Tensor | Ref], part: str) -> None:
    """Make the ids in what was parsed of a part unique in the file: `model/7` for the 7 of `model`.

    In the file they are numbered within each part, so that equal parts have equal trees.
    """
    for item in found:
        if type(item) is Ref:
            item.id = f"{item.part or part}/{item.id}"
        elif type(item) is Node and item.id is not None:
            item.id = f"{part}/{item.id}"


def walk(value: Any) -> Iterator[Node | Tensor | Ref]:
    """Every node, tensor and reference below `value`, in the order of the document."""
    stack = [value]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind is Node:
            yield item
            stack.append(item.state)
        elif kind is Tensor or kind is Ref:
            yield item
        elif kind is list:
            stack.extend(reversed(item))
        elif kind is dict:
            stack.extend(reversed(item.values()))
