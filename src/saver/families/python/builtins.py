"""Python's own values and containers."""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from saver.codec import INLINE_BYTES, Codec, Decoder, Encoder, door
from saver.families.python.classes import (
    ClassCodec,
    DataclassCodec,
    EnumCodec,
    FunctionCodec,
    NamedTupleCodec,
    ObjectCodec,
)
from saver.families.python.columns import LONG, decode_run, encode_run, fill_run, held_items
from saver.tree import EXACT_INTEGER, Node, Tensor, Value, encodable, reserved


def bytes_value(data: bytes | bytearray, encoder: Encoder, *step: str) -> Value:
    """Small amounts of bytes as base64 text, others as a tensor."""
    if len(data) <= INLINE_BYTES:
        return b64encode(data).decode()
    return encoder.tensor(np.frombuffer(data, np.uint8), *step)


def value_bytes(value: Any, decoder: Decoder) -> bytes:
    """The bytes that `bytes_value` encoded."""
    if isinstance(value, str):
        return b64decode(value, validate=True)
    return decoder.array(value, "U8", 1).tobytes()


class IntCodec(Codec):
    """Integers beyond ±2**53, in hexadecimal."""

    name = "int"
    types = (int,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        text = f"{obj:x}"
        return text if len(text) <= INLINE_BYTES else bytes_value(text.encode(), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        if isinstance(node.state, Tensor):
            return int(value_bytes(node.state, decoder), 16)
        return int(node.state, 16)


class FloatCodec(Codec):
    """nan and infinities, by their 64 bits in hexadecimal."""

    name = "float"
    types = (float,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return struct.pack(">d", obj).hex()

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return struct.unpack(">d", bytes.fromhex(node.state))[0]


class ComplexCodec(Codec):
    """Two floats, bit by bit."""

    name = "complex"
    types = (complex,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.real), encoder(obj.imag)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        real, imag = node.state
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
        return value_bytes(node.state, decoder).decode("utf-8", "surrogatepass")


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
        if len(obj) >= LONG:
            return encode_run(obj, encoder)
        return [encoder(item, index) for index, item in enumerate(obj)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return tuple(decode_run(node.state, decoder))


def encode_items(obj: dict[Any, Any], encoder: Encoder) -> Value:
    """The items of a mapping in their order: a JSON object for plain keys, otherwise two runs."""
    short = len(obj) < LONG * 4 or not all(type(value) in (int, float, str) for value in obj.values())
    if short and all(type(key) is str and not reserved(key) and encodable(key) for key in obj):
        return encoder.fields(obj)
    keys = list(obj)
    names = [_step(key, index) for index, key in enumerate(keys)]
    if len(keys) >= LONG:
        values = encode_run(list(obj.values()), encoder, "values")
    else:
        values = [encoder.slot(value, name) for name, value in zip(names, obj.values(), strict=True)]
    return [_unfillable(keys, encoder), values]


def _step(key: Any, index: int) -> str | int:
    """The step of an item in a path: its key, or else its position. Python does not convert integers of more
    than 4,300 digits to text."""
    is_short = isinstance(key, (str, float)) or (isinstance(key, int) and abs(key) <= EXACT_INTEGER)
    return str(key) if is_short else index


def _unfillable(items: list[Any], encoder: Encoder) -> Value:
    if len(items) >= LONG:
        return encode_run(items, encoder, "keys")
    return [encoder(item, "keys", index) for index, item in enumerate(items)]


def hashable(items: Iterable[Any], decoder: Decoder) -> list[Any]:
    """Keys or elements, after charging for the steps that hashing and comparing them takes.

    Python does not keep the hash of a tuple, and compares equal ones item by item: with forty tuples or
    frozensets, each of which holds the previous one twice, that would take 2**40 steps.
    """
    found, weights = list(items), dict[int, int]()
    decoder.budget.charge(steps=sum(_weight(item, weights) for item in found))
    return found


def _weight(item: Any, weights: dict[int, int]) -> int:
    """The number of values in an item, each counted as often as it occurs."""
    if isinstance(item, (int, float, str, bytes)):
        return 1
    if not isinstance(item, (tuple, frozenset)):
        return 1 + (item.size if isinstance(item, np.ndarray) else _weight_within(item, weights))
    if id(item) not in weights:
        weights[id(item)] = 1 + sum(_weight(within, weights) for within in item)
    return weights[id(item)]


def _weight_within(item: Any, weights: dict[int, int]) -> int:
    """The same for other objects that are hashed by their content: frozen dataclasses, slices, partials."""
    if id(item) in weights:
        return weights[id(item)]
    weights[id(item)] = 1  # a cycle ends here
    if isinstance(item, slice):
        held: Iterable[Any] = (item.start, item.stop, item.step)
    else:
        held = list(vars(item).values()) if hasattr(item, "__dataclass_fields__") else ()
    weights[id(item)] = 1 + sum(_weight(within, weights) for within in held)
    return weights[id(item)]


def fill_items(state: Any, decoder: Decoder, target: Any) -> None:
    """Decode the items that `encode_items` encoded into the mapping `target`."""
    if type(state) is dict:
        decoder.fill(state, target)
        return
    keys_state, values_state = state
    keys = hashable(decode_run(keys_state, decoder), decoder)
    if type(values_state) is not list:
        values: list[Any] = []
        fill_run(values_state, decoder, values)
        target.update(zip(keys, values, strict=True))
        return
    for key, value in zip(keys, values_state, strict=True):
        target[key] = None
        target[key] = decoder.slot(value, target, key)
    if len(target) != len(keys):
        raise ValueError("a key occurs twice")


def refused_names(cls: type, keys: Iterable[Any]) -> Iterator[str]:
    """Why some of these keys are refused in a mapping of this class, which shows its items as attributes: the
    rule for names of attributes applies to its keys, too."""
    way = door(cls)
    for key in keys:
        why = way.refusal(key) if type(key) is str else None
        if why is not None:
            yield why


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
    make: type[set[Any]] | type[frozenset[Any]] = set

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return _unfillable(encoder.in_order(obj), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        items = hashable(decode_run(node.state, decoder), decoder)
        found = self.make(items)
        if len(found) != len(items):
            raise ValueError("an element occurs twice")
        return found


class FrozensetCodec(SetCodec):
    """As sets."""

    name = "frozenset"
    types: tuple[type, ...] = (frozenset,)
    make = frozenset


class RangeCodec(Codec):
    """Start, stop and step, of any size."""

    name = "range"
    types = (range,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.start), encoder(obj.stop), encoder(obj.step)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        start, stop, step = map(decoder, node.state)
        return range(start, stop, step)


class SliceCodec(Codec):
    """Start, stop and step, of any kind."""

    name = "slice"
    types = (slice,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.start), encoder(obj.stop), encoder(obj.step)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        start, stop, step = map(decoder, node.state)
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
