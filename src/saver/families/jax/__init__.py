"""JAX: arrays."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="jax",
    packages=("jax", "jaxlib"),
    codecs="saver.families.jax.codecs",
)
