"""Python's own values, and what a `class` statement makes of them."""

from __future__ import annotations

import dataclasses
import enum
import struct
import sys
import types
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any

import numpy as np

from saver import trust
from saver.codec import INLINE_BYTES, Codec, Decoder, Encoder, encodable
from saver.codecs._columns import LONG, decode_run, encode_run, fill_run
from saver.errors import CannotSave
from saver.tree import Node, Tensor, Value, reserved


def bytes_value(data: bytes | bytearray, encoder: Encoder, *step: str) -> Value:
    """Bytes as base64 text when they are few, as a tensor otherwise."""
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
    name = "bytes"
    types: tuple[type, ...] = (bytes,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return bytes_value(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return value_bytes(node.state, decoder)


class BytearrayCodec(BytesCodec):
    name = "bytearray"
    types: tuple[type, ...] = (bytearray,)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return bytearray(value_bytes(node.state, decoder))


class ListCodec(Codec):
    name = "list"
    types = (list,)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_run(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found: list[Any] = []
        decoder.keep(node, found)
        fill_run(node.state, decoder, found)
        return found


class TupleCodec(Codec):
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
    if len(obj) < LONG * 4 or not all(type(value) in (int, float, str) for value in obj.values()):
        if all(type(key) is str and not reserved(key) and encodable(key) for key in obj):
            return encoder.fields(obj)
    keys = list(obj)
    names = [str(key) if isinstance(key, (str, int, float)) else index for index, key in enumerate(keys)]
    if len(keys) >= LONG:
        values = encode_run(list(obj.values()), encoder, "values")
    else:
        values = [encoder.slot(value, name) for name, value in zip(names, obj.values(), strict=True)]
    return [_unfillable(keys, encoder), values]


def _unfillable(items: list[Any], encoder: Encoder) -> Value:
    if len(items) >= LONG:
        return encode_run(items, encoder, "keys")
    return [encoder(item, "keys", index) for index, item in enumerate(items)]


def fill_items(state: Any, decoder: Decoder, target: Any) -> None:
    """Decode what `encode_items` encoded into a mapping."""
    if type(state) is dict:
        decoder.fill(state, target)
        return
    keys_state, values_state = state
    keys = list(decode_run(keys_state, decoder))
    if type(values_state) is not list:
        values: list[Any] = []
        fill_run(values_state, decoder, values)
        target.update(zip(keys, values, strict=True))
        return
    for key, value in zip(keys, values_state, strict=True):
        target[key] = None
        target[key] = decoder.slot(value, target, key)
    if len(target) != len(keys):
        raise ValueError("a key stands there twice")


class DictCodec(Codec):
    name = "dict"
    types = (dict,)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_items(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found: dict[Any, Any] = {}
        decoder.keep(node, found)
        fill_items(node.state, decoder, found)
        return found


def in_order(items: Iterable[Any]) -> list[Any]:
    """The elements of a set in an order that depends on nothing but them."""
    return sorted(items, key=_rank)


def _rank(item: Any) -> Any:
    kind = type(item)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind is tuple:
        return (name, "", tuple(map(_rank, item)))
    if kind is frozenset:
        return (name, "", tuple(sorted(map(_rank, item))))
    if isinstance(item, enum.Enum):
        return (name, str(item.name), ())
    return (name, repr(item), ())


class SetCodec(Codec):
    """Equal sets give equal bytes: the elements stand in an order of their own."""

    name = "set"
    types: tuple[type, ...] = (set,)
    make: type[set[Any]] | type[frozenset[Any]] = set

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return _unfillable(in_order(obj), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        items = list(decode_run(node.state, decoder))
        found = self.make(items)
        if len(found) != len(items):
            raise ValueError("an element stands there twice")
        return found


class FrozensetCodec(SetCodec):
    name = "frozenset"
    types: tuple[type, ...] = (frozenset,)
    make = frozenset


class RangeCodec(Codec):
    name = "range"
    types = (range,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.start), encoder(obj.stop), encoder(obj.step)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        start, stop, step = map(decoder, node.state)
        return range(start, stop, step)


class SliceCodec(Codec):
    name = "slice"
    types = (slice,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [encoder(obj.start), encoder(obj.stop), encoder(obj.step)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        start, stop, step = map(decoder, node.state)
        return slice(start, stop, step)


class SingletonCodec(Codec):
    name = "singleton"
    types = (type(Ellipsis), type(NotImplemented))
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return "Ellipsis" if obj is Ellipsis else "NotImplemented"

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[node.state]


def _find(name: str) -> Any:
    """What a name leads to in the modules that are loaded; None if nowhere."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for step in qualname.split("."):
        found = getattr(found, step, None)
    return found


class FunctionCodec(Codec):
    """Functions and ufuncs that a module exports, by name."""

    name = "function"
    shared = False
    types = (types.FunctionType, types.BuiltinFunctionType)

    def accepts(self, cls: type) -> bool:
        return cls in self.types or (
            cls.__module__.partition(".")[0] == "numpy" and cls.__name__ in ("ufunc", "_ArrayFunctionDispatcher")
        )

    def class_of(self, obj: Any) -> str:
        for name in trust.names_of(obj):
            if _find(name) is obj:
                return name
        if getattr(obj, "__name__", "") == "<lambda>":
            what = "a lambda"
        else:
            what = f"the function {getattr(obj, '__qualname__', obj)!r}, which its module does not export,"
        raise CannotSave(
            f"{what} has no data form; use a function at the top level of a module, register a codec "
            "(docs/codecs.md), or leave it out"
        )

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return None

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = decoder.cls(node)
        if isinstance(found, type) or not callable(found):
            raise ValueError(f"{found!r} is not a function")
        return found


class ClassCodec(Codec):
    """Classes as values: `dtype=np.float64`."""

    name = "class"
    shared = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, type)

    def class_of(self, obj: Any) -> str:
        name = trust.class_name(obj)
        if _find(name) is not obj:
            raise CannotSave(f"the class {trust.dotted(name)} cannot be found again by its name")
        return name

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return None

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = decoder.cls(node)
        if not isinstance(found, type):
            raise ValueError(f"{found!r} is not a class")
        return found


class EnumCodec(Codec):
    name = "enum"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, enum.Enum)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj.name in type(obj).__members__:
            return obj.name  # type: ignore[no-any-return]
        return [encoder(obj.value)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
            raise ValueError(f"{cls!r} is not an enum")
        if isinstance(node.state, str):
            return cls[node.state]
        (value,) = node.state
        return cls(decoder(value))


class NamedTupleCodec(Codec):
    name = "namedtuple"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, tuple) and _tuple_fields(cls) is not None

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return {name: encoder(item, name) for name, item in zip(obj._fields, obj, strict=True)}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and self.accepts(cls)) or tuple(node.state) != _tuple_fields(cls):
            raise ValueError(f"the fields are not those of {cls!r}")
        return tuple.__new__(cls, (decoder(item) for item in node.state.values()))


def _tuple_fields(cls: type) -> tuple[str, ...] | None:
    fields = getattr(cls, "_fields", None)
    plain = isinstance(fields, tuple) and all(isinstance(name, str) for name in fields)
    return fields if plain and cls.__base__ is not None and tuple in cls.__mro__ else None


def attributes(obj: Any) -> dict[str, Any]:
    """The attributes of an instance, in slots and in its dict."""
    found = {
        name: getattr(obj, name)
        for cls in type(obj).__mro__
        for name in _slots(cls)
        if name not in ("__dict__", "__weakref__") and hasattr(obj, name)
    }
    found.update(getattr(obj, "__dict__", {}))
    return found


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    prefix = f"_{cls.__name__.lstrip('_')}"
    return tuple(prefix + n if n.startswith("__") and not n.endswith("__") else n for n in names)


class _Attributes:
    """Sets attributes by item, past frozen dataclasses and `__setattr__` of the class."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    def __setitem__(self, name: str, value: Any) -> None:
        object.__setattr__(self._obj, name, value)


def build_object(node: Node, decoder: Decoder) -> Any:
    """An instance of the node's class with the attributes of its state; no code of the class runs."""
    cls = decoder.cls(node)
    obj = object.__new__(cls)
    decoder.keep(node, obj)
    target: Any = obj.__dict__ if _has_plain_dict(cls) else _Attributes(obj)
    decoder.fill(node.state, target)
    return obj


def _has_plain_dict(cls: type) -> bool:
    return hasattr(cls, "__dict__") and not any(map(_slots, cls.__mro__)) and cls.__dictoffset__ != 0


class DataclassCodec(Codec):
    name = "dataclass"
    early = True

    def accepts(self, cls: type) -> bool:
        return dataclasses.is_dataclass(cls) and all(
            base is object or base.__flags__ & (1 << 9) for base in cls.__mro__
        )

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.fields(attributes(obj))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and self.accepts(cls)):
            raise ValueError(f"{cls!r} is not a dataclass")
        return build_object(node, decoder)


class ObjectCodec(DataclassCodec):
    """Instances of classes that the user registered, by their attributes."""

    name = "object"

    def accepts(self, cls: type) -> bool:
        return trust.is_registered(cls)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        if not isinstance(decoder.cls(node), type):
            raise ValueError("not a class")
        return build_object(node, decoder)


CODECS: tuple[Codec, ...] = (
    ObjectCodec(), IntCodec(), FloatCodec(), ComplexCodec(), StrCodec(), BytesCodec(), BytearrayCodec(),
    ListCodec(), TupleCodec(), DictCodec(), SetCodec(), FrozensetCodec(), RangeCodec(), SliceCodec(),
    SingletonCodec(), FunctionCodec(), ClassCodec(), EnumCodec(), NamedTupleCodec(), DataclassCodec(),
)  # fmt: skip
