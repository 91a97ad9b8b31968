"""Python itself: builtins, classes of the standard library, and the results of `class` and `def`."""

from __future__ import annotations

from saver.families.python.instead import INSTEAD
from saver.family import Family

FAMILY = Family(
    name="python",
    packages=(
        "builtins",
        "_operator",
        "cmath",
        "collections",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "math",
        "operator",
        "pathlib",
        "random",
        "types",
        "uuid",
        "zoneinfo",
    ),
    codec_roots=("builtins", "stdlib"),
    user_codecs=("dataclass", "derived", "derived_value", "enum", "namedtuple", "object"),
    codecs="saver.families.python.codecs",
    references="saver.families.python.references",
    reading="saver.families.python.reading",
    pickles="saver.families.python.pickles",
    instead=INSTEAD,
)
