"""JAX: arrays, random keys, and the functions and dtypes that layers hold."""

from __future__ import annotations

from saver.codec import Codec
from saver.families.jax.arrays import ArrayCodec
from saver.families.jax.named import NamedCodec
from saver.families.jax.placed import ArrayRestorer
from saver.families.jax.specs import SpecCodec
from saver.restoring import Restorer

CODECS: tuple[Codec, ...] = (ArrayCodec(), NamedCodec(), SpecCodec())
RESTORERS: tuple[Restorer, ...] = (ArrayRestorer(),)
