"""Classes of Python's standard library; those of times are in `times.py`."""

from __future__ import annotations

import array
import functools
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter, itemgetter
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import SimpleNamespace
from typing import Any

from saver import uses
from saver.codec import Codec, Decoder, Encoder, listed
from saver.errors import kind_of
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
        found: Counter[Any] = Counter()
        decoder.keep(node, found)
        fill_items(node.state, decoder, found)
        return found


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
        factory_state, items = listed(node.state, 2)
        found: defaultdict[Any, Any] = defaultdict()
        decoder.keep(node, found)
        found.default_factory = decoder(factory_state)
        if not _is_factory(found.default_factory):
            raise ValueError("a default factory must make an empty value")
        fill_items(items, decoder, found)
        return found


class DequeCodec(Codec):
    """Items and `maxlen`."""

    name = "stdlib.deque"
    types = (deque,)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.maxlen, encode_run(list(obj), encoder)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        length, items = listed(node.state, 2)
        if length is not None and type(length) is not int:
            raise ValueError("the length of a deque is an integer")
        found: deque[Any] = deque(maxlen=length)
        decoder.keep(node, found)
        held: list[Any] = []  # an item of a deque takes longer to be replaced the further inside it is
        since = decoder.delayed.count
        fill_run(items, decoder, held)
        if length is not None and len(held) > length:
            raise ValueError("a deque has at most as many items as its length")

        def fill() -> None:
            found.clear()
            found.extend(held)

        decoder.copied(fill, since)
        return found


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
            encoder.refuse(f"a partial of {kind_of(obj.func)} has no data form; only functions have")
        return [encoder(obj.func, "func"), encoder(obj.args, "args"), encoder(obj.keywords, "keywords")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        function, positional, keywords = map(decoder, listed(node.state, 3))
        if type(positional) is not tuple or type(keywords) is not dict:
            raise ValueError("the arguments are not a tuple and a dict")
        if not _is_plain_function(function):
            raise ValueError("only functions can be in a partial")
        found = functools.partial(function)
        found.__setstate__((function, positional, keywords, None))  # type: ignore[attr-defined]
        return found

    def check(self, obj: Any) -> None:
        if not all(type(name) is str for name in obj.keywords):
            raise ValueError("the keywords of a partial are texts")


class DecimalCodec(Codec):
    """Decimals as text, which keeps exponent, sign and payload."""

    name = "stdlib.Decimal"
    types = (Decimal,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return bytes_value(str(obj).encode(), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        text = value_bytes(node.state, decoder).decode("ascii")
        found = Decimal(text)
        if str(found) != text:
            raise ValueError(f"{text[:40]!r} is not the text of a decimal number")
        return found


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
        numerator, denominator = map(decoder, listed(node.state, 2))
        if type(numerator) is not int or type(denominator) is not int:
            raise ValueError("a fraction needs two integers")
        bits = max(numerator.bit_length(), denominator.bit_length())
        if min(numerator.bit_length(), denominator.bit_length()) > _FRACTION_BITS:
            raise ValueError("the integers of a fraction are too large to be checked in reasonable time")
        decoder.budget.charge(steps=(bits // 64) ** 2 // 32)
        found = Fraction(numerator, denominator)
        if found.denominator != denominator:
            raise ValueError("a fraction is in lowest terms, and its denominator positive")
        return found


_PATHS = {cls.__name__: cls for cls in (PosixPath, WindowsPath, PurePosixPath, PureWindowsPath)}


class PathCodec(Codec):
    """Paths by their text. A `Path` of another system comes back as the pure path of that system."""

    name = "stdlib.path"
    types = (Path, PurePath, *_PATHS.values())

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [type(obj).__name__, encoder(str(obj))]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, text = listed(node.state, 2)
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
        if sys.byteorder == "big":
            little.byteswap()
        return [obj.typecode, obj.itemsize, bytes_value(little.tobytes(), encoder)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        if len(listed(node.state, 2, 3)) == 2:
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
        if sys.byteorder == "big":
            found.byteswap()
        return found


CODECS: tuple[Codec, ...] = (
    OrderedDictCodec(), CounterCodec(), DefaultDictCodec(), DequeCodec(), NamespaceCodec(), PartialCodec(),
    DecimalCodec(), FractionCodec(), PathCodec(), ArrayCodec(),
)  # fmt: skip
