"""What a cell of CSV says, by the kind of its column."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saver.schema.fields import Field

_WHOLE = re.compile(r"[+-]?\d{1,400}", re.ASCII)

_NUMBER = re.compile(r"[+-]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][+-]?\d{1,6})?", re.ASCII)

_WORD = re.compile(r"[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

_DIGITS = 20
"""No whole number of a dtype has more."""


def cell_of(field: Field, cell: str) -> Any:
    """What a cell says, in the type of its field, without rounding a whole number; the text itself if it says
    nothing of that type. An empty cell is None."""
    if cell == "":
        return None
    if field.kind == "bool":
        return _BOOLEANS.get(cell.lower(), cell)
    if field.kind not in ("int", "float") and field.plain.kind != "m":
        return cell
    text = cell.strip(" \t")
    if _WHOLE.fullmatch(text):
        return int(text) or _zero(field, text)
    if field.kind == "float":
        return float(text) if _NUMBER.fullmatch(text) or _WORD.fullmatch(text) else cell
    return _whole(text, cell) if field.kind == "int" else cell


def _zero(field: Field, text: str) -> Any:
    """A zero; of floats, with its sign."""
    return float(text) if field.kind == "float" else 0


def _whole(text: str, cell: str) -> Any:
    """A whole number that is written as 12.0 or 1.2e1; NaN, which stands for a missing one."""
    if _WORD.fullmatch(text):
        return float(text)
    if not _NUMBER.fullmatch(text):
        return cell
    exact = Decimal(text)
    if exact == 0:
        return 0
    if exact.adjusted() > _DIGITS or exact.as_tuple().exponent < -1000:  # type: ignore[operator]
        return cell
    return int(exact) if exact == int(exact) else cell
