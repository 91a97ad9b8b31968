"""How much entries changed: norms, largest change, share. Computed in pieces, so that memory is bounded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saver.compare.difference import Amount, number
from saver.reading.forms import Form, numbers

PIECE = 2 << 20
"""Bytes of each version that a thread takes at a time."""

CHUNK = 1 << 15
"""Entries that are computed at a time, so that their float64 values stay in the cache of a processor."""

Bytes = NDArray[np.uint8]


def amount(before: Bytes, after: Bytes, form: Form, pool: Executor) -> Amount:
    """How much the entries of two arrays of the same form and length differ."""
    found = _sum(before, after, form, pool)
    entries = before.size // form.size
    if not form.number:
        return counted(entries, found.changed)
    return Amount(
        entries,
        found.changed,
        found.changed / entries if entries else 0.0,
        number(found.norm),
        number(found.norm / found.before) if found.before else None,
        number(found.largest),
        found.not_finite,
    )


def counted(entries: int, changed: int) -> Amount:
    """The amount for entries that are not numbers."""
    return Amount(entries, changed, changed / entries if entries else 0.0)


def strings_changed(texts: Sequence[Bytes], ends: Sequence[Bytes], entries: int) -> int:
    """How many of the first `entries` strings differ between two versions, given their letters and ends."""
    (x, y), (xs, ys) = map(bytes, texts), ([0, *side.view("<i8")[:entries].tolist()] for side in ends)
    return sum(x[xs[i] : xs[i + 1]] != y[ys[i] : ys[i + 1]] for i in range(entries))


class _Sum(NamedTuple):
    """Sums over some entries: how many changed, the norms of the change and of the old values, the largest
    change, and how many are not finite."""

    changed: int = 0
    norm: float = 0.0
    before: float = 0.0
    largest: float = 0.0
    not_finite: tuple[int, int] = (0, 0)

    def plus(self, other: _Sum) -> _Sum:
        return _Sum(
            self.changed + other.changed,
            math.hypot(self.norm, other.norm),
            math.hypot(self.before, other.before),
            max(self.largest, other.largest),
            (self.not_finite[0] + other.not_finite[0], self.not_finite[1] + other.not_finite[1]),
        )


def _sum(before: Bytes, after: Bytes, form: Form, pool: Executor) -> _Sum:
    step = max(1, PIECE // form.size) * form.size
    bounds = [*range(0, before.size, step), before.size]
    pieces = [(before[start:end], after[start:end], form) for start, end in pairwise(bounds)]
    total = _Sum()
    for found in (pool.map if len(pieces) > 1 else map)(_piece_sum, pieces):
        total = total.plus(found)
    return total


def _piece_sum(piece: tuple[Bytes, Bytes, Form]) -> _Sum:
    before, after, form = piece
    total = _Sum()
    step = CHUNK * form.size
    with np.errstate(all="ignore"):
        for at in range(0, before.size, step):
            total = total.plus(_chunk_sum(before[at : at + step], after[at : at + step], form))
    return total


def _chunk_sum(before: Bytes, after: Bytes, form: Form) -> _Sum:
    changed = _changed(before, after, form.size)
    if not form.number:
        return _Sum(changed)
    old = numbers(before, form)
    if not form.is_real:
        sizes = _integer_change(old, numbers(after, form)) if changed else np.zeros(1)
        return _Sum(changed, _norm(sizes), _norm(old.astype(np.float64)), float(sizes.max()))
    new = numbers(after, form) if changed else old
    change = new - old
    norm, size = _norm(change), _norm(old)
    if not math.isfinite(norm) or not math.isfinite(size):
        return _guarded_sum(changed, old, new, change, form.count)
    return _Sum(changed, norm, size, _largest(change, form.count))


def _changed(before: Bytes, after: Bytes, size: int) -> int:
    """How many entries have different bits."""
    if size in (1, 2, 4, 8):
        word = f"u{size}"
        return int(np.count_nonzero(before.view(word) != after.view(word)))
    return int(np.count_nonzero((before != after).reshape(-1, size).any(axis=1)))


def _integer_change(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.float64]:
    """Absolute differences, without the overflow that subtraction could cause."""
    unsigned = f"u{old.dtype.itemsize}"
    high, low = (bound(old, new).astype(old.dtype.newbyteorder("=")) for bound in (np.maximum, np.minimum))
    sizes: NDArray[np.float64] = (high.view(unsigned) - low.view(unsigned)).astype(np.float64)
    return sizes


def _guarded_sum(
    changed: int, old: NDArray[Any], new: NDArray[Any], change: NDArray[Any], count: int
) -> _Sum:
    """The same if some numbers are not finite."""
    finite = np.isfinite(old), np.isfinite(new)
    lost = [side.size // count - int(side.reshape(-1, count).all(axis=1).sum()) for side in finite]
    change = np.where(finite[0] & finite[1], change, 0.0)
    old = np.where(finite[0], old, 0.0)
    return _Sum(changed, _norm(change), _norm(old), _largest(change, count), (lost[0], lost[1]))


_SAFE = 1e-280, 1e280
"""Bounds between which a sum of squares has lost nothing to underflow or overflow."""


def _norm(array: NDArray[np.float64]) -> float:
    square = _square(array)
    if _SAFE[0] < square < _SAFE[1]:
        return math.sqrt(square)
    scale = _largest(array, 1)
    if scale == 0.0 or not math.isfinite(scale):
        return scale
    return scale * math.sqrt(_square(array / scale))


def _square(array: NDArray[np.float64]) -> float:
    """The sum of squares; not by `@`, which starts its own threads."""
    return float(np.einsum("i,i->", array, array))


def _largest(array: NDArray[np.float64], count: int) -> float:
    if count == 2:
        return float(np.hypot(array[0::2], array[1::2]).max())
    return max(float(array.max()), -float(array.min()))
