"""Classes of Python's standard library; those of times are in `times.py`."""

from __future__ import annotations

import array
import functools
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter, itemgetter
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from saver import uses
from saver.codec import Codec, Decoder, Encoder
from saver.families.python.builtins import DictCodec, bytes_value, value_bytes
from saver.families.python.classes import ClosedCodec
from saver.families.python.columns import encode_run, fill_run, held_items
from saver.families.python.items import encode_items, fill_items
from saver.tree import Node, Value


class OrderedDictCodec(DictCodec):
    """Ordered dicts, with the attributes that were set on them: `_metadata` of a PyTorch state dict."""

    name = "stdlib.OrderedDict"
    types: tuple[type, ...] = (OrderedDict,)
    early = True

    def held(self, node: Node) -> Mapping[Any, Value] | None:
        state = node.state
        has_attributes = type(state) is list and state[2:] == ["attributes"]
        return held_items(state[0] if has_attributes else state)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        items = encode_items(obj, encoder)
        return [items, encoder.attributes(obj), "attributes"] if vars(obj) else items

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found: OrderedDict[Any, Any] = OrderedDict()
        decoder.keep(node, found)
        items = node.state
        if type(items) is list and items[2:] == ["attributes"]:
            items, attributes, _ = items
            decoder.fill_attributes(found, attributes)
        fill_items(items, decoder, found)
        return found


class CounterCodec(ClosedCodec):
    """Counts in their order."""

    name = "stdlib.Counter"
    types = (Counter,)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_items(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        items: dict[Any, Any] = {}
        fill_items(node.state, decoder, items)
        return Counter(items)


def _is_factory(value: Any) -> bool:
    return value is None or (uses.is_callable_value(value) and uses.may_be(value, ("factory",)))


class DefaultDictCodec(Codec):
    """Items, and the factory if it has a data form."""

    name = "stdlib.defaultdict"
    types = (defaultdict,)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if not _is_factory(obj.default_factory):
            encoder.refuse("its default factory makes no empty value; use list, dict, set, int, float or str")
        return [encoder(obj.default_factory, "default_factory"), encode_items(obj, encoder)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        factory_state, items = node.state
        factory = decoder(factory_state)
        if not _is_factory(factory):
            raise ValueError("a default factory must make an empty value")
        found: defaultdict[Any, Any] = defaultdict(factory)
        decoder.keep(node, found)
        fill_items(items, decoder, found)
        return found


class DequeCodec(Codec):
    """Items and `maxlen`."""

    name = "stdlib.deque"
    types = (deque,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.maxlen, encode_run(list(obj), encoder)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        length, items = node.state
        found: list[Any] = []
        fill_run(items, decoder, found)
        return deque(found, length)


class NamespaceCodec(Codec):
    """`SimpleNamespace` by its attributes."""

    name = "stdlib.SimpleNamespace"
    types = (SimpleNamespace,)
    early = True
    by_attributes = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.attributes(obj)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = SimpleNamespace()
        decoder.keep(node, found)
        decoder.fill_attributes(found, node.state)
        return found


def _is_plain_function(value: Any) -> bool:
    """Whether it is a function, or a class that was not reviewed, which the user must have trusted."""
    if not uses.is_callable_value(value) or type(value) in (functools.partial, itemgetter, attrgetter):
        return False
    return not isinstance(value, type) or uses.kinds_of(value) is None


class PartialCodec(ClosedCodec):
    """`functools.partial` of a function that has a data form."""

    name = "stdlib.partial"
    types = (functools.partial,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if not _is_plain_function(obj.func):
            encoder.refuse(f"a partial of a {type(obj.func).__name__} has no data form; only functions have")
        return [encoder(obj.func, "func"), encoder(obj.args, "args"), encoder(obj.keywords, "keywords")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        function, positional, keywords = map(decoder, node.state)
        if type(positional) is not tuple or type(keywords) is not dict:
            raise ValueError("the arguments are not a tuple and a dict")
        if not _is_plain_function(function):
            raise ValueError("only functions can be in a partial")
        return functools.partial(function, *positional, **keywords)


class DecimalCodec(Codec):
    """Decimals as text, which keeps exponent, sign and payload."""

    name = "stdlib.Decimal"
    types = (Decimal,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return bytes_value(str(obj).encode(), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return Decimal(value_bytes(node.state, decoder).decode())


_FRACTION_BITS = 1 << 16
"""Fractions of larger integers are refused: their greatest common divisor takes quadratic time."""


class FractionCodec(Codec):
    """Numerator and denominator."""

    name = "stdlib.Fraction"
    types = (Fraction,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if min(obj.numerator.bit_length(), obj.denominator.bit_length()) > _FRACTION_BITS:
            encoder.refuse(f"both its integers have more than {_FRACTION_BITS} bits; save them separately")
        return [encoder(obj.numerator), encoder(obj.denominator)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        numerator, denominator = map(decoder, node.state)
        if type(numerator) is not int or type(denominator) is not int:
            raise ValueError("a fraction needs two integers")
        bits = max(numerator.bit_length(), denominator.bit_length())
        if min(numerator.bit_length(), denominator.bit_length()) > _FRACTION_BITS:
            raise ValueError("the integers of a fraction are too large to be checked in reasonable time")
        decoder.budget.charge(steps=(bits // 64) ** 2 // 32)
        return Fraction(numerator, denominator)


class UUIDCodec(Codec):
    """32 hexadecimal digits."""

    name = "stdlib.UUID"
    types = (UUID,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return obj.hex  # type: ignore[no-any-return]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return UUID(hex=node.state)


_PATHS = {cls.__name__: cls for cls in (PosixPath, WindowsPath, PurePosixPath, PureWindowsPath)}


class PathCodec(Codec):
    """Paths by their text. A `Path` of another system comes back as the pure path of that system."""

    name = "stdlib.path"
    types = (Path, PurePath, *_PATHS.values())

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [type(obj).__name__, encoder(str(obj))]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, text = node.state
        cls: Any = _PATHS[kind]
        if issubclass(cls, Path) and not isinstance(Path(), cls):
            cls = _PATHS["Pure" + kind]
        return cls(decoder(text))


class ArrayCodec(Codec):
    """`array.array`: type code, and the items little-endian."""

    name = "stdlib.array"
    types = (array.array,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj.typecode in "uw":
            return [obj.typecode, encoder(obj.tounicode())]
        little = obj[:]
        if _big_endian():
            little.byteswap()
        return [obj.typecode, obj.itemsize, bytes_value(little.tobytes(), encoder)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        if len(node.state) == 2:
            code, text = node.state[0], decoder(node.state[1])
            if code not in ("u", "w") or type(text) is not str:  # any other iterable would be exhausted
                raise ValueError("an array of characters needs a string")
            return array.array(code, text)
        typecode, size, data = node.state
        if typecode in ("u", "w"):
            raise ValueError("an array of characters is stored as a string")
        found = array.array(typecode)
        if found.itemsize != size:
            raise ValueError(
                f"items of type {typecode!r} take {found.itemsize} bytes here, {size} where it was saved"
            )
        found.frombytes(value_bytes(data, decoder))
        if _big_endian():
            found.byteswap()
        return found


def _big_endian() -> bool:
    import sys

    return sys.byteorder == "big"


class RandomCodec(ClosedCodec):
    """`random.Random`, which continues the same sequence."""

    name = "stdlib.Random"
    types = (random.Random,)
    fields = ("gauss_next",)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        version, words, gauss = obj.getstate()
        return [version, encode_run(words, encoder), encoder(gauss)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        version, words, gauss = node.state
        state: list[Any] = []
        fill_run(words, decoder, state)
        found = random.Random(0)
        found.setstate((version, tuple(state), decoder(gauss)))
        return found


CODECS: tuple[Codec, ...] = (
    OrderedDictCodec(), CounterCodec(), DefaultDictCodec(), DequeCodec(), NamespaceCodec(), PartialCodec(),
    DecimalCodec(), FractionCodec(), UUIDCodec(), PathCodec(), ArrayCodec(), RandomCodec(),
)  # fmt: skip
