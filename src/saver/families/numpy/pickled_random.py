"""NumPy's random generators as pickles describe them."""

from __future__ import annotations

from typing import Any

from saver.codec import Encoder
from saver.pickled import Call, Global, NotReadError, Pairs, Pickled, fields_of, sequence
from saver.tree import Value

_MAKER = Global("numpy.random._pickle", "__bit_generator_ctor")
_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def _kind(value: Any) -> str:
    """The kind of a bit generator, by its name or class."""
    name = value.name if type(value) is Global else value
    if name not in _BIT_GENERATORS:
        raise NotReadError(f"{str(name)[:40]!r} is not a bit generator of NumPy")
    return str(name)


def _mt19937(state: Any) -> Pairs:
    """A state of NumPy before 1.17: a tuple of five."""
    parts = sequence(state, "a random state")
    if len(parts) < 3 or parts[0] != "MT19937":
        raise NotReadError("a random state is not one of the Mersenne Twister")
    gauss = parts[3:5] if len(parts) >= 5 else [0, 0.0]
    inner = Pairs([("key", parts[1]), ("pos", parts[2])])
    names = ("bit_generator", "state", "has_gauss", "gauss")
    return Pairs(list(zip(names, ("MT19937", inner, *gauss), strict=True)))


class BitsPickled(Pickled):
    """Bit generators: the kind, the state, and the seeds if there are any."""

    name = "numpy.BitGenerator"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state, seeds = obj.state, None
        if type(state) is tuple and len(state) == 2:
            state, seeds = state
        kind = _kind(obj.args[0] if obj.args else "MT19937")
        return [kind, encoder(state, "state"), encoder(seeds, "seed_seq")]


class StatePickled(Pickled):
    """`RandomState`: its bit generator, and every second normal number."""

    name = "numpy.RandomState"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = obj.state if type(obj.state) is Pairs else _mt19937(obj.state)
        found = fields_of(state, "a random state")
        bits = obj.args[0] if obj.args else "MT19937"
        kind = bits.args[0] if type(bits) is Call and bits.args else bits
        inner = Pairs([("bit_generator", _kind(kind)), ("state", found.get("state"))])
        seeds = bits.state[1] if type(bits) is Call and type(bits.state) is tuple else None
        made = Call(_MAKER, (_kind(kind),), state=(inner, seeds), has_state=True)
        has_gauss, gauss = found.get("has_gauss", 0), found.get("gauss", 0.0)
        return [encoder(made, "bit_generator"), has_gauss, encoder(gauss)]


class GeneratorPickled(Pickled):
    """`Generator`: its bit generator, with a state of its own in old pickles."""

    name = "numpy.Generator"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        bits = obj.args[0] if obj.args else None
        if type(bits) is not Call:
            bits = Call(_MAKER, (_kind(bits),), state=obj.state, has_state=True)
        return encoder(bits, "bit_generator")


_SEEDS = ("entropy", "n_children_spawned", "pool", "pool_size", "spawn_key")


class SeedsPickled(Pickled):
    """`SeedSequence`: its fields in alphabetical order, as the compiled class writes them."""

    name = "numpy.SeedSequence"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        given = obj.state if obj.has_state else (*obj.args, None, None, None)[2]
        values = sequence(given, "the state of a SeedSequence")
        if len(values) < len(_SEEDS):
            raise NotReadError("the state of a SeedSequence lacks fields")
        found = dict(zip(_SEEDS, values, strict=False))
        return {
            name: encoder(found[name]) for name in ("entropy", "spawn_key", "pool_size", "n_children_spawned")
        }


GENERATORS: dict[str, Pickled] = {
    "numpy.random._pickle:__bit_generator_ctor": BitsPickled(),
    "numpy.random._pickle:__randomstate_ctor": StatePickled(),
    "numpy.random:__RandomState_ctor": StatePickled(),
    "numpy.random._pickle:__generator_ctor": GeneratorPickled(),
    "numpy.random.bit_generator:__pyx_unpickle_SeedSequence": SeedsPickled(),
    "numpy.random._bit_generator:__pyx_unpickle_SeedSequence": SeedsPickled(),
}
