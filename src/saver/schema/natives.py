"""What may stand in a field that comes from a file: a closed list of dtypes, of bounded size.

The library of the container makes an object from what `native` says. Some of its texts open files (as
time zones), take memory (`S1000000000`) or are dtypes that the field does not have.
"""

from __future__ import annotations

import re
import zoneinfo
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saver.schema.fields import Field

LARGEST = 1 << 31
"""The size that an axis may have, and the product of all."""

AXES = 32

_NUMBER = r"u?int(?:8|16|32|64)|float(?:16|32|64)|bool"
_NULLABLE = r"U?Int(?:8|16|32|64)|Float(?:32|64)|boolean"
_TEXT = r"object|str|string|(?:string|large_string)\[\w{1,20}\]"
_ARROW = r"(u?int(?:8|16|32|64)|halffloat|float|double|bool)\[\w{1,20}\]"
_SPARSE = rf"Sparse\[({_NUMBER}), (?:nan|0|0\.0|False)\]"
_TIMES = r"datetime64\[(?:s|ms|us|ns)\]"
_ZONED = r"(datetime64\[(?:s|ms|us|ns)), ([\w+:/-]{1,60})\]"
_CATEGORY = r"category\[(.{1,100})\]"
_MATRIX = r"csr_(?:array|matrix)"

_PLAIN = {"boolean": "bool", "halffloat": "float16", "float": "float32", "double": "float64"}

_OFFSET = re.compile(r"UTC[+-](?:[01]\d|2[0-3]):[0-5]\d", re.ASCII)

_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}", re.ASCII)

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters in a name that would control the terminal on which a library's message shows it."""

_LIBRARY = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


def is_library(name: str) -> bool:
    """Whether a text may be the name of a family."""
    return _LIBRARY.fullmatch(name) is not None


def fault_of(field: Field) -> str | None:
    """What is unsound about a field, as the rest of a sentence; None if nothing is."""
    shape, size = field.shape, 1
    for each in shape:
        size *= max(1, each or 1)
    if not 1 <= len(shape) <= AXES or any(each is not None and each < 0 for each in shape) or size > LARGEST:
        return "has no sound shape"
    if _CONTROLS.search(field.name):
        return "has control characters in its name"
    if field.native and dtype_of(field.native) not in (field.dtype, ANY):
        return f"has the dtype {field.dtype}, which is not that of {field.native[:80]!r}"
    return _fault_of_categories(field)


def _fault_of_categories(field: Field) -> str | None:
    kinds = {"float": (int, float), "int": (int,), "bool": (bool,), "str": (str,)}.get(field.kind)
    if not field.categories:
        return None
    fits = kinds is None or all(
        isinstance(each, kinds) and (kinds == (bool,) or not isinstance(each, bool))
        for each in field.categories
    )
    return None if fits else f"has categories that are not of {field.dtype}"


ANY = "any"
"""Stands for every dtype: a sparse matrix has what its values have."""


def dtype_of(native: str) -> str | None:
    """The dtype of a field of which the library says this; None if it is not one that Saver writes."""
    if inner := _match(_CATEGORY, native):
        return None if _match(_CATEGORY, inner[1]) or _match(_MATRIX, inner[1]) else dtype_of(inner[1])
    if found := _match(_ZONED, native):
        return f"{found[1]}]" if is_zone(found[2]) else None
    if _match(_NUMBER, native) or _match(_TIMES, native):
        return native
    if _match(_NULLABLE, native):
        return _PLAIN.get(native, native.lower())
    if _match(_TEXT, native):
        return "str"
    if found := _match(_ARROW, native) or _match(_SPARSE, native):
        return _PLAIN.get(found[1], found[1]) if not native.startswith("Sparse") else found[1]
    return ANY if _match(_MATRIX, native) else None


def _match(pattern: str, text: str) -> re.Match[str] | None:
    return re.fullmatch(pattern, text, re.ASCII)


@lru_cache(1000)
def is_zone(name: str) -> bool:
    """Whether a text names a time zone: UTC, an offset from it, or one of the system's by its name. No other
    file is opened for it."""
    if name == "UTC" or _OFFSET.fullmatch(name):
        return True
    if not _ZONE.fullmatch(name) or name.startswith(("UTC+", "UTC-")):
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones, too
        return False
    return True
