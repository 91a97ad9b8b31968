"""A codec of objects that are their attributes."""

from __future__ import annotations

from typing import Any

from saver import trust
from saver.codec import Codec, Decoder, Encoder
from saver.tree import Node, Value


class AttributesCodec(Codec):
    """Instances of classes that the derived codec accepts, by their attributes; no code of the class runs."""

    bare = True
    early = True

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.attributes(obj)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and self.accepts(cls)):
            raise ValueError(f"{cls!r} is not a class that this codec builds")
        obj: Any = object.__new__(cls)
        decoder.keep(node, obj)
        self.fill(obj, node.state, decoder)
        return obj

    def fill(self, obj: Any, state: Any, decoder: Decoder) -> None:
        """Give the object its attributes."""
        decoder.fill_attributes(obj, state)
