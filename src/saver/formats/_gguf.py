"""The types and the encoding of GGUF's metadata.

Specification: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

import numpy as np

from saver.opened import Opened
from saver.storage import Blob
from saver.tree import Node, Value, encodable

MAGIC = b"GGUF"
TENSORS = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}
"""Types of tensors that are stored as one number after another."""

BLOCKS = {
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
"""Quantized types: the name, the numbers in a block, and its bytes."""

SCALARS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
"""Types of numbers in the metadata; the others are flags, texts and arrays."""

_FLAG, _TEXT, _ARRAY = 7, 8, 9
_DEPTH = 4
"""How deeply arrays may lie in arrays."""


class Typed(NamedTuple):
    """A value of the metadata: the number of its type, and the value; of an array, the type of its items
    and `Typed` items, or the bytes of numbers."""

    kind: int
    value: Any
    inner: int = 0

    @classmethod
    def of(cls, value: Any, opened: Opened, depth: int = 0) -> Typed | None:
        """A value of a tree that `Cursor.value` made; None for another one."""
        if type(value) is bool:
            return cls(_FLAG, value)
        if type(value) is str:
            return cls(_TEXT, value) if encodable(value) else None
        if type(value) is not Node or depth > _DEPTH:
            return None
        state = value.state
        if value.codec == "numpy.scalar" and type(state) is list and len(state) == 2:
            kind = _KINDS.get(_code(state[0]))
            raw = _scalar(state) if kind is not None else None
            return None if kind is None or raw is None else cls(kind, raw)
        if value.codec == "numpy.array" and type(state) is dict and type(state.get("data")) is str:
            kind = _KINDS.get(_code(state.get("dtype")))
            return None if kind is None else cls(_ARRAY, b64decode(state["data"]), kind)
        if value.codec == "list" and type(state) is list:
            items = [cls.of(item, opened, depth + 1) for item in state]
            kinds = {None if item is None else item.kind for item in items} or {_TEXT}
            return None if len(kinds) > 1 or None in kinds else cls(_ARRAY, items, kinds.pop() or 0)
        return None


def _code(dtype: Any) -> str:
    """A dtype with its byte order, also for single bytes."""
    text = dtype if type(dtype) is str else ""
    return text.replace("|", "<")


_KINDS = {code: kind for kind, code in SCALARS.items()}


def _scalar(state: list[Any]) -> bytes | None:
    """The bytes of a NumPy scalar, as trees hold it."""
    if type(state[1]) is str:
        return b64decode(state[1])
    return None if type(state[1]) not in (int, float) else np.array(state[1], state[0]).tobytes()


def encoded_text(text: str) -> bytes:
    """A text with its length before it."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def encoded_pair(key: str, value: Typed) -> bytes:
    """A key and its value."""
    return encoded_text(key) + struct.pack("<I", value.kind) + _encoded(value)


def _encoded(value: Typed) -> bytes:
    if value.kind == _TEXT:
        return encoded_text(value.value)
    if value.kind == _FLAG:
        return bytes((value.value,))
    if value.kind != _ARRAY:
        return bytes(value.value)
    if isinstance(value.value, bytes):
        count = len(value.value) // np.dtype(SCALARS[value.inner]).itemsize
        return struct.pack("<IQ", value.inner, count) + value.value
    return struct.pack("<IQ", value.inner, len(value.value)) + b"".join(map(_encoded, value.value))


class Cursor:
    """Reads the head of a file, from behind the magic number on. Raises ValueError where it ends too soon."""

    def __init__(self, blob: Blob) -> None:
        self.at = len(MAGIC)
        self._blob, self._map = blob, blob.map()

    def take(self, length: int) -> bytes:
        """The next bytes."""
        if not 0 <= length <= self._blob.size - self.at:
            raise ValueError("it is cut off")
        self.at += length
        return self._map[self.at - length : self.at].tobytes()

    def unpack(self, form: str) -> tuple[Any, ...]:
        """The next numbers."""
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def check(self, count: int, least: int) -> None:
        """Raise ValueError unless so many things, each with at least so many bytes, can follow."""
        if count * least > self._blob.size - self.at:
            raise ValueError(f"{count:,} entries cannot be in so few bytes")

    def text(self) -> str:
        """The next text."""
        (length,) = self.unpack("<Q")
        return self.take(length).decode()

    def value(self, kind: int, depth: int = 0) -> tuple[Value, Any]:
        """The next value as a tree, and as Python has it if it is one number."""
        if kind == _FLAG:
            flag = self.take(1)
            if flag not in (b"\0", b"\1"):
                raise ValueError("a flag is neither true nor false")
            return flag == b"\1", None
        if kind == _TEXT:
            return self.text(), None
        if kind in SCALARS:
            dtype = np.dtype(SCALARS[kind])
            raw = self.take(dtype.itemsize)
            number = np.frombuffer(raw, dtype)[0].item()
            held = number if dtype.kind != "f" else b64encode(raw).decode()
            if type(held) is int and abs(held) > 1 << 53:
                held = b64encode(raw).decode()
            return Node("numpy.scalar", state=[dtype.str, held]), number
        if kind != _ARRAY or depth > _DEPTH:
            raise ValueError(f"the metadata has a value of the unknown type {kind}, or arrays too deep")
        return self._array(depth), None

    def _array(self, depth: int) -> Value:
        inner, count = self.unpack("<IQ")
        if inner in SCALARS:
            dtype = np.dtype(SCALARS[inner])
            self.check(count, dtype.itemsize)
            data = b64encode(self.take(count * dtype.itemsize)).decode()
            return Node("numpy.array", state={"dtype": dtype.str, "shape": [count], "data": data})
        self.check(count, 1 if inner == _FLAG else 8)
        return Node("list", state=[self.value(inner, depth + 1)[0] for _ in range(count)])
