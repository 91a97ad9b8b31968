"""Inert values as a pickle that makes them: the reverse of `opcodes.py`. No object is made for it.

Texts, names and values that occur again are written once. Protocol 2, which PyTorch reads without running
anything, has no bytes of its own; protocol 3 has.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from saver.formats._writing import Later, Piece
from saver.pickled import Call, Elements, Global, Inert, Pairs

_BATCH = 1000
"""Items that one opcode appends, as Python's own pickler does."""


class Outside(NamedTuple):
    """An object that is not in the pickle, by what refers to it."""

    ident: Inert


class Followed(NamedTuple):
    """An instance behind whose state bytes follow, which take its place: the arrays of joblib. They are
    aligned to `alignment` bytes, and one byte before them says how many are left out."""

    call: Call
    content: Later
    alignment: int


class Writer:
    """One pickle. Recursive: a call for each level."""

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._text = bytearray()
        self._before = 0
        self._pieces: list[Piece] = []
        self._memo: dict[Any, int] = {}
        self._kept: list[Any] = []
        """What the memo knows by its `id`."""

    def pieces(self, root: Inert) -> list[Piece]:
        """The bytes of the pickle of a value."""
        self._text += b"\x80" + bytes([self._protocol])
        self._value(root)
        self._text += b"."
        return [*self._pieces, bytes(self._text)]

    def _value(self, value: Inert) -> None:
        kind = type(value)
        if value is None or kind is bool:
            self._text += b"N" if value is None else b"\x88" if value else b"\x89"
        elif kind is int:
            self._text += _integer(value)
        elif kind is float:
            self._text += b"G" + struct.pack(">d", value)
        elif kind is str or kind is Global:
            self._named((kind, value), value)
        elif kind is complex:
            self._called(Call(Global("builtins", "complex"), (value.real, value.imag)))
        elif not self._again(id(value)):
            self._made(value, kind)

    def _named(self, key: Any, value: str | Global) -> None:
        if self._again(key):
            return
        if type(value) is Global:
            self._text += f"c{value.module}\n{value.name}\n".encode()
        else:
            data = str(value).encode("utf-8", "surrogatepass")
            self._text += b"X" + struct.pack("<I", len(data)) + data
        self._keep(key)

    def _again(self, key: Any) -> bool:
        """Write a value from the memo, if it is there."""
        number = self._memo.get(key)
        if number is not None:
            self._text += b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number)
        return number is not None

    def _keep(self, key: Any, value: Any = None) -> None:
        """Put what was just written into the memo."""
        number = self._memo[key] = len(self._memo)
        self._kept.append(value)
        self._text += b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    def _made(self, value: Any, kind: type) -> None:
        if kind is list:
            self._text += b"]"
            self._keep(id(value), value)
            self._batches(value, b"e")
        elif kind is Pairs:
            self._text += b"}"
            self._keep(id(value), value)
            self._pairs(value.items)
        elif kind is tuple:
            self._tuple(value)
        elif kind is bytes or kind is bytearray:
            self._octets(value)
            self._keep(id(value), value)
        elif kind is Elements:
            name = "frozenset" if value.frozen else "set"
            self._called(Call(Global("builtins", name), (list(value.items),)))
            self._keep(id(value), value)
        elif kind is Call:
            self._called(value)
        elif kind is Outside:
            self._value(value.ident)
            self._text += b"Q"
        else:
            self._followed(value)
            self._keep(id(value), value)

    def _batches(self, items: list[Any], code: bytes) -> None:
        for start in range(0, len(items), _BATCH):
            self._text += b"("
            for item in items[start : start + _BATCH]:
                self._value(item)
            self._text += code

    def _pairs(self, pairs: list[tuple[Any, Any]]) -> None:
        self._batches([each for pair in pairs for each in pair], b"u")

    def _tuple(self, items: tuple[Any, ...]) -> None:
        codes = {0: b")", 1: b"\x85", 2: b"\x86", 3: b"\x87"}
        self._text += b"" if len(items) in codes else b"("
        for item in items:
            self._value(item)
        if not self._again_after(items):
            self._text += codes.get(len(items), b"t")
            if items:
                self._keep(id(items), items)

    def _again_after(self, items: tuple[Any, ...]) -> bool:
        """Whether a tuple was made by its own items, which refer to it; then these are taken back."""
        if id(items) not in self._memo:
            return False
        self._text += b"0" * len(items) if len(items) <= 3 else b"1"
        return self._again(id(items))

    def _octets(self, value: bytes | bytearray) -> None:
        if type(value) is bytearray:
            self._call(Call(Global("builtins", "bytearray"), (bytes(value),)))
        elif self._protocol < 3:
            text = (value.decode("latin-1"), "latin1")
            self._call(Call(Global("_codecs", "encode"), text))
        else:
            self._text += b"B" + struct.pack("<I", len(value)) + value

    def _called(self, call: Call) -> None:
        self._call(call)
        self._keep(id(call), call)
        self._batches(call.items, b"e")
        self._pairs(call.pairs)
        self._state(call)

    def _call(self, call: Call) -> None:
        self._value(call.function)
        self._value(call.args)
        self._text += b"\x81" if call.made else b"R"

    def _state(self, call: Call) -> None:
        if call.has_state:
            self._value(call.state)
            self._text += b"b"

    def _followed(self, value: Followed) -> None:
        self._call(value.call)
        self._state(value.call)
        at = self._before + len(self._text) + 1
        padding = -at % value.alignment
        self._text += bytes([padding]) + b"\xff" * padding
        self._pieces += [bytes(self._text), value.content]
        self._before = at + padding + value.content.length
        self._text = bytearray()


def _integer(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() >> 3) + 1, "little", signed=True)
    return (
        b"\x8a" + bytes([len(data)]) if len(data) < 256 else b"\x8b" + struct.pack("<I", len(data))
    ) + data
