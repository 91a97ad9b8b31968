"""JAX: arrays and random keys."""

from __future__ import annotations

from saver.codec import Codec
from saver.families.jax.arrays import ArrayCodec

CODECS: tuple[Codec, ...] = (ArrayCodec(),)
