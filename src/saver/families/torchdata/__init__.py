"""torchdata: data loaders that keep their position."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="torchdata",
    packages=("torchdata",),
    extra="torch",
    codecs="saver.families.torchdata.codecs",
)
