"""How the types and arrays of Arrow lie in pickles, in all versions since 1: calls with buffers.

They become the stream that Arrow itself would write. Unions, views of lists, runs and extension types are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from saver.codec import INLINE_BYTES, Encoder
from saver.families.pyarrow.streams import Column, Kind, stream_of
from saver.families.python.builtins import bytes_value
from saver.pickled import Call, NotReadError, Pickled, Repeats, sequence
from saver.tree import Value

_ALIGNMENT = 64
_DEPTH = 16
_TYPES = 1000
_LIMIT = 1 << 40
_WRITTEN = 64
"""What a type counts for that is written again, in items."""

_INTEGER = 2
_UNITS = {"s": 0, "ms": 1, "us": 2, "ns": 3}


def _integer(bits: int, signed: bool) -> Kind:
    return Kind(_INTEGER, "fixed", bits, ((0, "i", bits, 0), (1, "B", int(signed), 0)))


def _decimal(bits: int, precision: Any, scale: Any) -> Kind:
    if type(precision) is not int or type(scale) is not int or not 0 < precision < 77 or abs(scale) > 1000:
        raise NotReadError("a decimal of Arrow has no precision")
    fields = ((2, "i", bits, 128), (1, "i", scale, 0), (0, "i", precision, 0))
    return Kind(7, "fixed", bits, fields)


def _timed(number: int, unit: str, width: int = 64, default: int = 0, zone: str | None = None) -> Kind:
    return Kind(number, "fixed", width, ((0, "h", _UNITS[unit], default),), zone)


_ALIASES: dict[str, Kind] = {
    "null": Kind(1, "null"),
    **{f"int{bits}": _integer(bits, True) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": _integer(bits, False) for bits in (8, 16, 32, 64)},
    **{name: Kind(3, "fixed", 16 << at, ((0, "h", at, 0),))
       for at, name in enumerate(("halffloat", "float", "double"))},
    "string_view": Kind(24, "views"), "binary_view": Kind(23, "views"),
    "month_day_nano_interval": Kind(11, "fixed", 128, ((0, "h", 2, 0),)),
    "binary": Kind(4, "bytes", 32), "string": Kind(5, "bytes", 32), "bool": Kind(6, "bits"),
    "large_binary": Kind(19, "bytes", 64), "large_string": Kind(20, "bytes", 64),
    "date32[day]": Kind(8, "fixed", 32, ((0, "h", 0, 1),)),
    "date64[ms]": Kind(8, "fixed", 64, ((0, "h", 1, 1),)),
    **{f"time{bits}[{unit}]": Kind(9, "fixed", bits, ((1, "i", bits, 32), (0, "h", _UNITS[unit], 1)))
       for bits, unit in ((32, "s"), (32, "ms"), (64, "us"), (64, "ns"))},
    **{f"timestamp[{unit}]": _timed(10, unit) for unit in _UNITS},
    **{f"duration[{unit}]": _timed(18, unit, default=1) for unit in _UNITS},
}  # fmt: skip


def _alias(name: Any = None) -> Kind:
    found = _ALIASES.get(name) if type(name) is str else None
    if found is None:
        raise NotReadError(f"{str(name)[:40]!r} is not a type of Arrow that Saver reads from pickles")
    return found


_ZONE = re.compile(r"[A-Za-z0-9_+:/-]{1,64}")


def _timestamp(unit: Any = None, zone: Any = None) -> Kind:
    if unit not in _UNITS or not (zone is None or (type(zone) is str and _ZONE.fullmatch(zone))):
        raise NotReadError("a timestamp of Arrow has no unit or zone")
    return _timed(10, unit, zone=zone)


def _bytes(width: Any = None) -> Kind:
    if type(width) is not int or not 0 <= width < 1 << 31:
        raise NotReadError("an element of Arrow has no size")
    return Kind(15, "fixed", 8 * width, ((0, "i", width, 0),))


def kind_of(value: Any, depth: int = 0) -> Kind:
    """The type that a call makes."""
    name = value.function.name if type(value) is Call and value.function.module in _MODULES else ""
    if depth > _DEPTH:
        raise NotReadError("a type of Arrow is nested too deeply")
    if name in _PLAIN:
        try:
            return _PLAIN[name](*value.args)
        except TypeError:
            raise NotReadError(f"a type of Arrow is made by {name} with other arguments") from None
    if name in ("list_", "large_list"):
        return _nested(_list(name, value.args, depth))
    if name == "struct" and len(value.args) == 1:
        fields = sequence(value.args[0], "the fields of Arrow")
        return _nested(Kind(13, "struct", children=tuple(_field(each, depth) for each in fields)))
    if name == "map_" and len(value.args) == 2:
        key, item = (
            _field(each, depth, called, called != "key")
            for called, each in zip(("key", "value"), value.args, strict=True)
        )
        entries = ("entries", Kind(13, "struct", children=(key, item)), False)
        return _nested(Kind(17, "list", 32, children=(entries,)))
    if name == "dictionary" and len(value.args) == 3:
        indices, values, ordered = value.args
        return _nested(_dictionary(indices, values, ordered, depth))
    raise NotReadError(f"a type of Arrow made by {name or 'something else'} is not read from pickles")


def _list(name: str, args: tuple[Any, ...], depth: int) -> Kind:
    child, *size = args or (None,)
    children = (_field(child, depth),)
    if not size:
        wide = name == "large_list"
        return Kind(21 if wide else 12, "list", 64 if wide else 32, children=children)
    if len(size) > 1 or type(size[0]) is not int or not 0 <= size[0] < 1 << 31:
        raise NotReadError("lists of Arrow have no length")
    return Kind(16, "rows", size[0], ((0, "i", size[0], 0),), children=children)


def _dictionary(indices: Any, values: Any, ordered: Any, depth: int) -> Kind:
    index, inner = kind_of(indices, depth + 1), kind_of(values, depth + 1)
    if index.number != _INTEGER or index.values is not None or inner.values is not None:
        raise NotReadError(
            "a dictionary of Arrow has indices that are no integers, or values that are indices"
        )
    return replace(index, values=inner, ordered=ordered is True)


def _nested(kind: Kind) -> Kind:
    if kind.count > _TYPES:
        raise NotReadError(f"a type of Arrow consists of more than {_TYPES:,}")
    return kind


def _field(value: Any, depth: int, called: str = "item", optional: bool = True) -> tuple[str, Kind, bool]:
    if type(value) is not Call or value.function.name != "field" or len(value.args) != 4:
        return called, kind_of(value, depth + 1), optional
    name, kind, nullable, metadata = value.args
    if type(name) is not str or type(nullable) is not bool or metadata is not None:
        raise NotReadError("a field of Arrow has no name, or metadata")
    return name, kind_of(kind, depth + 1), nullable


def _column(state: Any, kind: Kind, repeats: Repeats, depth: int = 0) -> Column:
    """What `_restore_array` is given: type, length, missing ones, offset, buffers, children, dictionary."""
    parts = sequence(state, "an array of Arrow")
    if len(parts) < 7 or depth > _DEPTH:
        raise NotReadError("an array of Arrow does not have its parts")
    _, length, _, offset, buffers, children, dictionary = parts[:7]
    if not all(type(number) is int and 0 <= number < _LIMIT for number in (length, offset)):
        raise NotReadError("an array of Arrow has no length")
    if (dictionary is None) != (kind.values is None):
        raise NotReadError("an array of Arrow has no dictionary, or one that its type does not have")
    found = sequence(children, "the children of an array of Arrow")
    if len(found) != len(kind.children):
        raise NotReadError(f"an array of Arrow has {len(found)} children, and needs {len(kind.children)}")
    within = [
        _column(each, inner, repeats, depth + 1)
        for each, (_, inner, _) in zip(found, kind.children, strict=True)
    ]
    held = [_octets(buffer, repeats) for buffer in sequence(buffers, "the buffers of an array")]
    words = None if kind.values is None else _column(dictionary, kind.values, repeats, depth + 1)
    return Column(kind, length, offset, held, within, words)


def _octets(value: Any, repeats: Repeats) -> memoryview | None:
    if value is None:
        return None
    data: Any = value.args[0] if _is_buffer(value) else None
    if type(data) is str:  # of Python 2
        data = data.encode("latin-1")
    if type(data) not in (bytes, bytearray):
        raise NotReadError("a buffer of Arrow does not consist of bytes")
    repeats.charge(value, len(data))
    return memoryview(data)


def _is_buffer(value: Any) -> bool:
    return type(value) is Call and value.function.name == "py_buffer" and len(value.args) == 1


def _stored(stream: bytes, encoder: Encoder) -> Value:
    data = stream + bytes(-len(stream) % _ALIGNMENT)
    if len(data) <= INLINE_BYTES:
        return bytes_value(data, encoder)
    return encoder.tensor(np.frombuffer(data, np.uint8))


class TypePickled(Pickled):
    """Types as values."""

    name = "pyarrow.type"
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind = kind_of(obj)
        encoder.shared(Repeats).charge(obj, _WRITTEN * kind.count)
        return _stored(stream_of(kind, []), encoder)


class ArrayPickled(Pickled):
    """Arrays, and chunked arrays with their chunks as they are."""

    name = "pyarrow.array"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        chunked = obj.function.name == "chunked_array"
        chunks, named = (*obj.args, None, None)[:2] if chunked else ([obj], None)
        states = [_state(chunk) for chunk in sequence(chunks, "the chunks of an array")]
        kinds = [kind_of(state[0]) for state in states] + ([] if named is None else [kind_of(named)])
        if not kinds or any(kind != kinds[0] for kind in kinds):
            raise NotReadError("the chunks of an array of Arrow differ in their types")
        repeats = encoder.shared(Repeats)
        for state in states:
            repeats.charge(state[0], _WRITTEN * kinds[0].count)
        stream = stream_of(kinds[0], [_column(state, kinds[0], repeats) for state in states])
        return ["chunked" if chunked else "array", _stored(stream, encoder)]


def _state(chunk: Any) -> tuple[Any, ...]:
    if type(chunk) is not Call or chunk.function.name != "_restore_array":
        raise NotReadError("a chunk of an array of Arrow is missing")
    state = chunk.args[0] if len(chunk.args) == 1 else ()
    if type(state) is not tuple or not state:
        raise NotReadError("an array of Arrow does not have its parts")
    return state


class PartPickled(Pickled):
    """The parts of arrays and types: they have no form outside of those."""

    name = "pyarrow.array"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        raise NotReadError(f"a {obj.function.name} of Arrow lies outside of an array")


_MODULES = ("pyarrow.lib", "pyarrow")
_PLAIN: dict[str, Callable[..., Kind]] = {
    "type_for_alias": _alias,
    "timestamp": _timestamp,
    "binary": _bytes,
    **{f"decimal{bits}": partial(_decimal, bits) for bits in (32, 64, 128, 256)},
}
_TYPE, _ARRAY, _PART = TypePickled(), ArrayPickled(), PartPickled()
READERS: dict[str, Pickled] = {
    **{f"{module}:{name}": _TYPE for module in _MODULES
       for name in (*_PLAIN, "list_", "large_list", "struct", "map_", "dictionary")},
    **{f"{module}:{name}": _ARRAY for module in _MODULES for name in ("_restore_array", "chunked_array")},
    **{f"{module}:{name}": _PART for module in _MODULES for name in ("py_buffer", "field")},
}  # fmt: skip
