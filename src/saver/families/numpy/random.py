"""NumPy's random generators, which continue the same sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver.codec import Codec, Decoder, Encoder, is_array, keyed, listed
from saver.errors import kind_of
from saver.random_states import check_bits
from saver.tree import Node, Value

_BIT_GENERATORS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64)
}
_POOL_LIMIT = 1024
_SEED_BITS = 1 << 16
"""Larger seeds are refused: NumPy takes quadratic time to divide an integer into words."""


_SEED_ITEMS = 1 << 16
"""The most numbers and sequences in a seed: a file of some hundred bytes can nest lists so that each holds
the next one twice."""


def _words(*seeds: Any) -> int:
    """The number of 32-bit words that seeds are mixed from. Raises ValueError unless they consist of integers
    of reasonable size."""
    waiting, words, seen = list(seeds), 0, 0
    while waiting:
        seed = waiting.pop()
        seen += 1
        if seen > _SEED_ITEMS:
            raise ValueError(f"a seed consists of more than {_SEED_ITEMS:,} numbers")
        if isinstance(seed, (list, tuple)):
            waiting += seed[:_SEED_ITEMS]
        elif is_array(seed) and seed.dtype.kind in "iu":
            words += 2 * seed.size
        elif seed is None or (isinstance(seed, (int, np.integer)) and int(seed).bit_length() <= _SEED_BITS):
            words += 1 if seed is None else 1 + int(seed).bit_length() // 32
        else:
            raise ValueError(f"a seed does not consist of integers of at most {_SEED_BITS} bits")
    return words


class SeedSequenceCodec(Codec):
    """Seeds and how many children they have spawned."""

    name = "numpy.SeedSequence"
    types = (np.random.SeedSequence,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.check(_words, obj.entropy, obj.spawn_key)
        return {name: encoder(value) for name, value in obj.state.items()}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        held = keyed(node.state, "entropy", "n_children_spawned", "pool_size", "spawn_key")
        state = {name: decoder(value) for name, value in held.items()}
        if type(state["n_children_spawned"]) is not int:
            raise ValueError("the number of children that were spawned is not an integer")
        if type(state["pool_size"]) is not int or not 4 <= state["pool_size"] <= _POOL_LIMIT:
            raise ValueError(f"a pool has 4 to {_POOL_LIMIT:,} words")
        pool = state["pool_size"]
        decoder.budget.charge(steps=pool * (pool + _words(state["entropy"], state["spawn_key"])))
        return np.random.SeedSequence(**state)


class BitGeneratorCodec(Codec):
    """Bit generators, which continue the same sequence and spawn the same children."""

    name = "numpy.BitGenerator"
    types = tuple(_BIT_GENERATORS.values())

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        seeds = obj.seed_seq
        if not (seeds is None or type(seeds) is np.random.SeedSequence):
            encoder.refuse(f"a bit generator seeded by {kind_of(seeds)} has no data form; use a SeedSequence")
        return [type(obj).__name__, encoder(obj.state, "state"), encoder(seeds, "seed_seq")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, state_node, seeds_node = listed(node.state, 3)
        state, seeds = decoder(state_node), decoder(seeds_node)
        if not (seeds is None or isinstance(seeds, np.random.SeedSequence)):
            raise ValueError("the seeds are not a SeedSequence")
        check_bits(kind, state)
        decoder.budget.charge(steps=1000)
        found = _BIT_GENERATORS[kind](0 if seeds is None else seeds)
        if seeds is None and kind == "MT19937":
            found._legacy_seeding(0)  # as RandomState(seed) does: it has no SeedSequence to spawn from
        found.state = state
        return found


class GeneratorCodec(Codec):
    """A generator consists of its bit generator, which other generators may share."""

    name = "numpy.Generator"
    types = (np.random.Generator,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(obj.bit_generator, "bit_generator")

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return np.random.Generator(_bits(decoder(node.state)))


class RandomStateCodec(Codec):
    """The legacy generator. Besides its bit generator, it stores every second normal number."""

    name = "numpy.RandomState"
    types = (np.random.RandomState,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = obj.get_state(legacy=False)
        bits = encoder(obj._bit_generator, "bit_generator")
        return [bits, state["has_gauss"], encoder(state["gauss"])]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        bits_node, has_gauss, gauss = listed(node.state, 3)
        bits = _bits(decoder(bits_node))
        number = decoder(gauss)
        if type(has_gauss) is not int or has_gauss not in (0, 1) or type(number) is not float:
            raise ValueError("a normal number is left (1) or not (0), and is a float")
        found = np.random.RandomState(bits)
        state: Any = dict(bits.state, has_gauss=has_gauss, gauss=number)
        found.set_state(state)
        return found


def _bits(value: Any) -> Any:
    if type(value) not in BitGeneratorCodec.types:
        raise ValueError("the content is not a bit generator")
    return value
