"""The content of a log: columns that grow, and views of them for others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STEP_LIMIT = 10**15
NAME_LIMIT = 200
REF_LIMIT = 1000

OWN = ("step", "epoch", "time")
"""The values of a row that are not metrics."""


class Event(NamedTuple):
    """An event of a run at a step. `kind` is "saved", "resumed", or a word of your own; `time` is Unix time,
    UTC; `ref` names the version, if there is one."""

    kind: str
    step: int
    time: float
    ref: str


class Column(NamedTuple):
    """The values of a metric, and the rows that have them: consecutive rows from `rows` on if that is a
    number, otherwise the rows that it lists, in rising order."""

    rows: int | NDArray[np.int64]
    values: NDArray[np.float64]

    def where(self) -> NDArray[np.int64] | slice:
        """The index that selects these rows from an array."""
        return self.rows if not isinstance(self.rows, int) else slice(self.rows, self.rows + len(self.values))


class Content(NamedTuple):
    """The whole content of a log, as arrays. Columns are by name, in the order in which they appeared."""

    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    columns: dict[str, Column]
    events: Sequence[Event]


class Growing:
    """A column that is appended to.

    Elements below `size` are never changed, since others may see them. The array is larger, with room for
    more; if others see all of it, it is left to them, and the next value goes into a copy.
    """

    __slots__ = ("first", "rows", "size", "values")

    def __init__(self, column: Column) -> None:
        contiguous = isinstance(column.rows, int)
        self.first: int = column.rows if contiguous else 0  # type: ignore[assignment]
        self.rows: NDArray[np.int64] | None = None if contiguous else column.rows  # type: ignore[assignment]
        self.values = column.values
        self.size = len(column.values)

    def append(self, row: int, value: float) -> None:
        """Put a value into a row after all others. If interrupted anywhere, the column has the value or does
        not, and is valid in both cases."""
        size = self.size
        if self.rows is None and row != self.first + size:
            if size:
                self.rows = np.arange(self.first, self.first + size)
            else:
                self.first = row
        if size >= len(self.values):
            self.values = grown(self.values, size)
        if self.rows is not None:
            if size >= len(self.rows):
                self.rows = grown(self.rows, size)
            self.rows[size] = row
        self.values[size] = value
        self.size = size + 1

    def below(self, end: int) -> Column:
        """A view of the values in the rows before `end`, for others."""
        size = self.size
        if self.rows is None:
            count = min(size, max(0, end - self.first))
            return Column(self.first, self.values[:count])
        count = int(self.rows[:size].searchsorted(end))
        return packed(self.rows[:count], self.values[:count])


def packed(rows: NDArray[np.int64], values: NDArray[np.float64]) -> Column:
    """A column in canonical form: consecutive rows are given by the first one."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return Column(int(rows[0]), values)
    return Column(rows, values)


def grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    """A copy of the first `size` elements, with room for as many more."""
    larger = np.empty(max(16, 2 * size), array.dtype)
    larger[:size] = array[:size]
    return larger


def is_name(name: object) -> bool:
    """Whether metrics and events may have this name."""
    return isinstance(name, str) and 0 < len(name) <= NAME_LIMIT and name.isprintable()


def check(content: Content) -> None:
    """Raise ValueError unless this is valid content of a log."""
    steps, times, columns, events = content
    size = len(steps)
    if not _is(steps, np.int64) or not _is(times, np.float64) or len(times) != size:
        raise ValueError("steps and times are not columns of the same length")
    if size and (steps[0] < 0 or steps[-1] >= STEP_LIMIT or (steps[1:] < steps[:-1]).any()):
        raise ValueError("the steps fall, or are not from 0 to the limit")
    for name, (rows, values) in columns.items():
        if name in ("step", "time") or not is_name(name):
            raise ValueError(f"{name[:80]!r} is not the name of a metric")
        if not _is(values, np.float64) or not 0 < len(values) <= size:
            raise ValueError(f"{name!r} is not a column of numbers")
        if isinstance(rows, int):
            if not 0 <= rows <= size - len(values):
                raise ValueError(f"{name!r} has values in rows that do not exist")
        elif not _is(rows, np.int64) or len(rows) != len(values) or not _rise(rows, size):
            raise ValueError(f"{name!r} has values in rows that do not exist, or are not in order")
    for kind, step, _, ref in events:
        if not is_name(kind) or len(ref) > REF_LIMIT or not 0 <= step < STEP_LIMIT:
            raise ValueError("an event has a name, step or ref that is not valid in a log")


def _is(array: NDArray[Any], dtype: type[np.generic]) -> bool:
    return array.dtype == dtype and array.ndim == 1


def _rise(rows: NDArray[np.int64], size: int) -> bool:
    """Whether these are rows of a log of `size` rows, each once and in order, with a gap somewhere."""
    rising = bool(rows[0] >= 0 and rows[-1] < size and (rows[1:] > rows[:-1]).all())
    return rising and bool(rows[-1] - rows[0] + 1 > len(rows))
