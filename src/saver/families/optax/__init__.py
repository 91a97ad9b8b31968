"""Optax: the states of its optimizers."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="optax",
    packages=("optax",),
    codecs="saver.families.optax.codecs",
    instead={
        "optax.transforms._accumulation.MultiSteps": "it is made of functions: make it again with the same "
        "arguments, and save the state that its `init` returned",
    },
)
