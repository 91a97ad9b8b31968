"""torchdata: data loaders that know where they stand."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="torchdata",
    packages=("torchdata",),
    extra="torch",
    codecs="saver.families.torchdata.codecs",
)
