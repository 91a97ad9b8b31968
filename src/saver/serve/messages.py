"""Messages of the Open Inference Protocol over gRPC: the requests of HTTP that they stand for, and back.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from saver.protobuf import (
    Malformed,
    Value,
    encoded,
    fields,
    integer,
    message,
    packed,
    spans,
    text,
    varint,
    varints,
)
from saver.serve.refusals import Refusal, shown
from saver.serve.tensors import AXES, DATATYPES

CONTENTS = {
    "BOOL": 1, "INT8": 2, "INT16": 2, "INT32": 2, "INT64": 3, "UINT8": 4, "UINT16": 4, "UINT32": 4,
    "UINT64": 5, "FP32": 6, "FP64": 7, "BYTES": 8,
}  # fmt: skip
"""The field of typed contents for each datatype; FP16 has none, and comes as raw contents."""
SINGLE = 10_000
"""Numbers of one tensor that may come one by one. All encoders pack them."""
FIELDS = 20_000
"""Fields of one message: those of a request, or of one tensor in it. Each costs memory beyond its bytes."""
_SIZE = struct.Struct("<I")


class Infer(msgspec.Struct, frozen=True):
    """A request for an inference, as HTTP has it: `head` is its JSON, `binary` what follows. `raw` says
    whether the tensors came as raw contents, and so go back."""

    name: str
    version: str
    head: dict[str, Any]
    binary: bytes
    raw: bool


def read_infer(data: bytes) -> Infer:
    """A ModelInferRequest. Raises Refusal."""
    with _parsing():
        return _infer(memoryview(data))


def _infer(data: memoryview) -> Infer:
    name = version = id = ""
    inputs, outputs, raws = list[memoryview](), list[dict[str, Any]](), list[memoryview]()
    for number, value in _some(data):
        match number:
            case 1:
                name = text(value)
            case 2:
                version = text(value)
            case 3:
                id = text(value)
            case 5:
                inputs.append(message(value))
            case 6:
                outputs.append({"name": _first_text(message(value))})
            case 7:
                raws.append(message(value))
    if raws and len(raws) != len(inputs):
        raise Refusal("bad-tensor", f"{len(inputs)} inputs, and raw contents for {len(raws)} of them")
    read = [_tensor(each, raws[at] if raws else None) for at, each in enumerate(inputs)]
    head: dict[str, Any] = {"inputs": [each for each, _ in read], "parameters": {"binary_data_output": True}}
    if id:
        head["id"] = id
    if outputs:
        head["outputs"] = outputs
    return Infer(name, version, head, b"".join(each for _, each in read), bool(raws))


def read_named(data: bytes) -> tuple[str, str]:
    """The two texts with which a message begins: the name of a model and its version. Raises Refusal."""
    found = {1: "", 2: ""}
    with _parsing():
        for number, value in _some(memoryview(data)):
            if number in found:
                found[number] = text(value)
    return found[1], found[2]


@contextmanager
def _parsing() -> Iterator[None]:
    try:
        yield
    except Malformed as error:
        raise Refusal("bad-request", f"the message is not one of the protocol: {error}") from None


def _some(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field, of a bounded number."""
    for count, found in enumerate(fields(data)):
        if count == FIELDS:
            raise Malformed(f"it has more than {FIELDS} fields")
        yield found


def _first_text(data: memoryview) -> str:
    found = [value for number, value in _some(data) if number == 1]
    return text(found[-1]) if found else ""


def _tensor(data: memoryview, raw: memoryview | None) -> tuple[dict[str, Any], bytes]:
    """An input as JSON describes it, and its values as binary data."""
    name = kind = ""
    shape, contents = list[int](), list[memoryview]()
    for number, value in _some(data):
        match number:
            case 1:
                name = text(value)
            case 2:
                kind = text(value)
            case 3 if isinstance(value, int):
                shape.append(integer(value))
            case 3:
                shape += varints(message(value)[: AXES * 10]).view(np.int64).tolist()
            case 5:
                contents.append(message(value))  # of messages that come in pieces, the fields add up
        if len(shape) > AXES:
            raise Refusal("bad-tensor", f"input {shown(name)}: a tensor has {AXES} axes at most")
    if raw is not None and contents:
        raise Refusal("bad-tensor", f"input {shown(name)} has both raw and typed contents")
    binary = bytes(raw) if raw is not None else _values(memoryview(b"".join(contents)), kind, name)
    described = {"name": name, "datatype": kind, "shape": shape}
    return {**described, "parameters": {"binary_data_size": len(binary)}}, binary


def _values(contents: memoryview, kind: str, name: str) -> bytes:
    """Typed contents as binary data."""
    field = CONTENTS.get(kind)
    if field is None:
        raise Refusal("bad-tensor", f"input {shown(name)}: {shown(kind)} comes in raw_input_contents only")
    if kind == "BYTES":
        return _texts(contents, name)
    width = {6: 4, 7: 8}.get(field, 0)
    pieces, single = [], 0
    for number, wire, _, start, end in spans(contents, 0, len(contents)):
        if number != field:
            raise Refusal("bad-tensor", f"input {shown(name)}: its values are not those of {kind}")
        single += wire != 2
        if single > SINGLE:
            raise Refusal("bad-tensor", f"input {shown(name)}: pack its values, as proto3 does")
        pieces.append(contents[start:end])
    data = b"".join(pieces)
    if width:
        return data
    return _integers(varints(memoryview(data)), kind, name)


def _integers(numbers: np.ndarray[Any, Any], kind: str, name: str) -> bytes:
    dtype = np.dtype(DATATYPES[kind])
    wide = numbers if dtype.kind == "u" else numbers.view(np.int64)
    if dtype.kind == "b":
        low, high = 0, 1
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if len(wide) and not (low <= int(wide.min()) and int(wide.max()) <= high):
        raise Refusal("bad-tensor", f"input {shown(name)}: a number is too large for {kind}")
    return wide.astype(dtype).tobytes()


def _texts(contents: memoryview, name: str) -> bytes:
    """Elements of BYTES, each behind its length."""
    found, at, end = bytearray(), 0, len(contents)
    while at < end:
        if contents[at] != 0x42:  # field 8, of bytes
            raise Refusal("bad-tensor", f"input {shown(name)}: its values are not those of BYTES")
        length, start = varint(contents, at + 1)
        at = start + length
        if at > end:
            raise Malformed("a text is cut off")
        found += _SIZE.pack(length)
        found += contents[start:at]
    return bytes(found)


# Answers


def field(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return encoded(number << 3 | 2) + encoded(len(data)) + data


def texts(number: int, *values: str) -> bytes:
    """A field of text, once for each value."""
    return b"".join(field(number, value.encode()) for value in values)


def flag(value: bool) -> bytes:
    """A message whose first field says yes or no."""
    return b"\x08\x01" if value else b""


def write_infer(head: dict[str, Any], binary: bytes, raw: bool) -> bytes:
    """A ModelInferResponse from the answer of HTTP: the JSON, and the binary data that follow it."""
    pieces = [texts(1, head["model_name"]), texts(2, head["model_version"])]
    if head.get("id"):
        pieces.append(texts(3, head["id"]))
    at, behind = 0, []
    for each in head["outputs"]:
        size = each["parameters"]["binary_data_size"]
        data, at = binary[at : at + size], at + size
        tensor = texts(1, each["name"]) + texts(2, each["datatype"]) + field(3, _shape(each["shape"]))
        if raw or each["datatype"] not in CONTENTS:
            behind.append(data)
        else:
            tensor += field(5, _typed(data, each["datatype"]))
        pieces.append(field(5, tensor))
    return b"".join([*pieces, *(field(6, data) for data in behind)])


def _shape(shape: list[int]) -> bytes:
    return packed(np.array(shape, np.int64).view(np.uint64))


def _typed(data: bytes, kind: str) -> bytes:
    """Binary data as typed contents."""
    number = CONTENTS[kind]
    if kind == "BYTES":
        found, at = [], 0
        while at < len(data):
            (length,) = _SIZE.unpack_from(data, at)
            found.append(field(number, data[at + 4 : at + 4 + length]))
            at += 4 + length
        return b"".join(found)
    if kind.startswith("FP"):
        return field(number, data)
    array = np.frombuffer(data, DATATYPES[kind])
    wide = array.astype(np.int64).view(np.uint64) if array.dtype.kind == "i" else array.astype(np.uint64)
    return field(number, packed(wide))


def write_metadata(found: dict[str, Any]) -> bytes:
    """A ModelMetadataResponse."""
    pieces = [texts(1, found["name"]), texts(2, *found["versions"]), texts(3, found["platform"])]
    for number, key in ((4, "inputs"), (5, "outputs")):
        for each in found[key]:
            tensor = texts(1, each["name"]) + texts(2, each["datatype"]) + field(3, _shape(each["shape"]))
            pieces.append(field(number, tensor))
    return b"".join(pieces)


def write_server(found: dict[str, Any]) -> bytes:
    """A ServerMetadataResponse."""
    return texts(1, found["name"]) + texts(2, found["version"]) + texts(3, *found["extensions"])


def write_index(found: list[dict[str, str]]) -> bytes:
    """A RepositoryIndexResponse."""
    return b"".join(
        field(1, texts(1, each["name"]) + texts(2, each["version"]) + texts(3, each["state"]))
        for each in found
    )
