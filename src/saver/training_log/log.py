"""The log itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from time import time as now
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saver.errors import CannotSaveError, NotFoundError, kind_of, quoted
from saver.training_log import rows
from saver.training_log.arguments import check_name, number_of, step_of
from saver.training_log.content import (
    OWN,
    REF_LIMIT,
    Column,
    Content,
    Event,
    Growing,
    check,
    grown,
)


class Best(NamedTuple):
    """The step at which a metric was best."""

    step: int
    value: float


class TrainingLog:
    """Metrics by step: a part of a version like any other.

        log = TrainingLog()
        log.append(100, loss=0.31, val_loss=0.35)
        store.save("run", {"model": net, "log": log})
        steps, losses = log["loss"]

    Rows may have different metrics: those of validation, for example, only every hundred steps. Steps never
    fall: when you resume from an older version, drop the later rows with `truncate`, so that no step is
    logged twice. Appending takes constant time. One thread appends; others use `snapshot`.
    """

    __slots__ = ("_columns", "_events", "_size", "_steps", "_times", "_unfinished")

    def __init__(self) -> None:
        self._hold(Content(np.empty(0, np.int64), np.empty(0, np.float64), {}, ()))

    def _hold(self, content: Content) -> None:
        """Hold this content from now on. It is one assignment, which a signal does not interrupt."""
        columns = {name: Growing(column) for name, column in content.columns.items()}
        events, size = list(content.events), len(content.steps)
        (self._steps, self._times, self._columns, self._events, self._size, self._unfinished) = (
            content.steps, content.times, columns, events, size, False
        )  # fmt: skip

    @classmethod
    def of(cls, content: Content) -> TrainingLog:
        """A log with this content. Raises ValueError if it is not valid; the arrays are not copied."""
        check(content)
        log = cls()
        log._hold(content)
        return log

    # Writing

    def append(
        self, step: int, epoch: float | None = None, time: float | None = None, **metrics: Any
    ) -> None:
        """Add a row, whole or not at all. `time` is Unix time, UTC; now if it is not given.

        Metrics are numbers, or arrays and tensors with one element; they are kept as 64-bit floats, including
        nan and infinities. None means that the row lacks the metric. Raises CannotSaveError for a value that
        is not a number, and for a step before the last one; ValueError for a number that is out of range.
        """
        number = step_of(step)
        if self._size and number < self._steps[self._size - 1]:
            self._refuse(number)
        when = now() if time is None else number_of("time", time)
        row = {} if epoch is None else {"epoch": number_of("epoch", epoch)}
        for name, value in metrics.items():
            if value is not None:
                row[name] = value if type(value) is float else number_of(name, value)
                if name not in self._columns:
                    check_name(name)
        self._add(number, when, row)

    def _add(self, step: int, when: float, values: dict[str, float]) -> None:
        """Add a row that was checked. A signal, such as that of Ctrl-C, may end this anywhere."""
        if self._unfinished:
            self._hold(self._now())  # without the values of the row that was not finished
        size = self._size
        self._unfinished = True
        for name, value in values.items():
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = Growing(Column(size, np.empty(0, np.float64)))
            column.append(size, value)
        if size >= len(self._steps):
            self._steps = grown(self._steps, size)
        if size >= len(self._times):
            self._times = grown(self._times, size)
        self._steps[size] = step
        self._times[size] = when
        self._size = size + 1  # from here on the row exists
        self._unfinished = False

    def _refuse(self, step: int) -> None:
        raise CannotSaveError(
            f"step: {step:,} comes before {int(self._steps[self._size - 1]):,}, the last of the log; call "
            "`truncate` first to drop the rows after a step"
        )

    def mark(self, kind: str, step: int, ref: object = "", time: float | None = None) -> None:
        """Note that the run was "saved" at this step (as the version `ref`), or "resumed" there, or any other
        event to mark in its picture."""
        check_name(kind)
        text = str(ref)
        if len(text) > REF_LIMIT:
            raise CannotSaveError(
                f"ref: {text[:80]!r}… is longer than {REF_LIMIT:,} characters; pass a shorter one"
            )
        when = now() if time is None else number_of("time", time)
        self._events.append(Event(kind, step_of(step), when, text))

    def truncate(self, step: int) -> None:
        """Drop all rows and events after `step`, as if the run had not passed it; -1 drops all."""
        step = -1 if type(step) is int and step == -1 else step_of(step)
        size = int(self._steps[: self._size].searchsorted(step, "right"))
        self._hold(self._first(size, [event for event in self._events if event.step <= step]))

    def replace(self, other: TrainingLog) -> None:
        """Replace the content by that of `other`."""
        if not isinstance(other, TrainingLog):
            raise TypeError(f"other: {kind_of(other)} is not a training log; pass a TrainingLog")
        self._hold(other.content())

    # Reading

    def snapshot(self) -> TrainingLog:
        """A separate log with the present content of this one, for another thread to save or to draw.

        Takes time for each column and event, but not for the rows: both share memory, in which neither log
        ever changes a value that the other has.
        """
        log = TrainingLog()
        log._hold(self.content())
        return log

    def content(self) -> Content:
        """A view of the present content, for others."""
        return self._now()._replace(events=tuple(self._events))

    def _now(self) -> Content:
        return self._first(self._size, self._events)

    def _first(self, size: int, events: list[Event]) -> Content:
        columns = {name: column.below(size) for name, column in self._columns.copy().items()}
        held = {name: column for name, column in columns.items() if len(column.values)}
        return Content(self._steps[:size], self._times[:size], held, events)

    def __len__(self) -> int:
        return self._size

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics, in the order in which they first appeared."""
        return tuple(name for name in self._now().columns if name not in OWN)

    @property
    def events(self) -> tuple[Event, ...]:
        """Where the run was saved and resumed, in the order in which that was noted."""
        return tuple(self._events)

    def __contains__(self, name: object) -> bool:
        return name == "time" or name in self._now().columns

    def __getitem__(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The steps at which a metric (or `epoch`, or `time`) was logged, and its values, as read-only arrays
        of one axis. Raises NotFoundError."""
        steps, times, columns, _ = self._now()
        if name == "time":
            return _readable(steps), _readable(times)
        column = columns.get(name)
        if column is None:
            there = ", ".join(list(columns)[:20]) or "none"
            raise NotFoundError(f"the log has no metric {quoted(name)}; it has {there}")
        return _readable(steps[column.where()]), _readable(column.values)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, each a dict of `step`, `epoch` if it has one, `time`, and the metrics that it has."""
        for block in rows.blocks(self._now()):
            yield from block

    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the form of iteration."""
        return list(self)

    @property
    def last(self) -> dict[str, Any]:
        """The last row; empty if there is none."""
        size = self._size
        return rows.between(self._now(), size - 1, size)[0] if size else {}

    def best(self, name: str, mode: Literal["min", "max"]) -> Best:
        """The first step at which a metric was lowest or highest. Raises NotFoundError if it was never a
        number."""
        steps, values = self[name]
        if mode not in ("min", "max"):
            raise ValueError(f"mode={quoted(mode)} is not a mode; pass 'min' or 'max'")
        if np.isnan(values).all():
            raise NotFoundError(f"{name} was nan in all {len(values):,} rows that have it")
        at = int(np.nanargmin(values) if mode == "min" else np.nanargmax(values))
        return Best(int(steps[at]), float(values[at]))

    def __eq__(self, other: object) -> bool:
        """Whether both have the same content, to the bit, including times and events."""
        if not isinstance(other, TrainingLog):
            return NotImplemented
        return bool(_bits(self._now()) == _bits(other._now()))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        names = ", ".join(self.metrics)
        rows = f"{self._size:,} row{'' if self._size == 1 else 's'}"
        return f"<TrainingLog: {rows}{f' of {names}' if names else ''}>"

    # Elsewhere

    def frame(self) -> Any:
        """A data frame with the columns `step`, `epoch` if there is one, `time` and the metrics; nan where a
        row has no value. Raises IncompatibleError if no library for data frames is installed."""
        return rows.frame(self._now())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows durably, or not at all: a line of names, then `step,epoch,time` and the metrics,
        empty where a row has no value."""
        rows.write(path, rows.csv_blocks(self._now()))

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Write the rows durably, or not at all: a JSON object in each line, in the form of iteration. Values
        that are not finite, which JSON cannot express, are the text "nan", "inf" or "-inf"."""
        rows.write(path, rows.jsonl_blocks(self._now()))

    def plot(
        self,
        path: str | os.PathLike[str],
        metrics: Iterable[str] | None = None,
        smooth: float | None = None,
    ) -> None:
        """Draw all metrics, or the named ones, into a PNG, SVG or PDF; see saver.plotting."""
        from saver.plotting import plot

        plot({"": self}, path, metrics, smooth)


def _bits(content: Content) -> Any:
    arrays = [content.steps, content.times]
    for column in content.columns.values():
        arrays += [np.asarray(column.rows), column.values]
    events = [(kind, step, np.float64(when).tobytes(), ref) for kind, step, when, ref in content.events]
    return list(content.columns), [array.tobytes() for array in arrays], events


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
