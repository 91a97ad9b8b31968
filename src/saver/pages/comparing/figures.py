"""What is known of the numbers of an array: sums over its pieces, which can be added; pure functions."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.reading.forms import Form, numbers
from saver.tensors import Bytes

SAMPLE = 1 << 16
"""A histogram counts all entries of an array of up to so many, and so many of a larger one."""

BINS = 40
"""How many bars a histogram has."""

CHUNK = 1 << 17
"""Entries that are computed at a time. Fewer would fit a smaller cache, but two threads would then wait for
each other more than they compute: with 1 << 15, two were no faster than one."""

_LARGEST = float(np.finfo(np.float64).max)
Floats = NDArray[np.float64]
_SAFE = 1e-280, 1e280
"""Bounds between which a sum of squares has lost nothing to underflow or overflow."""


class Sums(NamedTuple):
    """Sums over the entries of an array: how many, how many of them are nan, inf, -inf and zero; of those
    that are finite, the lowest, the highest and the mean, the norm (the root of the sum of squares), and the
    norm of their distances from the mean."""

    entries: int = 0
    nan: int = 0
    above: int = 0
    below: int = 0
    zeros: int = 0
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0
    norm: float = 0.0
    spread: float = 0.0

    @property
    def finite(self) -> int:
        """How many entries are finite."""
        return self.entries - self.nan - self.above - self.below

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the finite entries; None if there are none."""
        return self.spread / math.sqrt(self.finite) if self.finite else None

    def plus(self, other: Sums) -> Sums:
        """The sums over both; means and spreads as Chan, Golub and LeVeque add them (1979)."""
        entries, nan, above, below, zeros = (a + b for a, b in zip(self[:5], other[:5], strict=True))
        low, high = min(self.low, other.low), max(self.high, other.high)
        n, m = self.finite, other.finite
        share = m / (n + m) if n + m else 0.0
        mean = self.mean * (1 - share) + other.mean * share
        between = abs(other.mean / 2 - self.mean / 2) * 2 * math.sqrt(n * share)
        norm = math.hypot(self.norm, other.norm)
        spread = math.hypot(self.spread, other.spread, between)
        return Sums(entries, nan, above, below, zeros, low, high, mean, norm, spread)


class Change(NamedTuple):
    """How an array differs from another one: how many entries have other bits, the norm and the largest size
    of the differences of entries that are finite in both."""

    changed: int = 0
    norm: float = 0.0
    largest: float = 0.0

    def plus(self, other: Change) -> Change:
        """The change over both."""
        norm, largest = math.hypot(self.norm, other.norm), max(self.largest, other.largest)
        return Change(self.changed + other.changed, norm, largest)


class Histogram(msgspec.Struct, frozen=True):
    """How often finite entries are in each of `BINS` equal ranges from `low` to `high`: of `counted` entries,
    which are all of them, or a sample that is spread evenly."""

    low: float
    high: float
    counts: tuple[int, ...]
    counted: int


def floats(raw: Bytes, form: Form) -> Floats:
    """The numbers in some bytes as float64; of a complex number, its size."""
    found = numbers(raw, form).astype(np.float64, copy=False)
    return np.hypot(found[0::2], found[1::2]) if form.count == 2 else found


def sums(values: Floats) -> Sums:
    """The sums over some entries, at least one."""
    with np.errstate(all="ignore"):
        total = float(values.sum())
        if math.isfinite(total):
            return _finite(values, Sums(values.size), total / values.size)
        nan, infinite = np.isnan(values), np.isinf(values)
        above = int(np.count_nonzero(infinite & (values > 0)))
        counts = Sums(values.size, int(nan.sum()), above, int(infinite.sum()) - above)
        values = values[~(nan | infinite)]
        return _finite(values, counts, float((values / values.size).sum())) if values.size else counts


def _finite(values: Floats, counts: Sums, mean: float) -> Sums:
    low, high = float(values.min()), float(values.max())
    zeros = int(np.count_nonzero(values == 0))
    found, size = norm(values), math.sqrt(values.size)
    inside = (found / size - abs(mean)) * (found / size + abs(mean))
    if _SAFE[0] < inside < _SAFE[1] and inside * 1e6 > (found / size) ** 2:
        spread = math.sqrt(inside) * size
    else:  # the difference of two numbers that are nearly the same has few digits
        spread = 0.0 if low == high else norm(np.clip(values - mean, -_LARGEST, _LARGEST))
    return counts._replace(zeros=zeros, low=low, high=high, mean=mean, norm=found, spread=spread)


def norm(values: Floats) -> float:
    """The root of the sum of the squares of finite numbers; infinite only if it exceeds float64."""
    square = float(np.einsum("i,i->", values, values))
    if _SAFE[0] < square < _SAFE[1]:
        return math.sqrt(square)
    scale = max(float(values.max()), -float(values.min())) if values.size else 0.0
    if scale == 0.0 or not math.isfinite(scale):
        return scale
    scaled = values / scale
    return scale * math.sqrt(float(np.einsum("i,i->", scaled, scaled)))


def change(old: tuple[Bytes, Floats], new: tuple[Bytes, Floats], form: Form, finite: bool) -> Change:
    """How some entries changed, given as bytes and as numbers; `finite` says that all of them are."""
    changed = _changed(old[0], new[0], form.size)
    if not changed:
        return Change()
    with np.errstate(all="ignore"):
        if form.count == 2:
            pairs = (numbers(new[0], form) - numbers(old[0], form)).reshape(-1, 2)
            delta = np.hypot(pairs[:, 0], pairs[:, 1])
        elif form.size == 8 and not form.is_real:  # float64 cannot hold them all
            delta = _apart(numbers(old[0], form), numbers(new[0], form))
        else:
            delta = new[1] - old[1]
        if not finite:
            delta = delta[np.isfinite(old[1]) & np.isfinite(new[1])]
    if not delta.size:
        return Change(changed)
    largest = max(float(delta.max()), -float(delta.min()))
    return Change(changed, math.inf if math.isinf(largest) else norm(delta), largest)


def _apart(old: NDArray[Any], new: NDArray[Any]) -> Floats:
    """The distances of integers of 64 bits, without the overflow that subtraction could cause."""
    high, low = (each(old, new).astype(old.dtype.newbyteorder("=")) for each in (np.maximum, np.minimum))
    found: Floats = (high.view(np.uint64) - low.view(np.uint64)).astype(np.float64)
    return found


def _changed(old: Bytes, new: Bytes, size: int) -> int:
    """How many entries have other bits."""
    if size in (1, 2, 4, 8):
        return int(np.count_nonzero(old.view(f"u{size}") != new.view(f"u{size}")))
    return int(np.count_nonzero((old != new).reshape(-1, size).any(axis=1)))


@lru_cache(16)
def places(entries: int) -> NDArray[np.int64]:
    """The entries that a histogram counts, in rising order: all, or one at random of each of `SAMPLE` equal
    stretches, always the same ones."""
    if entries <= SAMPLE:
        return np.arange(entries)
    edges = np.linspace(0, entries, SAMPLE + 1).astype(np.int64)
    shift = np.random.default_rng(0).random(SAMPLE) * np.diff(edges)
    return edges[:-1] + shift.astype(np.int64)


def histogram(sample: Floats, low: float, high: float) -> Histogram:
    """The histogram of a sample between two finite numbers. A range too wide for float64 is halved first."""
    finite = sample[np.isfinite(sample)]
    scale = 0.5 if math.isinf(high - low) else 1.0
    if high * scale - low * scale <= abs(high) * 1e-12:  # one value, or as good as one
        middle = np.zeros(BINS, np.int64)
        middle[BINS // 2] = finite.size
        return Histogram(low, high, tuple(middle.tolist()), finite.size)
    at = (finite * scale - low * scale) / (high * scale - low * scale) * BINS
    bins = np.clip(at, 0, BINS - 1).astype(np.int64)
    counts = np.bincount(bins, minlength=BINS)
    return Histogram(low, high, tuple(counts.tolist()), finite.size)
