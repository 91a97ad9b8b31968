"""JAX: arrays, random keys, and the functions and dtypes that layers hold."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="jax",
    packages=("jax", "jaxlib"),
    codecs="saver.families.jax.codecs",
    reading="saver.families.jax.reading",
    references="saver.families.jax.references",
)
