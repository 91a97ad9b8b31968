"""Python's own values and containers."""

from __future__ import annotations

import math
import re
import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saver.codec import INLINE_BYTES, Codec, Decoder, Encoder, bits, listed, octets
from saver.families.python.classes import (
    ClassCodec,
    DataclassCodec,
    EnumCodec,
    FunctionCodec,
    NamedTupleCodec,
    ObjectCodec,
)
from saver.families.python.columns import decode_run, encode_run, encode_whole_run, fill_run, held_items
from saver.families.python.items import (
    encode_items,
    encode_keys,
    fill_items,
    fill_set,
    hashable,
    wait_for_hashes,
)
from saver.rules import Broken
from saver.tree import EXACT_INTEGER, Node, Tensor, Value


def bytes_value(data: bytes | bytearray, encoder: Encoder, *step: str) -> Value:
    """Small amounts of bytes as base64 text, others as a tensor."""
    if len(data) <= INLINE_BYTES:
        return b64encode(data).decode()
    return encoder.tensor(np.frombuffer(data, np.uint8), *step)


def value_bytes(value: Any, decoder: Decoder) -> bytes:
    """The bytes that `bytes_value` encoded."""
    if isinstance(value, str):
        return octets(value)
    if not isinstance(value, Tensor):
        raise ValueError("there are no bytes")
    return decoder.array(value, "U8", 1, "3.04").tobytes()


def text_of(data: bytes) -> str:
    """A string of bytes: UTF-8, in which surrogates are encoded as other code points are."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Broken("3.05", str(error)) from None


_INTEGER = re.compile("-?[1-9a-f][0-9a-f]*")


class IntCodec(Codec):
    """Integers beyond ±2**53, in hexadecimal."""

    name = "int"
    types = (int,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        text = f"{obj:x}"
        return text if len(text) <= INLINE_BYTES else bytes_value(text.encode(), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        text = node.state
        if isinstance(text, Tensor):
            text = value_bytes(text, decoder).decode("latin-1")
        elif type(text) is not str:
            raise ValueError("it is not a text")
        found = int(text, 16) if _INTEGER.fullmatch(text) else 0
        if abs(found) <= EXACT_INTEGER:
            raise Broken("3.02", f"{text[:40]!r} is not the text of an integer beyond 2^53")
        return found


class FloatCodec(Codec):
    """nan and infinities, by their 64 bits in hexadecimal."""

    name = "float"
    types = (float,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return struct.pack(">d", obj).hex()

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = struct.unpack(">d", bits(node.state))[0]
        if math.isfinite(found):
            raise Broken("3.03", "a finite float is a number")
        return found


class ComplexCodec(Codec):
    """Two floats, bit by bit."""

    name = "complex"
    types = (complex,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.real), encoder(obj.imag)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        real, imag = listed(node.state, 2)
        return complex(_float(decoder(real)), _float(decoder(imag)))


def _float(value: Any) -> float:
    if type(value) is not float:
        raise ValueError("a complex number needs two floats")
    return value


class StrCodec(Codec):
    """Long strings, and those with lone surrogates."""

    name = "str"
    types = (str,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return bytes_value(obj.encode("utf-8", "surrogatepass"), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return text_of(value_bytes(node.state, decoder))


class BytesCodec(Codec):
    """Small amounts of bytes as base64 text, others as a tensor."""

    name = "bytes"
    types: tuple[type, ...] = (bytes,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return bytes_value(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return value_bytes(node.state, decoder)


class BytearrayCodec(BytesCodec):
    """As bytes."""

    name = "bytearray"
    types: tuple[type, ...] = (bytearray,)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return bytearray(value_bytes(node.state, decoder))


class ListCodec(Codec):
    """Lists; long ones with items of one type are stored as columns."""

    name = "list"
    types = (list,)
    early = True

    def held(self, node: Node) -> Sequence[Value] | None:
        return node.state if type(node.state) is list else None

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_run(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found: list[Any] = []
        decoder.keep(node, found)
        fill_run(node.state, decoder, found)
        return found


class TupleCodec(Codec):
    """Tuples; long ones with items of one type are stored as columns."""

    name = "tuple"
    types = (tuple,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_whole_run(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return tuple(decode_run(node.state, decoder))


class DictCodec(Codec):
    """Dicts in their order, which is part of the value."""

    name = "dict"
    types: tuple[type, ...] = (dict,)
    early = True

    def held(self, node: Node) -> Mapping[Any, Value] | None:
        return held_items(node.state)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_items(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found: dict[Any, Any] = {}
        decoder.keep(node, found)
        fill_items(node.state, decoder, found)
        return found


class SetCodec(Codec):
    """Sets. Equal sets give equal bytes: the elements are stored in an order that depends only on them."""

    name = "set"
    types: tuple[type, ...] = (set,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_keys(encoder.in_order(obj), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = set[Any]()
        fill_set(node.state, decoder, found)
        return found


class FrozensetCodec(SetCodec):
    """As sets, but for cycles: it is made at once, so the hash of an element cannot wait."""

    name = "frozenset"
    types: tuple[type, ...] = (frozenset,)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        items = [*decode_run(node.state, decoder)]
        if wait_for_hashes(items, decoder):
            decoder.delayed.later(lambda: _demand_found(items, found))
        found = frozenset(hashable(items, decoder))
        if len(found) != len(items):
            raise Broken("3.09", "an element occurs twice")
        return found


def _demand_found(items: list[Any], found: frozenset[Any]) -> None:
    """Raise an error if an element has another hash than before everything was complete."""
    if not all(item in found for item in items):
        raise Broken("2.22", "the hash of an element of a frozenset needs what contains it")


class RangeCodec(Codec):
    """Start, stop and step, of any size."""

    name = "range"
    types = (range,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.start), encoder(obj.stop), encoder(obj.step)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        start, stop, step = map(decoder, listed(node.state, 3))
        if not type(start) is type(stop) is type(step) is int:
            raise ValueError("a range needs three integers")
        return range(start, stop, step)


class SliceCodec(Codec):
    """Start, stop and step, of any kind."""

    name = "slice"
    types = (slice,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.start), encoder(obj.stop), encoder(obj.step)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        start, stop, step = map(decoder, listed(node.state, 3))
        return slice(start, stop, step)


class SingletonCodec(Codec):
    """`Ellipsis` and `NotImplemented`."""

    name = "singleton"
    types = (type(Ellipsis), type(NotImplemented))
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return "Ellipsis" if obj is Ellipsis else "NotImplemented"

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[node.state]


CODECS: tuple[Codec, ...] = (
    ObjectCodec(), IntCodec(), FloatCodec(), ComplexCodec(), StrCodec(), BytesCodec(), BytearrayCodec(),
    ListCodec(), TupleCodec(), DictCodec(), SetCodec(), FrozensetCodec(), RangeCodec(), SliceCodec(),
    SingletonCodec(), FunctionCodec(), ClassCodec(), EnumCodec(), NamedTupleCodec(), DataclassCodec(),
)  # fmt: skip
