"""Prepares curves for drawing: pure functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from saver.plotting.panels import Curves

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

SQUEEZED = 100.0
"""Ratio of the extremes of a positive curve from which on it may need a logarithmic axis."""

SMALLEST = 1e-300
LARGEST = 1e150
"""Axes of larger numbers overflow, and so do logarithmic axes of numbers smaller than its inverse."""

NOISE = 30
"""A curve that travels more often than this from its lowest to its highest value is noisy."""

AUTOMATIC = 100
"""An automatic average extends over the width of the picture divided by this."""

PLAIN = 7
"""Ticks longer than this are written in powers of ten, if that makes them shorter."""

_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def check_smooth(weight: float | None) -> None:
    """Raise ValueError unless this is the weight of an average, or None for no average."""
    if weight is not None and not 0 <= weight < 1:
        raise ValueError(f"smooth={weight!r} is not a weight; pass a number from 0 to below 1, such as 0.9")


def smoothed(steps: Steps, values: Floats, weight: float, gap: float) -> Floats:
    """The exponential moving average, free of the bias of its beginning (Kingma and Ba 2015, section 3).

    `weight` is the weight of the past after `gap` steps, so that a curve with a hundred times the points of
    another is smoothed alike. Values that are not finite are left as they are, and do not count.
    """
    weights = weight ** np.maximum(np.diff(steps, prepend=steps[:1] - 1) / gap, 1.0)
    mean = share = 0.0
    found = []
    for value, past in zip(values.tolist(), weights.tolist(), strict=True):
        if math.isfinite(value):
            mean = past * mean + (1 - past) * value
            share = past * share + (1 - past)
            value = mean / share
        found.append(value)
    return np.array(found, np.float64)


def averaged(
    steps: Steps, values: Floats, weight: float | None, gap: float, ends: tuple[int, int]
) -> Floats | None:
    """The moving average to draw in front of the values; None if the values are drawn alone.

    Without a weight, only noise is averaged, over about a hundredth of the picture.
    """
    if weight is None:
        extent = (ends[1] - ends[0]) / (AUTOMATIC * gap)
        weight = math.exp(-1 / extent) if extent > 1 and noisy(values) else 0.0
    return smoothed(steps, values, weight, gap) if weight and len(values) > 2 else None


def noisy(values: Floats) -> bool:
    """Whether a curve goes up and down too often to be followed."""
    known = drawable(values[np.isfinite(values)])
    if len(known) < NOISE:
        return False
    return bool(np.abs(np.diff(known)).sum() > NOISE * (known.max() - known.min()))


def usual_gap(curves: Iterable[Steps]) -> float:
    """The steps between two points of the densest curve."""
    return min((float(np.median(np.diff(steps))) for steps in curves if len(steps) > 1), default=1.0) or 1.0


def thinned(steps: Steps, values: Floats, low: float, high: float, columns: int) -> tuple[Steps, Floats]:
    """A few of the points from the steps `low` to `high`, which look like all of them in a picture that is
    `columns` pixels wide.

    Of each column of pixels, the first, last, lowest and highest point are kept. Points that are not finite
    are kept if a column has no others, so that gaps stay gaps.
    """
    if len(steps) <= 4 * columns:
        return steps, values
    place = ((steps - low) * (columns / (high - low))).astype(np.int64) if high > low else 0 * steps
    known = np.isfinite(values)
    kept = np.zeros(len(steps), np.bool_)
    inside = np.flatnonzero(known)
    if len(inside):
        column, held = place[inside], values[inside]
        starts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
        lengths = np.diff(starts, append=len(column))
        kept[inside[starts]] = kept[inside[starts + lengths - 1]] = True
        for extreme in (np.minimum, np.maximum):
            at = np.flatnonzero(held == np.repeat(extreme.reduceat(held, starts), lengths))
            kept[inside[at[np.diff(column[at], prepend=column[0] - 1) > 0]]] = True
    empty = np.flatnonzero(~known)
    lonely = empty[~np.isin(place[empty], place[inside])]
    kept[lonely[np.diff(place[lonely], prepend=-1) != 0]] = True
    return steps[kept], values[kept]


def isolated(values: Floats) -> NDArray[np.bool_]:
    """Points without a line to them, because their neighbours are missing or not finite."""
    known = np.concatenate(([False], np.isfinite(values), [False]))
    return known[1:-1] & ~known[:-2] & ~known[2:]


def drawable(values: Floats) -> Floats:
    """The values, with nan for those that are not finite, limited so that the extent of an axis is finite."""
    return np.clip(np.where(np.isfinite(values), values, np.nan), -LARGEST, LARGEST)


def wants_log(curves: Iterable[Floats]) -> bool:
    """Whether a logarithmic axis shows more: all values are positive, and most are far below the highest."""
    parts = [values[np.isfinite(values)] for values in curves]
    joined = np.concatenate(parts) if parts else np.empty(0)
    if not len(joined) or joined.min() < 1 / LARGEST:
        return False
    highest = joined.max()
    return bool(joined.min() * SQUEEZED <= highest and np.median(joined) * 10 <= highest)


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(1, count)
    if rough < SMALLEST:  # there are no round numbers between numbers this close
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [
        number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def decades(low: float, high: float, count: int) -> list[float]:
    """At most `count` powers of ten from `low` to `high`."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**power for power in range(first, last + 1, max(1, -(-(last - first + 1) // count)))]


def span(runs: Mapping[str, Curves], names: Iterable[str]) -> tuple[int, int]:
    """The first and the last step of some metrics in all runs."""
    held = [log[name][0] for name in names for log in runs.values() if name in log]
    return min(int(steps[0]) for steps in held), max(int(steps[-1]) for steps in held)


def axis_name(runs: Mapping[str, Curves]) -> str:
    """`epoch` if the steps are epochs, otherwise `step`."""
    for log in runs.values():
        if "epoch" not in log or len(log["epoch"][0]) != len(log["time"][0]):
            return "step"
        steps, epochs = log["epoch"]
        if not np.array_equal(steps, epochs):
            return "step"
    return "epoch"


def step_text(step: float) -> str:
    """`0`, `750`, `1.5k`, `20M`."""
    for unit, letter in _UNITS:
        if abs(step) >= unit:
            return f"{step / unit:.4g}{letter}"
    return f"{step:.4g}"


def value_texts(values: Sequence[float]) -> list[str]:
    """Values as the ticks of one axis show them, all alike: `0.25` and `0.5`, or `1e-6` and `1e0`."""
    rounded = [float(f"{value + 0.0:.10g}") for value in values]
    plain = [np.format_float_positional(value, trim="-") for value in rounded]
    powers = list(map(_power_text, rounded))
    longest, shorter = max(map(len, plain), default=0), max(map(len, powers), default=0)
    return plain if longest <= max(PLAIN, shorter) else powers


def _power_text(value: float) -> str:
    mantissa, _, exponent = np.format_float_scientific(value, trim="-").partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"
