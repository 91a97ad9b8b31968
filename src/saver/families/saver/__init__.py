"""Saver's own objects that are parts of versions."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="saver",
    packages=("saver",),
    distribution="saver-ml",
    codecs="saver.families.saver.codecs",
    reading="saver.families.saver.reading",
)
