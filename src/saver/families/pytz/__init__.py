"""pytz: time zones."""

from __future__ import annotations

from saver.family import Family

FAMILY = Family(
    name="pytz",
    packages=("pytz",),
    codecs="saver.families.pytz.codecs",
    pickles="saver.families.pytz.pickles",
)
