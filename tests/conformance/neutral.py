# ruff: noqa: E501
"""What a sound file holds, as neutral JSON: README.md says in which form. Made of the file's JSON alone."""

from __future__ import annotations

import base64
import itertools
import json
import math
import struct
from collections.abc import Iterator
from typing import Any

from blake3 import blake3
from pieces import SIZES, utf16

NUMPY = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip
"""The dtype in NumPy's form of an array that is a tensor."""


class File:
    """The tensors of a sound pack, and its manifest."""

    def __init__(self, raw: bytes) -> None:
        start = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:start])
        metadata = header.pop("__metadata__")
        self.manifest = json.loads(metadata["saver.manifest"])
        self.tensors: dict[str, tuple[str, list[int], bytes]] = {}
        for name, slot in header.items():
            begin, end = (start + at for at in slot["data_offsets"])
            self.tensors[name] = slot["dtype"], slot["shape"], raw[begin:end]
        for name, cut in json.loads(metadata["saver"]).get("cuts", {}).items():
            boxes = [(offsets, *self.tensors.pop(shard)) for shard, offsets in cut["shards"].items()]
            self.tensors[name] = boxes[0][1], cut["shape"], joined(cut["shape"], boxes)


def joined(shape: list[int], boxes: list[tuple[list[int], str, list[int], bytes]]) -> bytes:
    """The bytes of a tensor of several shards."""
    size = SIZES[boxes[0][1]]
    found = bytearray(math.prod(shape) * size)
    for offsets, _, sizes, data in boxes:
        for at, index in enumerate(itertools.product(*map(range, sizes))):
            place = number_of([a + i for a, i in zip(offsets, index, strict=True)], shape) * size
            found[place : place + size] = data[at * size : (at + 1) * size]
    return bytes(found)


def number_of(index: list[int], shape: list[int]) -> int:
    found = 0
    for at, axis in zip(index, shape, strict=True):
        found = found * axis + at
    return found


def neutral(raw: bytes) -> dict[str, Any]:
    """What a sound file holds."""
    return described(File(raw))


def described(file: Any) -> dict[str, Any]:
    """The same of anything with `tensors` and a `manifest`."""
    parts = file.manifest["parts"]
    names = sorted(parts, key=utf16)
    names = [names[at] for at in file.manifest["order"]] if "order" in file.manifest else names
    walk = Walk(file.tensors, parts)
    return {
        "verdict": "valid",
        "whole": file.manifest.get("whole", False),
        "parts": [[name, parts[name]["hash"], walk.value(parts[name]["tree"], name)] for name in names],
        "tensors": {
            name: {"dtype": dtype, "shape": shape, "blake3": blake3(data).hexdigest()}
            for name, (dtype, shape, data) in sorted(file.tensors.items())
        },
    }


class Walk:
    def __init__(self, tensors: dict[str, Any], parts: dict[str, Any]) -> None:
        self.tensors, self.nodes, self.met = tensors, {}, set[str]()
        for part, found in parts.items():
            for each in (found["tree"], *found.get("batches", {}).values()):
                self.nodes |= {f"{part}/{node['id']}": (node, part) for node in nodes_in(each)}

    def value(self, tree: Any, part: str) -> Any:
        """A tree as neutral JSON."""
        if tree is None or isinstance(tree, bool):
            return tree
        if isinstance(tree, str):
            return text(tree)
        if isinstance(tree, (int, float)):
            return number(tree)
        if "$float" in tree:
            return number(float(tree["$float"]))
        if "$tensor" in tree:
            return {"tensor": tree["$tensor"]}
        if "$ref" in tree:
            name = f"{tree.get('part', part)}/{tree['$ref']}"
            return {"ref": name} if name in self.met else self.value(*self.nodes[name])
        name = f"{part}/{tree['id']}" if "id" in tree else ""
        if name in self.met:
            return {"ref": name}
        self.met |= {name} if name else set()
        return {**({"id": name} if name else {}), **self.node(tree, part)}

    def node(self, tree: dict[str, Any], part: str) -> dict[str, Any]:
        codec, state = tree["$"], tree.get("state")
        if codec == "int":
            return {"int": str(int(state if isinstance(state, str) else self.bytes(state), 16))}
        if codec == "float":
            return {"float": state}
        if codec == "complex":
            return {"complex": [self.value(item, part)["float"] for item in state]}
        if codec == "str":
            return text(self.bytes(state).decode("utf-8", "surrogatepass"), always=True)
        if codec in ("bytes", "bytearray"):
            return {codec: self.bytes(state).hex()}
        if codec in ("list", "tuple", "set", "frozenset"):
            return {codec: self.run(state, part)}
        if codec == "dict":
            return {"dict": self.items(state, part)}
        if codec in ("range", "slice"):
            return {codec: [self.value(item, part) for item in state]}
        if codec == "singleton":
            return {"singleton": state}
        plain = codec == "numpy.array" and ("$tensor" in state or isinstance(state.get("dtype"), str))
        if plain and ("$tensor" in state or "data" in state):
            return {"array": self.array(state)}
        found = {"node": codec, "class": tree.get("class"), "v": tree.get("v", 1)}
        return found | {"state": self.state(state, part)}

    def state(self, state: Any, part: str) -> Any:
        """Any JSON of a state."""
        if isinstance(state, list):
            return {"items": [self.state(item, part) for item in state]}
        marks = ("$", "$ref", "$tensor", "$float")
        if not isinstance(state, dict) or any(mark in state for mark in marks):
            return self.value(state, part)
        return {"object": [[text(key), self.state(item, part)] for key, item in ordered(state)]}

    def bytes(self, state: Any) -> bytes:
        return base64.b64decode(state) if isinstance(state, str) else self.tensors[state["$tensor"]][2]

    def run(self, state: Any, part: str) -> list[Any]:
        if isinstance(state, list):
            return [self.value(item, part) for item in state]
        if "str" in state:
            data, ends = self.bytes(state["str"]), self.column(state["ends"], "<q")
            starts = [0, *ends[:-1]]
            return [
                text(data[a:b].decode("utf-8", "surrogatepass")) for a, b in zip(starts, ends, strict=True)
            ]
        ((kind, tensor),) = state.items()
        if kind == "bool":
            return list(map(bool, self.bytes(tensor)))
        return [number(each) for each in self.column(tensor, "<d" if kind == "float" else "<q")]

    def column(self, tensor: Any, form: str) -> list[Any]:
        return [each for (each,) in struct.iter_unpack(form, self.bytes(tensor))]

    def items(self, state: Any, part: str) -> list[list[Any]]:
        if isinstance(state, dict):
            return [[text(key), self.value(item, part)] for key, item in ordered(state)]
        return [list(pair) for pair in zip(self.run(state[0], part), self.run(state[1], part), strict=True)]

    def array(self, state: Any) -> dict[str, Any]:
        if "$tensor" in state:
            dtype, shape, data = self.tensors[state["$tensor"]]
            return {"dtype": NUMPY[dtype], "shape": shape, "hex": data.hex()}
        stored, data = state["shape"], self.bytes(state["data"])
        order = state.get("order", list(range(len(stored))))
        order = list(reversed(range(len(stored)))) if order == "F" else order
        shape = [stored[order.index(axis)] for axis in range(len(stored))]
        return {"dtype": state["dtype"], "shape": shape, "hex": transposed(shape, order, data).hex()}


def transposed(shape: list[int], order: list[int], data: bytes) -> bytes:
    """The elements in C order, from those with the axes in another order."""
    count = math.prod(shape)
    if not count or order == list(range(len(shape))):
        return data
    size, found = len(data) // count, b""
    for index in itertools.product(*map(range, shape)):
        at = number_of([index[axis] for axis in order], [shape[axis] for axis in order]) * size
        found += data[at : at + size]
    return found


def ordered(state: dict[str, Any]) -> list[tuple[str, Any]]:
    """The items of an object in their order."""
    names = sorted((key for key in state if key != "$order"), key=utf16)
    names = [names[at] for at in state["$order"]] if "$order" in state else names
    return [(name, state[name]) for name in names]


def nodes_in(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict) and "$" in tree and "id" in tree:
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nodes_in(item)


def number(value: float) -> dict[str, str]:
    if isinstance(value, int):
        return {"int": str(value)}
    return {"float": struct.pack(">d", value).hex()}


def text(value: str, always: bool = False) -> Any:
    """A string: itself; if it has lone surrogates, its bytes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"str": value.encode("utf-8", "surrogatepass").hex()}
    return {"str": value.encode().hex()} if always else value
