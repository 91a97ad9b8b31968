"""SciPy: sparse arrays, distributions, interpolators, search trees."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="scipy",
    packages=("scipy",),
    codecs="saver.families.scipy.codecs",
    references="saver.families.scipy.references",
    fingerprints="saver.families.scipy.fingerprints",
    homes=("scipy.special",),
    change=Change(
        "note", "note", "ok", "arrays are the same; distributions and interpolators keep private state"
    ),
)
