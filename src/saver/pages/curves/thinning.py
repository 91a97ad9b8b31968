"""Curves as few points as a picture shows, from blocks of which each was read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from saver.pages.curves.logs import AnyBlock
from saver.plotting.lines import Floats, Steps, thinned

WITHIN = 256
"""Columns into which a block of up to 65,536 rows is thinned, so that it takes 20 kB."""

KEPT = 64 << 20
"""Bytes of thinned blocks that are kept for the next page that shows them."""


class Thin(NamedTuple):
    """A block, thinned. `low` and `high` are the lowest and the highest finite value, each with its step, the
    first one that has it; None if there is none."""

    steps: Steps
    values: Floats
    not_finite: int
    low: tuple[int, float] | None
    high: tuple[int, float] | None


class Picture(NamedTuple):
    """A curve in a picture: its points, and what is known of all of it, also outside of the picture."""

    steps: Steps
    values: Floats
    rows: int
    not_finite: int
    first: tuple[int, float] | None
    last: tuple[int, float] | None
    low: tuple[int, float] | None
    high: tuple[int, float] | None


class Thinner:
    """Thins blocks; remembers those that were thinned last. Safe for threads."""

    def __init__(self, most: int = KEPT) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[tuple[Any, ...], Thin] = OrderedDict()
        self._lock = Lock()

    def __call__(self, block: AnyBlock) -> Thin:
        """A block, thinned."""
        with self._lock:
            found = self._kept.get(block.key)
            if found is not None:
                self._kept.move_to_end(block.key)
                return found
        found = thin(*block.read())
        with self._lock:
            if block.key not in self._kept:
                self._kept[block.key] = found
                self._size += _size(found)
            while self._size > self._most:
                self._size -= _size(self._kept.popitem(last=False)[1])
        return found

    def picture(
        self, blocks: Sequence[AnyBlock], columns: int, low: int | None = None, high: int | None = None
    ) -> Picture:
        """The curve of some blocks from the step `low` to `high` (None: all of it), for a picture that is
        `columns` pixels wide. One point on each side of it is kept, so that lines lead out of the picture."""
        found = self.summary(blocks)
        if found.first is None or found.last is None:
            return found
        held = [(self(block), block) for block in blocks]
        low = found.first[0] if low is None else low
        high = found.last[0] if high is None else high
        first = sum(thin.steps[-1] < low for thin, _ in held)
        last = sum(thin.steps[0] <= high for thin, _ in held)
        # Thinned blocks do if each of their columns is narrower than one of the picture.
        exact = (last - first - 2) * WITHIN < columns
        parts = [
            block.read() if exact and first <= at < last else thin[:2]
            for at, (thin, block) in enumerate(held)
            if first - 1 <= at <= last
        ]
        steps = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
        values = np.concatenate([np.empty(0), *(part[1] for part in parts)])
        steps, values = thinned(*_between(steps, values, low, high), low, high, columns)
        return found._replace(steps=steps, values=values)

    def summary(self, blocks: Sequence[AnyBlock]) -> Picture:
        """What is known of the curve of some blocks, without points."""
        thins = [self(block) for block in blocks]
        if not thins:
            return Picture(np.empty(0, np.int64), np.empty(0), 0, 0, None, None, None, None)
        return Picture(
            np.empty(0, np.int64), np.empty(0),
            sum(block.rows for block in blocks), sum(thin.not_finite for thin in thins),
            _point(thins[0], 0), _point(thins[-1], -1),
            _least([thin.low for thin in thins], 1), _least([thin.high for thin in thins], -1),
        )  # fmt: skip


def thin(steps: Steps, values: Floats) -> Thin:
    """A block with at most a few points for each of `WITHIN` columns; the first and the last stay."""
    finite = np.isfinite(values)
    known = np.flatnonzero(finite)
    low = high = None
    if len(known):
        at, to = known[values[known].argmin()], known[values[known].argmax()]
        low, high = (int(steps[at]), float(values[at])), (int(steps[to]), float(values[to]))
    kept, held = thinned(steps, values, int(steps[0]), int(steps[-1]), WITHIN)
    if not (kept[0] == steps[0] and _same(held[0], values[0])):
        kept, held = np.r_[steps[:1], kept], np.r_[values[:1], held]
    if not (kept[-1] == steps[-1] and _same(held[-1], values[-1])):
        kept, held = np.r_[kept, steps[-1:]], np.r_[held, values[-1:]]
    return Thin(kept, held, len(values) - len(known), low, high)


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)


def _between(steps: Steps, values: Floats, low: int, high: int) -> tuple[Steps, Floats]:
    first = max(int(steps.searchsorted(low)) - 1, 0)
    last = int(steps.searchsorted(high, "right")) + 1
    return steps[first:last], values[first:last]


def _point(thin: Thin, at: int) -> tuple[int, float]:
    return int(thin.steps[at]), float(thin.values[at])


def _least(points: Sequence[tuple[int, float] | None], sign: int) -> tuple[int, float] | None:
    found = [point for point in points if point is not None]
    return min(found, key=lambda point: (sign * point[1], point[0]), default=None)


def _size(thin: Thin) -> int:
    return int(thin.steps.nbytes) + int(thin.values.nbytes) + 500
