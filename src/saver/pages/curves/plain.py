"""Logs that are plain Python: what Keras calls a history, `{"loss": [0.9, 0.5], "val_loss": [1.0, 0.7]}`, or
a row for each step, `[{"step": 0, "loss": 0.9}, {"step": 1, "loss": 0.5}]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from saver.errors import NotFoundError
from saver.opened import Opened
from saver.plotting.lines import Floats, Steps
from saver.training_log.content import NAME_LIMIT, OWN, STEP_LIMIT, Event
from saver.tree import Node

CODECS = frozenset({"dict", "list", "tuple", "float", "int", "numpy.scalar", "numpy.array"})
"""What such a log consists of; a part with anything else is not one, and nothing of it is built."""

LIMIT = 64 << 20
"""The most bytes that a plain log may take in memory: a longer one is a TrainingLog."""

STEPS = ("step", "epoch")
"""The names under which the steps are looked for, in this order; otherwise rows count from 0."""


class PlainBlock(NamedTuple):
    """A whole curve. Blocks with the same `key` are equal."""

    key: tuple[str]
    rows: int
    curve: tuple[Steps, Floats]

    def read(self) -> tuple[Steps, Floats]:
        """The steps and the values."""
        return self.curve


class PlainLog:
    """A part that is a plain log, with what `logs.Log` has."""

    events: Sequence[Event] = ()

    def __init__(self, where: str, part: str, curves: Mapping[str, tuple[Steps, Floats]]) -> None:
        self.where, self.part, self._curves = where, part, curves
        self.rows = max(len(steps) for steps, _ in curves.values())

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics."""
        return tuple(name for name in self._curves if name not in OWN)

    def __contains__(self, name: object) -> bool:
        return name in self._curves

    def __getitem__(self, name: str) -> tuple[Steps, Floats]:
        """All steps and values of a metric. Raises NotFoundError."""
        if name not in self._curves:
            raise NotFoundError(f"{self.where}: the log has no metric {name[:80]!r}")
        return self._curves[name]

    def blocks(self, name: str) -> list[PlainBlock]:
        """The values of a metric as one block. Raises NotFoundError."""
        steps, values = self[name]
        key = blake3(steps.tobytes() + values.tobytes()).hexdigest()
        return [PlainBlock((key,), len(values), (steps, values))]


def plain_log(view: Opened, part: str) -> PlainLog | None:
    """The log that a part is; None if it is not one. Raises SaverError if it takes too much memory."""
    tree = view.tree(part)
    nodes = [each for each in tree.items if isinstance(each, Node)]
    if not isinstance(tree.root, Node) or not all(each.codec in CODECS and not each.cls for each in nodes):
        return None
    curves = curves_of(view.load((), [part], limit=LIMIT)[part])
    return None if curves is None else PlainLog(view.where, part, curves)


def curves_of(value: Any) -> dict[str, tuple[Steps, Floats]] | None:
    """The curves of a dict of lists of numbers, all of one length, or of a list of dicts of numbers; None if
    it is neither. What is not a number in a row is left out, and so are names that no metric can have."""
    if type(value) in (list, tuple):
        rows = value
    elif type(value) is dict:
        columns = {name: _items(column) for name, column in value.items()}
        lengths = {len(column) for column in columns.values() if column is not None}
        if None in columns.values() or len(lengths) != 1:
            return None
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        return None
    if not rows or not all(type(row) is dict for row in rows):
        return None
    return _curves(rows)


def _items(column: Any) -> Sequence[Any] | None:
    if type(column) is np.ndarray and column.ndim == 1 and column.dtype.kind in "fiu":
        return column.tolist()  # type: ignore[no-any-return]
    if type(column) in (list, tuple) and all(number_of(each) is not None for each in column):
        return column  # type: ignore[no-any-return]
    return None


def _curves(rows: Sequence[dict[Any, Any]]) -> dict[str, tuple[Steps, Floats]] | None:
    steps, points = _steps(rows), dict[str, tuple[list[int], list[float]]]()
    for step, row in zip(steps, rows, strict=True):
        for name, value in row.items():
            number = number_of(value)
            if number is not None and type(name) is str and 0 < len(name) <= NAME_LIMIT:
                at, values = points.setdefault(name, ([], []))
                at.append(step)
                values.append(number)
    found = {name: (np.array(at, np.int64), np.array(values)) for name, (at, values) in points.items()}
    return found if found.keys() - {*OWN} else None


def _steps(rows: Sequence[dict[Any, Any]]) -> Sequence[int]:
    for name in STEPS:
        steps = [step for row in rows if (step := step_of(row.get(name))) is not None]
        if len(steps) == len(rows) and all(one <= other for one, other in pairwise(steps)):
            return steps
    return range(len(rows))


def step_of(value: Any) -> int | None:
    """A number as a step; None for anything that cannot be one."""
    number = number_of(value)
    proper = number is not None and 0 <= number < STEP_LIMIT and number.is_integer()
    return int(number) if proper and number is not None else None


def number_of(value: Any) -> float | None:
    """A number; None for anything else, such as a text or a truth value."""
    if isinstance(value, np.floating | np.integer):
        value = value.item()
    if type(value) is int and value.bit_length() > 1000:
        return None
    return float(value) if type(value) in (int, float) else None
