"""Classes of the standard library that are nothing but their attributes."""

from __future__ import annotations

from collections import ChainMap, UserDict, UserList, UserString
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from saver import trust
from saver.codec import Codec, Decoder, Encoder
from saver.errors import kind_of, with_article
from saver.tree import Node, Value

_MODULES = {
    "ChainMap": "collections",
    "Namespace": "argparse",
    "NormalDist": "statistics",
    "Template": "string",
    "TextWrapper": "textwrap",
    "UserDict": "collections",
    "UserList": "collections",
    "UserString": "collections",
    "Values": "optparse",
}
"""The classes by their names, and the modules that they are in."""

_HOLDS: dict[type, tuple[str, type]] = {
    ChainMap: ("maps", list),
    UserDict: ("data", dict),
    UserList: ("data", list),
    UserString: ("data", str),
}


class RecordCodec(Codec):
    """Such objects by their attributes, made without their constructors."""

    name = "stdlib.record"
    names = frozenset(f"{module}:{name}" for name, module in _MODULES.items())
    early = True
    by_attributes = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [type(obj).__name__, encoder.attributes(obj)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, attributes = node.state
        found: Any = object.__new__(trust.resolve(f"{_MODULES[kind]}:{kind}"))
        decoder.keep(node, found)
        decoder.fill_attributes(found, attributes)
        return found

    def check(self, obj: Any) -> None:
        name, kind = _HOLDS.get(type(obj), ("", object))
        if name and type(vars(obj).get(name)) is not kind:
            raise ValueError(f"the {name} of {kind_of(obj)} is not {with_article(kind.__name__)}")
        if type(obj) is ChainMap and not (obj.maps and all(isinstance(each, Mapping) for each in obj.maps)):
            raise ValueError("a ChainMap needs mappings")
        if type(obj) is NormalDist:
            mean, deviation = getattr(obj, "_mu", None), getattr(obj, "_sigma", None)
            if type(mean) is not float or type(deviation) is not float or deviation < 0:
                raise ValueError("a NormalDist needs two floats, of which the second is not negative")


CODECS: tuple[Codec, ...] = (RecordCodec(),)
