"""Flax: modules of nnx with all that they hold, states, frozen dicts and train states."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="flax",
    packages=("flax",),
    classes="saver.families.flax:classes.json",
    codecs="saver.families.flax.codecs",
    references="saver.families.flax.references",
    instead={
        "flax.nnx.graphlib.GraphDef": "save the module itself, or nnx.state(module); nnx.split makes the "
        "definition of its graph again",
        "flax.nnx.variablelib.HijaxVariable": "make the variable without hijax=True",
    },
)
