"""dateutil: time zones."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="dateutil",
    packages=("dateutil",),
    distribution="python-dateutil",
    codecs="saver.families.dateutil.codecs",
    pickles="saver.families.dateutil.pickles",
)
