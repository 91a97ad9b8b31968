"""The arguments of a log: steps, numbers and names. A value that a log cannot hold is a CannotSaveError."""

from __future__ import annotations

import operator
from typing import Any

from saver.errors import CannotSaveError, quoted
from saver.training_log.content import NAME_LIMIT, STEP_LIMIT, is_name


def step_of(step: Any) -> int:
    """A step as an int. Raises ValueError for one that is out of range."""
    try:
        found = operator.index(step)
    except TypeError:
        raise CannotSaveError(f"step: {type(step).__name__} is not a whole number; pass an int") from None
    if not 0 <= found < STEP_LIMIT:
        raise ValueError(f"step: {_short(found)} is out of range; count steps from 0 to {STEP_LIMIT - 1:,}")
    return found


def _short(number: int) -> str:
    """A number in a message; Python does not write out one of many digits."""
    return str(number) if abs(number) < 10**30 else f"a number of {number.bit_length():,} bits"


def number_of(name: str, value: Any) -> float:
    """A number, or the only element of an array or tensor, as a float. Raises ValueError for one that is too
    large for that."""
    try:
        found = value.item() if hasattr(value, "item") else value
        if not isinstance(found, (str, bytes, bytearray)):
            return float(found)
    except OverflowError:
        raise ValueError(
            f"{name[:80]!r}: the number is too large for a float; scale it, or log its logarithm"
        ) from None
    except (TypeError, ValueError, RuntimeError):  # the last one is PyTorch's
        pass
    raise CannotSaveError(
        f"{name[:80]!r}: {type(value).__name__} is not one number that a float can hold; pass a float, "
        "or log each number under its own name"
    )


def check_name(name: object) -> None:
    """Raise CannotSaveError unless this can be the name of a metric, or the kind of an event."""
    if not is_name(name):
        raise CannotSaveError(
            f"{quoted(name)} is not a name of 1 to {NAME_LIMIT} printable characters; choose another one"
        )
