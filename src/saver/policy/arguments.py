"""Checks the arguments of policies, and writes them back as code."""

from __future__ import annotations

import operator
import re
from fractions import Fraction
from numbers import Real
from typing import Any, cast

from saver.direction import Mode, better

_UNITS = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGTP", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTP", 1)},
}

_SIZE = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*([A-Za-z]+)", re.ASCII)


def one_of(call: str, example: str, given: dict[str, Any]) -> str:
    """The name of the one argument that is not None. Raises TypeError unless there is exactly one."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        found = f"{' and '.join(names)} together" if names else "nothing"
        raise TypeError(
            f"{call} was given {found}; pass exactly one of {', '.join(given)}, and join several: {example}"
        )
    return names[0]


def whole(call: str, name: str, value: Any, example: int) -> int:
    """A whole number, at least 1."""
    way_out = f"{name} must be a whole number of at least 1, as in {call}({name}={example})"
    try:
        found = int(operator.index(value))
    except TypeError:
        raise TypeError(f"{call}({name}={value!r}): {way_out}") from None
    if isinstance(value, bool):
        raise TypeError(f"{call}({name}={value!r}): {way_out}")
    if found < 1:
        raise ValueError(f"{call}({name}={value!r}): {way_out}")
    return found


def number(call: str, name: str, value: Any, below: float, way_out: str) -> float:
    """A number above 0 and below `below`."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{call}({name}={value!r}): {way_out}")
    if not 0 < float(value) < below:
        raise ValueError(f"{call}({name}={value!r}): {way_out}")
    return float(value)


def metric(call: str, name: str, value: Any) -> str:
    """The name of a metric."""
    if not isinstance(value, str) or not value:
        raise TypeError(f'{call}({name}={value!r}): name a metric, as in {name}="val_loss"')
    return value


def mode_of(call: str, name: str, mode: Any) -> Mode:
    """Which way the metric `name` is better: as `mode` says, or else as its name tells, as for refs such as
    `iris@best:auc`. Raises ValueError if it does not: the worst could be kept, and the best dropped."""
    if mode is None:
        found = better(name)
        if found is None:
            raise ValueError(
                f"{call}: it is not known whether more or less of {name!r} is better; write "
                f'mode="max" or mode="min"'
            )
        return found
    if mode not in ("min", "max"):
        raise ValueError(f'{call}: mode={mode!r} is not a mode; write mode="min" or mode="max"')
    return cast(Mode, mode)


def plain(value: float) -> str:
    """A float as people write it; reading it gives the same float."""
    return str(int(value)) if value.is_integer() and value < 1e15 else repr(value)


def size_of(call: str, name: str, value: Any) -> int:
    """A size in bytes, from a whole number or a string with a unit.

    kB, MB, GB, TB and PB are powers of 1000; KiB, MiB, GiB, TiB and PiB of 1024 (IEC 80000-13). Case does not
    matter.
    """
    way_out = 'write a size such as "20GB" (10**9 each) or "20GiB" (2**30 each), or a whole number of bytes'
    if isinstance(value, str):
        size = _parsed(value)
    elif isinstance(value, bool):
        size = None
    else:
        try:
            size = operator.index(value)
        except TypeError:
            size = None
    if size is None or size < 1:
        raise ValueError(f"{call}({name}={value!r}): {way_out}")
    return size


def _parsed(text: str) -> int | None:
    match = _SIZE.fullmatch(text.strip())
    units = {unit.lower(): factor for unit, factor in _UNITS.items()}
    if match is None or match[2].lower() not in units:
        return None
    return int(Fraction(match[1]) * units[match[2].lower()])


def size_text(size: int) -> str:
    """A size in the largest unit that divides it: `20GB`; `size_of` reads the same size from it."""
    fitting = {factor: unit for unit, factor in _UNITS.items() if size % factor == 0}
    factor = max(fitting)
    return f"{size // factor}{fitting[factor]}"
