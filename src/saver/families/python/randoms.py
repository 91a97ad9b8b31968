"""The random generator of Python's standard library."""

from __future__ import annotations

import random
from typing import Any

from saver.codec import Codec, Decoder, Encoder, listed
from saver.families.python.classes import ClosedCodec
from saver.families.python.columns import decode_run, encode_whole_run
from saver.tree import Node, Value

_VERSION = 3
"""Of what `random.Random.getstate` returns; `setstate` would take older ones, too."""


class RandomCodec(ClosedCodec):
    """`random.Random`, which continues the same sequence."""

    name = "stdlib.Random"
    types = (random.Random,)
    fields = ("gauss_next",)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        version, words, gauss = obj.getstate()
        return [version, encode_whole_run(words, encoder), encoder(gauss)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        version, words, gauss = listed(node.state, 3)
        state, normal = tuple(decode_run(words, decoder)), decoder(gauss)
        if type(version) is not int or version != _VERSION:
            raise ValueError(f"the state of a Random has the version {_VERSION}")
        if not all(type(word) is int and 0 <= word < 1 << 32 for word in state):
            raise ValueError("the words of a Random have 32 bits")
        if normal is not None and type(normal) is not float:
            raise ValueError("the next normal number of a Random is a float")
        found = random.Random(0)
        found.setstate((version, state, normal))
        return found


CODECS: tuple[Codec, ...] = (RandomCodec(),)
