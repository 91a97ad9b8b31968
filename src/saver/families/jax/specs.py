"""How arrays are to be scattered, as layers and variables say it."""

from __future__ import annotations

from typing import Any

from jax.sharding import PartitionSpec

from saver.codec import Codec, Decoder, Encoder
from saver.tree import Node, Value


class SpecCodec(Codec):
    """`PartitionSpec`: for each axis of an array the name of an axis of the mesh, several, or None."""

    name = "jax.PartitionSpec"
    types = (PartitionSpec,)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        found = [list(each) if type(each) is tuple else each for each in obj]
        if obj.unreduced or obj.reduced or not all(map(_is_axis, found)):
            encoder.refuse("only names of axes, tuples of names and None have a data form in a PartitionSpec")
        return found

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found: Any = node.state
        if type(found) is not list or not all(map(_is_axis, found)):
            raise ValueError("the axes of a PartitionSpec are names, lists of names, or None")
        return PartitionSpec(*(tuple(each) if type(each) is list else each for each in found))


def _is_axis(each: Any) -> bool:
    if type(each) is list:
        return all(type(name) is str for name in each)
    return each is None or type(each) is str
