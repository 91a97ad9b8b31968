"""Live inputs beside what the schema saw: how many rows lie outside of it, or below its quantiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from saver.schema import Field, Schema
from saver.schema.fields import Seen
from saver.serve.channel import Arrays
from saver.serve.metrics import Metrics

COLUMNS = 64
"""Columns of one model that are looked at, the first ones: each has labels of its own."""

ROWS = 256
"""That are looked at together: alone, each request would pay for it."""


class Drift:
    """Counts, for each column, the rows that were looked at, those below, above or missing, and those below
    each quantile: a share far from the quantile's own is a drift."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._looks: dict[str, _Look] = {}

    def look(self, model: str, schema: Schema, arrays: Arrays) -> None:
        """Remember the rows of one request; once there are `ROWS` of them, look at them together."""
        look = self._looks.get(model)
        if look is None or look.schema is not schema:  # another version answers now
            if look is not None:
                look.tell(self._metrics, model)
            look = self._looks[model] = _Look(schema)
        look.waiting.append(arrays)
        look.rows += len(next(iter(arrays.values())))
        if look.rows >= ROWS:
            look.count()

    def flush(self) -> None:
        """Bring all that was looked at, and what waits, into the metrics."""
        for model, look in self._looks.items():
            look.tell(self._metrics, model)


class _Look:
    """The inputs of a model under one schema: those that wait, and the columns that are counted."""

    def __init__(self, schema: Schema) -> None:
        self.schema, self.rows = schema, 0
        self.waiting: list[Arrays] = []
        self._fields = list(_fields(schema))

    def count(self) -> None:
        waiting, self.waiting, self.rows = self.waiting, [], 0
        for each in self._fields:
            each.count(np.concatenate([arrays[each.name] for arrays in waiting]).astype(np.float64))

    def tell(self, metrics: Metrics, model: str) -> None:
        if self.waiting:
            self.count()
        for each in self._fields:
            each.tell(metrics, model)


def _fields(schema: Schema) -> Iterator[_Counted]:
    left = COLUMNS
    for field in schema.inputs:
        if left > 0 and field.kind in ("int", "float") and (found := _columns(field)) is not None:
            yield _Counted(field.name, found[:left])
            left -= len(found)


def _columns(field: Field) -> list[tuple[str, Seen]] | None:
    """The columns of a field, each with what was seen of it; None if they cannot be looked at."""
    if len(field.shape) == 1:
        return [(field.name, field.seen)]
    if len(field.shape) != 2 or len(field.each) != field.shape[1]:
        return None
    return [(f"{field.name}[{at}]", seen) for at, seen in enumerate(field.each)]


class _Counted:
    """The columns of one field, and how many of their rows lay where since `tell`."""

    def __init__(self, name: str, columns: list[tuple[str, Seen]]) -> None:
        known = [
            (at, column, seen)
            for at, (column, seen) in enumerate(columns)
            if seen.low is not None and seen.high is not None
        ]
        self.name, self._names = name, [column for _, column, _ in known]
        self._at = [at for at, _, _ in known]
        self._low = np.array([seen.low for _, _, seen in known], np.float64)
        self._high = np.array([seen.high for _, _, seen in known], np.float64)
        self._quantiles = [seen.quantiles[1:-1] for _, _, seen in known]
        most = max(map(len, self._quantiles), default=0)
        self._bounds = np.full((len(known), most), np.nan)  # nothing is below NaN
        for bounds, quantiles in zip(self._bounds, self._quantiles, strict=True):
            bounds[: len(quantiles)] = quantiles
        self._forget()

    def _forget(self) -> None:
        self._rows = 0
        self._outside = {kind: np.zeros(len(self._names), int) for kind in ("below", "above", "missing")}
        self._below = np.zeros(self._bounds.shape, int)

    def count(self, array: np.ndarray[Any, Any]) -> None:
        values = array.reshape(len(array), -1)[:, self._at]
        self._rows += len(values)
        self._outside["below"] += np.count_nonzero(values < self._low, axis=0)
        self._outside["above"] += np.count_nonzero(values > self._high, axis=0)
        self._outside["missing"] += np.count_nonzero(values != values, axis=0)
        for at in range(self._bounds.shape[1]):
            self._below[:, at] += np.count_nonzero(values < self._bounds[:, at], axis=0)

    def tell(self, metrics: Metrics, model: str) -> None:
        """Add what was counted to the metrics."""
        for at, column in enumerate(self._names if self._rows else ()):
            labels = {"model": model, "column": column}
            metrics.count("saver_drift_seen_total", self._rows, **labels)
            for kind, many in self._outside.items():
                if many[at]:
                    metrics.count("saver_drift_rows_total", int(many[at]), **labels, kind=kind)
            quantiles = self._quantiles[at]
            for nth, many in enumerate(self._below[at][: len(quantiles)].tolist(), 1):
                if many:
                    share = f"{nth / (len(quantiles) + 1):g}"
                    metrics.count("saver_drift_below_total", many, **labels, quantile=share)
        self._forget()
