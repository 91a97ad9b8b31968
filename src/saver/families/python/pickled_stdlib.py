"""How Python pickles mappings and values of its standard library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from saver.codec import Encoder
from saver.families.python.columns import encode_run
from saver.families.python.items import encode_items, encode_keys
from saver.families.python.pickled_times import TIMES
from saver.pickled import LITERALS, NotReadError, Pairs, Pickled, attributes_of, sequence
from saver.tree import Value


def encode_pairs(items: list[tuple[Any, Any]], encoder: Encoder) -> Value:
    """The items of a mapping, as `encode_items` writes them; keys that are no literals are not hashed."""
    if all(type(key) in LITERALS and type(key) is not bytearray for key, _ in items):
        return encode_items(dict(items), encoder)
    keys, values = ([*part] for part in zip(*items, strict=True))
    return [encode_keys(keys, encoder), [encoder.slot(value, at) for at, value in enumerate(values)]]


class OrderedPickled(Pickled):
    """Ordered dicts, with the attributes that were set on them."""

    name = "stdlib.OrderedDict"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        items = list(obj.pairs)
        for arg in obj.args:  # protocols 0 and 1 of Python 2: a list of pairs
            items += [_pair(item) for item in (arg.items if type(arg) is Pairs else sequence(arg, "a dict"))]
        found = encode_pairs(items, encoder)
        attributes = attributes_of(obj)
        return [found, encoder.fields(attributes), "attributes"] if attributes else found


def _pair(item: Any) -> tuple[Any, Any]:
    pair = sequence(item, "an item of a dict")
    if len(pair) != 2:
        raise NotReadError("an item of a dict is not a pair")
    return pair[0], pair[1]


class CounterPickled(Pickled):
    """Counts."""

    name = "stdlib.Counter"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        given = [pair for arg in obj.args for pair in fields_or_pairs(arg)]
        return encode_pairs(given + obj.pairs, encoder)


def fields_or_pairs(value: Any) -> list[tuple[Any, Any]]:
    """The items of a dict."""
    if type(value) is not Pairs:
        raise NotReadError("the content is not a dict")
    return value.items


class DefaultPickled(Pickled):
    """Items, and the factory."""

    name = "stdlib.defaultdict"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        factory = obj.args[0] if obj.args else None
        return [encoder(factory, "default_factory"), encode_pairs(obj.pairs, encoder)]


class DequePickled(Pickled):
    """Items and `maxlen`."""

    name = "stdlib.deque"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        given, *length = (*obj.args, None)[:2] if obj.args else ([], None)
        if not (length[0] is None or type(length[0]) is int):
            raise NotReadError("the length of a deque is not a number")
        return [length[0], encode_run(sequence(given, "a deque") + obj.items, encoder)]


class NamespacePickled(Pickled):
    """Namespaces by their attributes: `types.SimpleNamespace`, `argparse.Namespace`."""

    name = "stdlib.SimpleNamespace"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.fields(attributes_of(obj))


class RecordPickled(Pickled):
    """Classes of the standard library that are nothing but their attributes."""

    name = "stdlib.record"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.function.name, encoder.fields(attributes_of(obj))]


class MadePickled(Pickled):
    """Values that Python's own constructors make again from plain arguments."""

    shared: ClassVar[bool] = True

    def __init__(self, name: str, make: Callable[..., Value]) -> None:
        self.__dict__["name"] = name
        self._make = make

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        try:
            return self._make(encoder, *obj.args)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise NotReadError(f"{obj.function} cannot be made from this: {error}") from None


def _three(encoder: Encoder, *args: Any) -> Value:
    """Start, stop and step: of ranges and slices."""
    if len(args) == 1:
        return [0, encoder(args[0]), 1]
    start, stop, step = (*args, 1)[:3]
    return [encoder(start), encoder(stop), encoder(step)]


def _path(kind: str) -> Callable[..., Value]:
    def make(encoder: Encoder, *pieces: Any) -> Value:
        if not all(type(piece) is str for piece in pieces):
            raise NotReadError("a path does not consist of texts")
        joint = "\\" if "Windows" in kind else "/"
        text = joint.join(pieces).replace("//", "/") if pieces else "."
        return [kind, encoder(text)]

    return make


class UuidPickled(Pickled):
    """UUIDs, whose state is an integer."""

    name = "stdlib.UUID"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        number = attributes_of(obj).get("int")
        if type(number) is not int or not 0 <= number < 1 << 128:
            raise NotReadError("a UUID is not a number of 128 bits")
        return f"{number:032x}"


class PartialPickled(Pickled):
    """`functools.partial`: its state is the function, the arguments, and an own dict."""

    name = "stdlib.partial"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = sequence(obj.state, "a partial") if obj.has_state else [*obj.args, (), Pairs(), None]
        if len(state) != 4 or not (state[3] is None or (type(state[3]) is Pairs and not state[3].items)):
            raise NotReadError("a partial has attributes of its own")
        return [encoder(state[0], "func"), encoder(state[1], "args"), encoder(state[2], "keywords")]


class RandomPickled(Pickled):
    """`random.Random`: its state is a version, its words, and the next normal number."""

    name = "stdlib.Random"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        version, words, gauss = sequence(obj.state, "a random state")
        if type(version) is not int:
            raise NotReadError("a random state has no version")
        return [version, encode_run(sequence(words, "its words"), encoder), encoder(gauss)]


_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_RECORDS = (
    "collections:ChainMap", "argparse:Namespace", "collections:UserDict", "collections:UserList",
    "collections:UserString", "string:Template",
)  # fmt: skip
STDLIB: dict[str, Pickled] = {
    "collections:OrderedDict": OrderedPickled(),
    "collections:Counter": CounterPickled(),
    "collections:defaultdict": DefaultPickled(),
    "collections:deque": DequePickled(),
    "types:SimpleNamespace": NamespacePickled(),
    **dict.fromkeys(_RECORDS, RecordPickled()),
    "builtins:complex": MadePickled("complex", lambda encoder, *args: [encoder(float(a)) for a in args]),
    "builtins:range": MadePickled("range", _three),
    "builtins:xrange": MadePickled("range", _three),
    "builtins:slice": MadePickled("slice", _three),
    "zoneinfo:ZoneInfo": MadePickled("stdlib.ZoneInfo", TIMES["zoneinfo"]),
    "zoneinfo:ZoneInfo._unpickle": MadePickled("stdlib.ZoneInfo", TIMES["zoneinfo"]),
    "decimal:Decimal": MadePickled("stdlib.Decimal", TIMES["decimal"]),
    "fractions:Fraction": MadePickled("stdlib.Fraction", TIMES["fraction"]),
    "uuid:UUID": UuidPickled(),
    "functools:partial": PartialPickled(),
    "random:Random": RandomPickled(),
    **{f"pathlib:{kind}": MadePickled("stdlib.path", _path(kind)) for kind in _PATHS},
    **{f"pathlib._local:{kind}": MadePickled("stdlib.path", _path(kind)) for kind in _PATHS},
    **{f"datetime:{kind}": MadePickled(f"stdlib.{kind}", TIMES[kind])
       for kind in ("date", "datetime", "time", "timedelta", "timezone")},
}  # fmt: skip
