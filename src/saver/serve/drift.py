"""Live inputs beside what the schema saw: how many rows lie outside of it, or below its quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver.schema import Schema
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
        self._waiting: dict[str, tuple[Schema, list[Arrays], int]] = {}

    def look(self, model: str, schema: Schema, arrays: Arrays) -> None:
        """Remember the rows of one request; once there are `ROWS` of them, look at them together."""
        known, waiting, rows = self._waiting.get(model, (schema, [], 0))
        if known is not schema:  # another version answers now
            self._count(model, known, waiting)
            waiting, rows = [], 0
        waiting.append(arrays)
        rows += len(next(iter(arrays.values())))
        self._waiting[model] = schema, waiting, rows
        if rows >= ROWS:
            self.flush(model)

    def flush(self, *models: str) -> None:
        """Look at what waits, of these models or of all."""
        for model in models or list(self._waiting):
            schema, waiting, _ = self._waiting.pop(model)
            self._count(model, schema, waiting)

    def _count(self, model: str, schema: Schema, waiting: list[Arrays]) -> None:
        left = COLUMNS
        for field in schema.inputs:
            if left <= 0 or field.kind not in ("int", "float") or len(field.shape) > 2:
                continue
            parts = [arrays[field.name] for arrays in waiting]
            array = np.concatenate([each.astype(np.float64) for each in parts])
            if array.ndim == 1:
                self._column(model, field.name, field.seen, array)
                left -= 1
            elif len(field.each) == array.shape[1]:
                for at, seen in enumerate(field.each[:left]):
                    self._column(model, f"{field.name}[{at}]", seen, array[:, at])
                left -= len(field.each)

    def _column(self, model: str, column: str, seen: Seen, values: np.ndarray[Any, Any]) -> None:
        if seen.low is None or seen.high is None:
            return
        count = self._metrics.count
        count("saver_drift_seen_total", len(values), model=model, column=column)
        for kind, many in (
            ("below", np.count_nonzero(values < seen.low)),
            ("above", np.count_nonzero(values > seen.high)),
            ("missing", np.count_nonzero(values != values)),
        ):
            if many:
                count("saver_drift_rows_total", int(many), model=model, column=column, kind=kind)
        for at, quantile in enumerate(seen.quantiles[1:-1], 1):
            many = np.count_nonzero(values < quantile)
            share = f"{at / (len(seen.quantiles) - 1):g}"
            if many:
                count("saver_drift_below_total", int(many), model=model, column=column, quantile=share)
