"""Apache Arrow: arrays, tables, types."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="pyarrow",
    packages=("pyarrow",),
    extra="pandas",
    codecs="saver.families.pyarrow.codecs",
    fingerprints="saver.families.pyarrow.fingerprints",
    predicting="saver.families.pyarrow.predicting",
    pickles="saver.families.pyarrow.pickles",
)
