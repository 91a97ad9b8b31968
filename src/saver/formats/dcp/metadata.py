"""The file `.metadata` of a distributed checkpoint of PyTorch: a pickle, read without running it.

It is an instance of `torch.distributed.checkpoint.metadata.Metadata`: of each value its shape, dtype and
boxes, where the bytes of each box lie, and the place of each value in the nested state dict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from saver import registry
from saver.errors import quoted
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run_whole
from saver.formats.pickle.opening import value_of
from saver.pickled import Call, Global, Inert, NotReadError, Pairs, attributes_of, sequence
from saver.tensors import Box, check_boxes

MODULE = "torch.distributed.checkpoint.metadata"
STORED = "torch.distributed.checkpoint.filesystem"
_OLD = "torch.distributed._shard.sharded_tensor.metadata"
_KNOWN = {
    MODULE: {
        "Metadata", "MetadataIndex", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata",
        "TensorProperties", "_MEM_FORMAT_ENCODING", "StorageMeta",
    },
    STORED: {"_StorageInfo"},
    _OLD: {"TensorProperties", "MEM_FORMAT_ENCODING"},
}  # fmt: skip
"""The classes that PyTorch writes there, by module; the last one until 2.2."""

_BYTES = 8
"""What a box takes at least of the file. Boxes may be listed more often than they are written."""


class Place(NamedTuple):
    """Where the bytes of a value, or of one of its boxes, lie."""

    file: str
    start: int
    size: int


class Described(NamedTuple):
    """A tensor: its dtype, as PyTorch calls it, its shape, and where its boxes lie. Boxes without elements
    are left out, unless the tensor has none."""

    dtype: str
    shape: tuple[int, ...]
    boxes: Sequence[tuple[Box, Place]]


class Metadata(NamedTuple):
    """The tensors, and the places of objects, by name; `paths` are those of names in the nested dict."""

    values: Mapping[str, Described | Place]
    paths: Mapping[str, tuple[str | int, ...]]


def read(data: memoryview, where: str) -> Metadata:
    """What the pickle says, checked: the boxes of each tensor tile it, and no bytes are used twice.

    Raises IncompatibleError if it asks for anything to be run, and NotReadError if it contradicts itself.
    """
    root = value_of(Machine(data), where, "a pickle", _marked)
    fields = _fields(root, MODULE, "Metadata")
    stored = _stored(fields.get("storage_data"))
    reading = _Reading(stored, 1000 + len(data) // _BYTES)
    values = {}
    for name, value in _named(fields.get("state_dict_metadata"), "state_dict_metadata"):
        if name in values:
            raise NotReadError(f"{quoted(name)} is there twice")
        values[name] = reading.value(name, value)
    _check_places(values)
    return Metadata(values, _paths(fields.get("planner_data")))


def _marked(machine: Machine) -> Inert:
    """Run it, and note the calls that its own classes make: these do nothing but hold data."""
    try:
        return run_whole(machine)
    finally:
        for call in machine.calls:
            if call.function.name in _KNOWN.get(call.function.module, ()):
                call.marks.add("distributed checkpoint")


class _Reading:
    """Values, whose boxes are found among what is stored."""

    def __init__(self, stored: Mapping[tuple[str, str], Place], room: int) -> None:
        self._stored, self._room = stored, room

    def value(self, name: str, value: Inert) -> Described | Place:
        if _is(value, MODULE, "BytesStorageMetadata"):
            return self._place(name, None)
        found = _fields(value, MODULE, "TensorStorageMetadata")
        shape = _sizes(found.get("size"))
        boxes = list[tuple[Box, Place]]()
        for chunk in sequence(found.get("chunks"), f"the boxes of {quoted(name)}"):
            self._room -= 1
            if self._room < 0:
                raise NotReadError("it lists more boxes than it has room for")
            fields = _fields(chunk, MODULE, "ChunkStorageMetadata")
            box = Box(_sizes(fields.get("offsets")), _sizes(fields.get("sizes")))
            if not box.fits(shape):
                raise NotReadError(f"{quoted(name)}: {box} reaches beyond its shape {_shown(shape)}")
            if math.prod(box.sizes) or (not math.prod(shape) and not boxes):
                boxes.append((box, self._place(name, box.offsets)))
        return Described(_dtype(found.get("properties")), shape, _tiling(name, shape, boxes))

    def _place(self, name: str, offsets: tuple[int, ...] | None) -> Place:
        found = self._stored.get((name, _key(offsets)))
        if found is None:
            at = "" if offsets is None else f" its box at {_shown(offsets)},"
            raise NotReadError(f"{quoted(name)}:{at} nothing is stored for it")
        return found


def _tiling(name: str, shape: tuple[int, ...], boxes: list[tuple[Box, Place]]) -> list[tuple[Box, Place]]:
    """The boxes in the order of their offsets. Raises NotReadError unless they tile the tensor."""
    boxes.sort(key=lambda pair: pair[0].offsets)
    found = [box for box, _ in boxes]
    try:
        if not found:
            raise ValueError("it has no box")
        check_boxes(shape, found)
    except ValueError as error:
        held, size = sum(math.prod(box.sizes) for box in found), math.prod(shape)
        each = f"{len(found):,} of them hold {held:,} of its {size:,} elements"
        raise NotReadError(f"{quoted(name)}: {error}; {each}{_overlap(found)}") from None
    return boxes


def _overlap(boxes: Sequence[Box]) -> str:
    """Two boxes that overlap, among the first ones."""
    some = boxes[:_NAMED]
    for at, box in enumerate(some):
        for other in some[:at]:
            if box.cut(other) is not None:
                return f"; {box} and {other} overlap"
    return f"; the first is {boxes[0]}" if boxes else ""


_NAMED = 200


def _check_places(values: Mapping[str, Described | Place]) -> None:
    """Raise NotReadError if bytes are those of two values."""
    used = []
    for name, value in values.items():
        places = [value] if isinstance(value, Place) else [place for _, place in value.boxes]
        used += [(*place, name) for place in places]
    used.sort()
    for (file, start, size, name), (other, next_start, _, again) in pairwise(used):
        if file == other and next_start < start + size:
            raise NotReadError(
                f"{quoted(name)} and {quoted(again)} are stored in the same bytes of {quoted(file)}"
            )


def _stored(value: Inert) -> dict[tuple[str, str], Place]:
    """Where boxes lie, by their names and offsets; of objects, which have no offsets, by that of None."""
    found = dict[tuple[str, str], Place]()
    for index, info in _items(value, "storage_data"):
        key, at = _fields(index, MODULE, "MetadataIndex"), _fields(info, STORED, "_StorageInfo")
        name, offsets = key.get("fqn"), key.get("offset")
        place = Place(at.get("relative_path"), at.get("offset"), at.get("length"))  # type: ignore[arg-type]
        numbers = type(place.start) is int and type(place.size) is int
        if type(name) is not str or type(place.file) is not str or not numbers or min(place[1:]) < 0:
            raise NotReadError("it does not say in which bytes of which file something is stored")
        how = at.get("transform_descriptors")
        if how:
            raise NotReadError(
                f"{quoted(name)} was transformed when it was written, for instance compressed "
                f"({_shown(how)}); load it with PyTorch, and save it without extensions"
            )
        item = name, _key(None if offsets is None else _sizes(offsets))
        if item in found:
            raise NotReadError(f"{quoted(name)} is stored twice at the same place of the tensor")
        found[item] = place
    return found


def _paths(value: Inert) -> dict[str, tuple[str | int, ...]]:
    found = {}
    for name, path in () if value is None else _named(value, "planner_data"):
        if type(path) is not tuple or not path or not all(type(step) in (str, int) for step in path):
            raise NotReadError(f"the path of {quoted(name)} does not consist of names and numbers")
        if type(path[0]) is not str:
            raise NotReadError(f"the path of {quoted(name)} begins with a number")
        found[name] = path
    return found


def _dtype(properties: Inert) -> str:
    known = _is(properties, MODULE, "TensorProperties") or _is(properties, _OLD, "TensorProperties")
    state = properties.state if known else None
    dtype = state[0] if type(state) is tuple and state else None
    if type(dtype) is not Global or dtype.module != "torch":
        raise NotReadError("a tensor has no dtype")
    return dtype.name


def _sizes(value: Inert) -> tuple[int, ...]:
    tensors: Any = registry.family("torch").module("pickles")
    found: Iterable[int] = tensors.integers(value)
    return tuple(found)


def _is(value: Inert, module: str, name: str) -> bool:
    return type(value) is Call and value.function == Global(module, name)


def _fields(value: Inert, module: str, name: str) -> Mapping[str, Any]:
    if not _is(value, module, name):
        raise NotReadError(f"something else stands where {name} should")
    return attributes_of(value)


def _items(value: Inert, what: str) -> list[tuple[Inert, Inert]]:
    if type(value) is not Pairs:
        raise NotReadError(f"{what} is not a dict")
    return value.items


def _named(value: Inert, what: str) -> list[tuple[str, Inert]]:
    found = _items(value, what)
    if not all(type(key) is str for key, _ in found):
        raise NotReadError(f"{what} has keys that are not text")
    return found


def _shown(value: Any) -> str:
    return str([*value] if isinstance(value, tuple) else value)[:80]


def _key(offsets: tuple[int, ...] | None) -> str:
    """Offsets as a text: hashes of numbers from a file could collide, those of texts cannot be foreseen."""
    return str(offsets)
