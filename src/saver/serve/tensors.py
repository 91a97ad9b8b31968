"""Tensors of the Open Inference Protocol, version 2, with its extension for binary data: to arrays and back.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from saver.schema import Field, to_rows
from saver.serve.channel import Arrays
from saver.serve.refusals import Refusal, shown

DATATYPES = {
    "BOOL": "|b1", "UINT8": "|u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "|i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_NAMES = {np.dtype(text): name for name, text in DATATYPES.items()}
AXES = 16
_SIZE = struct.Struct("<I")

Nested = dict[str, Any]


def datatype(field: Field) -> str:
    """What the protocol calls the dtype of a field: texts and times are BYTES."""
    return "BYTES" if field.kind in ("str", "time", "other") else _NAMES[field.plain]


def described(field: Field) -> dict[str, Any]:
    """A field, as the metadata of a model have it."""
    shape = [-1 if size is None else size for size in field.shape]
    return {"name": field.name, "datatype": datatype(field), "shape": shape}


def split(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    """The JSON of a body, and the binary data behind it, by the header Inference-Header-Content-Length."""
    if length is None:
        return body, b""
    if not length.isdecimal() or len(length) > 18 or int(length) > len(body):
        raise Refusal("bad-tensor", "Inference-Header-Content-Length is not a number of bytes of the body")
    return body[: int(length)], body[int(length) :]


def read_inputs(request: Any, binary: bytes, rows: int) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of a request. Raises Refusal, which names the tensor."""
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list) or not inputs or not all(isinstance(each, dict) for each in inputs):
        raise Refusal("bad-tensor", 'a request has "inputs", a list of tensors')
    found: dict[str, np.ndarray[Any, Any]] = {}
    at = 0
    for tensor in inputs:
        name = tensor.get("name")
        if not isinstance(name, str) or name in found:
            raise Refusal("bad-tensor", f"each input needs a name of its own, not {shown(name)}")
        shape = _shape(tensor, name, rows)
        size = _parameters(tensor, name).get("binary_data_size")
        if size is None:
            found[name] = _of_json(tensor, name, shape)
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - at or "data" in tensor:
            raise Refusal("bad-tensor", f"input {shown(name)}: binary_data_size does not fit the body")
        found[name] = _of_bytes(binary[at : at + size], tensor.get("datatype"), name, shape)
        at += size
    if at != len(binary):
        raise Refusal("bad-tensor", f"{len(binary) - at} bytes of the body belong to no input")
    return found


def _parameters(of: Nested, name: str) -> Nested:
    found = of.get("parameters", {})
    if not isinstance(found, dict):
        raise Refusal("bad-tensor", f"{shown(name)}: parameters are an object, not {shown(found)}")
    return found


def _shape(tensor: Nested, name: str, rows: int) -> tuple[int, ...]:
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= AXES
        or not all(type(size) is int and 0 <= size < 1 << 40 for size in shape)
    ):
        raise Refusal("bad-tensor", f"input {shown(name)}: the shape is a list of sizes, not {shown(shape)}")
    if shape[0] > rows:
        raise Refusal(
            "too-many-rows", f"input {shown(name)} has {shape[0]} rows; {rows} are served at a time"
        )
    return tuple(shape)


def _dtype(kind: object, name: str) -> np.dtype[Any]:
    if not isinstance(kind, str) or kind not in DATATYPES:
        there = ", ".join([*DATATYPES, "BYTES"])
        raise Refusal("bad-tensor", f"input {shown(name)}: the datatype is one of {there}, not {shown(kind)}")
    return np.dtype(DATATYPES[kind])


def _of_json(tensor: Nested, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    data, kind = tensor.get("data"), tensor.get("datatype")
    if isinstance(data, list) and data and isinstance(data[0], list):
        data = _flat(data, shape, name)
    if not isinstance(data, list) or len(data) != math.prod(shape):
        size = f"{len(data)} values" if isinstance(data, list) else shown(data)
        raise Refusal("bad-tensor", f"input {shown(name)}: wanted {math.prod(shape)} values, {size} came")
    allowed: set[type] = {str} if kind == "BYTES" else {bool} if kind == "BOOL" else {int}
    if isinstance(kind, str) and kind.startswith("FP"):
        allowed |= {float}
    if kind != "BYTES" and _dtype(kind, name).kind in "iu":
        data = [0 if type(each) is float and each == 0 else each for each in data]  # -0, see decode_json
    strange = next((each for each in data if type(each) not in allowed), None)
    if not {*map(type, data)} <= allowed:
        raise Refusal("bad-tensor", f"input {shown(name)}: {shown(strange)} is not of the datatype {kind}")
    if kind == "BYTES":
        found = np.empty(len(data), object)
        found[:] = data
        return found.reshape(shape)
    return _numbers(data, _dtype(kind, name), name).reshape(shape)


def _numbers(data: list[Any], dtype: np.dtype[Any], name: str) -> np.ndarray[Any, Any]:
    """Numbers as an array. Raises Refusal for one that is too large, and for a whole one that is rounded."""
    try:
        with np.errstate(over="raise"):
            found = np.array(data, dtype)
    except (OverflowError, FloatingPointError):
        raise Refusal(
            "bad-tensor", f"input {shown(name)}: a number is too large for {_NAMES[dtype]}"
        ) from None
    if dtype.kind == "f" and int in {*map(type, data)}:
        pairs = zip(data, found.tolist(), strict=True)
        rounded = next((each for each, kept in pairs if type(each) is int and each != kept), None)
        if rounded is not None:
            raise Refusal(
                "bad-tensor", f"input {shown(name)}: {_NAMES[dtype]} does not hold {shown(rounded)} exactly"
            )
    return found


def _flat(data: list[Any], shape: tuple[int, ...], name: str) -> list[Any]:
    """The values of nested lists, which must have the shape at every axis."""
    inner: list[Any] = [data]
    for size in shape:
        if not all(isinstance(each, list) and len(each) == size for each in inner):
            raise Refusal("bad-tensor", f"input {shown(name)}: its lists do not have the shape {[*shape]}")
        inner = list(chain.from_iterable(inner))
    return inner


def _of_bytes(data: bytes, kind: object, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    count = math.prod(shape)
    if kind == "BYTES":
        return _texts(data, count, name).reshape(shape)
    dtype = _dtype(kind, name)
    if count * dtype.itemsize != len(data):
        wanted = count * dtype.itemsize
        raise Refusal("bad-tensor", f"input {shown(name)}: wanted {wanted} bytes, {len(data)} came")
    if kind == "BOOL" and data.strip(b"\0\1"):
        raise Refusal("bad-tensor", f"input {shown(name)}: a byte of BOOL is 0 or 1")
    return np.frombuffer(data, dtype).reshape(shape)


def _texts(data: bytes, count: int, name: str) -> np.ndarray[Any, Any]:
    """Elements of BYTES, each behind its length, as UTF-8."""
    found: list[str] = []
    at = 0
    try:
        while at < len(data):
            (size,) = _SIZE.unpack_from(data, at)
            at += _SIZE.size
            if at + size > len(data) or len(found) == count:
                raise ValueError
            found.append(data[at : at + size].decode())
            at += size
        if len(found) != count:
            raise ValueError
    except (struct.error, ValueError):
        raise Refusal("bad-tensor", f"input {shown(name)}: the binary data are not {count} texts") from None
    array = np.empty(count, object)
    array[:] = found
    return array


def fitted(arrays: Arrays, fields: tuple[Field, ...]) -> dict[str, np.ndarray[Any, Any]]:
    """Tensors as fields have them: a column may come with the shape [rows, 1]."""
    axes = {field.name: len(field.shape) for field in fields}
    return {
        name: array[:, 0] if array.ndim == 2 and array.shape[1] == 1 and axes.get(name) == 1 else array
        for name, array in arrays.items()
    }


def wanted_outputs(request: Nested, names: tuple[str, ...]) -> tuple[dict[str, bool], bool]:
    """Which outputs a request names, each with whether it wants it binary; and whether it named any."""
    binary = _parameters(request, "the request").get("binary_data_output", False)
    outputs = request.get("outputs")
    if outputs is None or outputs == []:
        return dict.fromkeys(names, binary is True), False
    if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
        raise Refusal("bad-tensor", '"outputs" is a list of objects with a name')
    found: dict[str, bool] = {}
    for each in outputs:
        name = each.get("name")
        if name not in names or name in found:
            there = ", ".join(names)
            raise Refusal("bad-tensor", f"there is no output {shown(name)}, or twice; there are {there}")
        found[name] = _parameters(each, name).get("binary_data", binary) is True
    return found, True


def write_outputs(head: Nested, outputs: Arrays, binary: Mapping[str, bool]) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON if binary data follow."""
    tensors, behind = [], []
    for name, array in outputs.items():
        plain = _plain(array)
        tensor: Nested = {"name": name, "shape": list(plain.shape), "datatype": _kind(plain)}
        if binary.get(name):
            data = _binary(plain)
            tensor["parameters"] = {"binary_data_size": len(data)}
            behind.append(data)
        else:
            tensor["data"] = plain.ravel().tolist()
        tensors.append(tensor)
    json = msgspec.json.encode({**head, "outputs": tensors})
    return b"".join((json, *behind)), len(json) if behind else None


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An output in a dtype that the protocol has: times and everything else as texts."""
    if array.dtype.newbyteorder("<") in _NAMES:
        return array.astype(array.dtype.newbyteorder("<"), copy=False)
    texts = np.empty(array.size, object)
    texts[:] = ["" if row["x"] is None else str(row["x"]) for row in to_rows({"x": array.ravel()})]
    return texts.reshape(array.shape)


def _kind(array: np.ndarray[Any, Any]) -> str:
    return "BYTES" if array.dtype == object else _NAMES[array.dtype]


def _binary(array: np.ndarray[Any, Any]) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    texts = [each.encode() for each in array.ravel().tolist()]
    return b"".join(part for text in texts for part in (_SIZE.pack(len(text)), text))
