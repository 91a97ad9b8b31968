"""The messages of ONNX, cut into what is large and the rest, and put together again to the same bytes.

Specification: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from saver.errors import quoted
from saver.format import Beside
from saver.formats._opening import AXES
from saver.protobuf import Field, Malformed, encoded, fields, integer, spans, text, varint
from saver.storage import Blob
from saver.tensors import ITEM_SIZE

LARGE = 1024
"""Weights of at least this many bytes are tensors; smaller ones stay in the message."""

DTYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64",
    12: "U32", 13: "U64",
}  # fmt: skip
"""By the numbers of ONNX, the dtypes of weights that become tensors. Others stay in the message."""

HOLDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""The messages that lead to tensors, and the fields that hold them."""

_DEPTH = 100
"""Messages in messages, as many as the libraries of protocol buffers read."""

ALIGNED = 64
_GRAPH, _INITIALIZER = b"\x3a", b"\x2a"
_RAW, _EXTERNAL, _LOCATION = 9, 13, 14


class Weight(NamedTuple):
    """Bytes of a tensor, where they lie."""

    dtype: str
    shape: tuple[int, ...]
    blob: Blob
    start: int
    length: int


class Cut(NamedTuple):
    """A model without its large weights, which are given by their numbers among the initializers."""

    message: bytes | None
    """None if it is the whole file."""
    weights: dict[int, Weight]


class _Tensor(NamedTuple):
    name: str
    dtype: int
    dims: tuple[int, ...]
    fields: list[Field]
    external: dict[str, str]
    elsewhere: bool

    @property
    def raw(self) -> list[Field]:
        return [field for field in self.fields if field.number == _RAW]

    @property
    def length(self) -> int:
        """The bytes that the shape needs."""
        return math.prod(self.dims) * ITEM_SIZE[DTYPES[self.dtype]]


def cut(blob: Blob, beside: Beside | None) -> Cut:
    """Cut the model in a file, checked: every tensor has the bytes that its shape needs, and none lies in
    another file, except for weights of the model itself in files of the same folder. Raises ValueError."""
    data = blob.map().data
    graphs = [field for field in spans(data, 0, len(data)) if field.number == 7]
    if not graphs:
        raise Malformed("it has no graph")
    sole = graphs[0] if len(graphs) == 1 and graphs[0].kind == 2 else None
    places = [each for each in spans(data, sole.start, sole.end) if each.number == 5] if sole else []
    own = {field.start: number for number, field in enumerate(places)}
    files = _Files(beside)
    weights, changed = dict[int, Weight](), dict[int, bytes]()
    for start, end in _tensors(data):
        tensor = _tensor(data, start, end)
        number = own.get(start)
        if tensor.elsewhere:
            if number is None:
                raise Malformed(f"the tensor {quoted(tensor.name)} in a node lies in a file of its own")
            weights[number] = files.weight(tensor)
            changed[number] = _without(data, tensor, {_RAW, _EXTERNAL, _LOCATION}) + b"\x70\x00"
        elif number is not None and sole is not None and _is_cut(data, sole, places[number], tensor):
            (raw,) = tensor.raw
            weights[number] = Weight(DTYPES[tensor.dtype], tensor.dims, blob, raw.start, raw.end - raw.start)
            changed[number] = _without(data, tensor, {_RAW})
    if sole is None or not changed:
        return Cut(None, {})
    return Cut(_rebuilt(data, sole, places, changed), weights)


def _tensors(data: memoryview) -> Iterator[tuple[int, int]]:
    """Where every tensor in a model lies, at any depth."""
    waiting = [("model", 0, len(data), 0)]
    while waiting:
        kind, at, end, depth = waiting.pop()
        if kind == "tensor":
            yield at, end
            continue
        if depth > _DEPTH:
            raise Malformed("its graphs are nested too deep")
        inner = HOLDS[kind]
        for field in spans(data, at, end):
            if field.number in inner:
                if field.kind != 2:
                    raise Malformed(f"a number where a {inner[field.number]} is expected")
                waiting.append((inner[field.number], field.start, field.end, depth + 1))


def _tensor(data: memoryview, start: int, end: int) -> _Tensor:
    """A tensor. Raises ValueError unless it has the bytes that its shape needs."""
    found, dims, entries = list(spans(data, start, end)), list[int](), dict[str, str]()
    name, dtype, elsewhere = "", 0, False
    for number, kind, _, at, stop in found:
        if number == 1:
            ends = stop if kind == 2 else at + 1
            while at < ends:
                size, at = varint(data, at)
                dims.append(integer(size))
        elif number == 2 and kind == 0:
            dtype = varint(data, at)[0]
        elif number == 8:
            name = bytes(data[at:stop]).decode(errors="replace")
        elif number == _EXTERNAL:
            pair = {key: text(value) for key, value in fields(data[at:stop])}
            entries[pair.get(1, "")] = pair.get(2, "")
            elsewhere = True
        elif number == _LOCATION and kind == 0:
            elsewhere = elsewhere or varint(data, at)[0] == 1
    if len(dims) > AXES or any(size < 0 for size in dims):
        raise Malformed(f"the tensor {quoted(name)} has the shape {str(dims)[:80]}")
    tensor = _Tensor(name, dtype, tuple(dims), found, entries, elsewhere)
    for raw in tensor.raw:
        size = raw.end - raw.start
        if dtype in DTYPES and size != tensor.length and not elsewhere:
            raise Malformed(f"the tensor {quoted(name)} has {size:,} bytes, not {tensor.length:,}")
    return tensor


def _is_cut(data: memoryview, graph: Field, place: Field, tensor: _Tensor) -> bool:
    """Whether its bytes are to be a tensor of their own: it is large, and putting them back where they belong
    makes the same file."""
    raw = tensor.raw
    if len(raw) != 1 or raw[0].end - raw[0].start < LARGE or tensor.dtype not in DTYPES:
        return False
    at = tensor.fields.index(raw[0])
    return (
        all(field.number < _RAW for field in tensor.fields[:at])
        and all(field.number > _RAW for field in tensor.fields[at + 1 :])
        and all(
            bytes(data[each.begin : each.start]) == tag + encoded(each.end - each.start)
            for tag, each in ((b"\x4a", raw[0]), (_INITIALIZER, place), (_GRAPH, graph))
        )
    )


def _without(data: memoryview, tensor: _Tensor, numbers: set[int]) -> bytes:
    return b"".join(data[each.begin : each.end] for each in tensor.fields if each.number not in numbers)


def _rebuilt(data: memoryview, graph: Field, places: list[Field], changed: Mapping[int, bytes]) -> bytes:
    """The model with other initializers."""
    body, at = bytearray(), graph.start
    for number, tensor in sorted(changed.items()):
        body += data[at : places[number].begin]
        body += _INITIALIZER + encoded(len(tensor)) + tensor
        at = places[number].end
    body += data[at : graph.end]
    return b"".join((data[: graph.begin], _GRAPH, encoded(len(body)), body, data[graph.end :]))


class _Files:
    """The files beside a model in which its weights lie. None of their bytes belongs to two weights, so that
    a small model cannot ask for the same ones again and again."""

    def __init__(self, beside: Beside | None) -> None:
        self._beside, self._open, self._taken = beside, dict[str, Blob](), dict[str, int]()

    def weight(self, tensor: _Tensor) -> Weight:
        told = f"the tensor {quoted(tensor.name)} lies in a file of its own"
        if self._beside is None:
            raise Malformed(f"{told}; pass the path of the model, whose folder has it")
        if tensor.dtype not in DTYPES:
            raise Malformed(f"{told}, and has a type that Saver reads in the model alone")
        name = tensor.external.get("location", "")
        if name not in self._open:
            self._open[name] = self._beside(name)
        blob, length = self._open[name], tensor.length
        start = _number(tensor.external.get("offset", "0"))
        if _number(tensor.external.get("length", str(length))) != length or start + length > blob.size:
            raise Malformed(f"{told}, which does not have the {length:,} bytes of its shape")
        self._taken[name] = self._taken.get(name, 0) + length
        if self._taken[name] > blob.size:
            raise Malformed(f"{told}, whose bytes other tensors have, too")
        return Weight(DTYPES[tensor.dtype], tensor.dims, blob, start, length)


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        raise Malformed(f"{quoted(digits)} is not a place in a file")
    return int(digits)


def joined(whole: bytes, lengths: Mapping[int, int], data: str = "") -> list[bytes | int]:
    """The pieces of the model whose message is `whole`: bytes, and the numbers of the weights whose bytes
    belong there. With `data`, they are in a file of this name instead, each at a multiple of `ALIGNED`.

    Raises ValueError unless each weight has a place, where no bytes are yet.
    """
    view = memoryview(whole)
    if not lengths:
        return [whole]
    (graph,) = [field for field in spans(view, 0, len(view)) if field.number == 7]
    places = [each for each in spans(view, graph.start, graph.end) if each.number == 5]
    if any(number >= len(places) for number in lengths):
        raise Malformed("it has weights without a place")
    pieces, size, at, offset = list[bytes | int](), 0, graph.start, 0
    for number, length in sorted(lengths.items()):
        place = places[number]
        tensor = _tensor(view, place.start, place.end)
        if tensor.raw or tensor.elsewhere:
            raise Malformed(f"the weight {number} has two places")
        if data:
            rest = _without(view, tensor, {_LOCATION})
            inner: list[bytes | int] = [rest + _elsewhere(data, offset, length)]
            offset += length + -length % ALIGNED
        else:
            middle = next((each.begin for each in tensor.fields if each.number > _RAW), place.end)
            before, after = bytes(view[place.start : middle]), bytes(view[middle : place.end])
            inner = [before + b"\x4a" + encoded(length), number, after]
        total = sum(length if isinstance(each, int) else len(each) for each in inner)
        head = bytes(view[at : place.begin]) + _INITIALIZER + encoded(total)
        pieces += [head, *inner]
        size += len(head) + total
        at = place.end
    end = bytes(view[at : graph.end])
    start = bytes(view[: graph.begin]) + _GRAPH + encoded(size + len(end))
    return [start, *pieces, end + bytes(view[graph.end :])]


def _elsewhere(name: str, offset: int, length: int) -> bytes:
    """The fields of a tensor that lies in another file."""
    found = b""
    for key, value in (("location", name), ("offset", str(offset)), ("length", str(length))):
        pair = b"".join(
            tag + encoded(len(part)) + part
            for tag, part in ((b"\x0a", key.encode()), (b"\x12", value.encode()))
        )
        found += b"\x6a" + encoded(len(pair)) + pair
    return found + b"\x70\x01"


def is_model(data: memoryview) -> bool:
    """Whether these bytes could be a model, as its outermost fields are."""
    seen = set[int]()
    try:
        for field in spans(data, 0, len(data)):
            if field.number == 0 or _KINDS.get(field.number, field.kind) != field.kind:
                return False
            if field.number == 1 and field.number in seen:
                return False
            seen.add(field.number)
    except Malformed:
        return False
    return {1, 7} <= seen


_KINDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
