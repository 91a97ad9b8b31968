"""Equinox: modules, by their fields, and the state of layers that have one."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="equinox",
    packages=("equinox",),
    classes="saver.families.equinox:classes.json",
    codecs="saver.families.equinox.codecs",
)
