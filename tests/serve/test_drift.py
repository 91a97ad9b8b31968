"""Live inputs beside what the schema saw: each row below, above or missing is counted, and the share below
each quantile tells inputs like those of the example from others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from irises import X, parts
from msgspec.structs import replace

import saver
from saver.schema import Schema
from saver.serve.drift import ROWS, Drift
from saver.serve.metrics import Metrics


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    store = saver.Saver(Path(tmp_path_factory.mktemp("drift")))
    store.save("iris", parts(1.0), example=X, pipeline="scaler | model")
    return store.schema("iris")


def counted(schema: Schema, rows: np.ndarray, each: int) -> Metrics:
    """The numbers after these rows came in requests of so many."""
    metrics = Metrics()
    drift = Drift(metrics)
    for at in range(0, len(rows), each):
        drift.look("iris", schema, {"input": rows[at : at + each]})
    drift.flush()
    return metrics


def shares(metrics: Metrics, schema: Schema, column: str) -> dict[float, float]:
    """Of the rows that were looked at, how many were below each quantile."""
    (field,) = schema.inputs
    many = len(field.each[0].quantiles) - 1
    seen = metrics.value("saver_drift_seen_total", model="iris", column=column)
    return {
        at / many: metrics.value(
            "saver_drift_below_total", model="iris", column=column, quantile=f"{at / many:g}"
        ) / seen
        for at in range(1, many)
    }  # fmt: skip


@pytest.mark.parametrize("each", [1, 7, 200, 5000])
def test_rows_outside_of_what_the_example_held_are_counted(schema: Schema, each: int) -> None:
    rows = np.tile(X.mean(axis=0), (ROWS + 50, 1))
    rows[:30, 0], rows[:20, 1], rows[:10, 2] = X[:, 0].min() - 1, X[:, 1].max() + 1, np.nan
    rows[40, 3], rows[41, 3] = X[:, 3].min(), X[:, 3].max()  # the bounds themselves are inside
    metrics = counted(schema, rows, each)
    found = {
        (column, kind): metrics.value(
            "saver_drift_rows_total", model="iris", column=f"input[{column}]", kind=kind
        )
        for column in range(4)
        for kind in ("below", "above", "missing")
    }
    assert {key: value for key, value in found.items() if value} == {
        (0, "below"): 30, (1, "above"): 20, (2, "missing"): 10,
    }  # fmt: skip
    for column in range(4):
        seen = metrics.value("saver_drift_seen_total", model="iris", column=f"input[{column}]")
        assert seen == len(rows)


def test_inputs_like_the_example_have_its_quantiles_and_shifted_ones_do_not(
    schema: Schema,
) -> None:
    same, moved = counted(schema, np.tile(X, (5, 1)), 10), counted(schema, np.tile(X + 1.0, (5, 1)), 10)
    for column in range(4):
        for quantile, share in shares(same, schema, f"input[{column}]").items():
            assert abs(share - quantile) < 0.05
        away = shares(moved, schema, f"input[{column}]")
        assert max(quantile - share for quantile, share in away.items()) > 0.2


def test_what_waits_is_held_against_the_schema_under_which_it_came(schema: Schema) -> None:
    """Though another version begins to answer before it is looked at."""
    (field,) = schema.inputs
    seen = tuple(replace(each, low=-100.0, high=-99.0) for each in field.each)
    other = replace(schema, inputs=(replace(field, each=seen),))
    metrics = Metrics()
    drift = Drift(metrics)
    drift.look("iris", schema, {"input": X[:3]})
    drift.look("iris", other, {"input": X[:2]})
    drift.flush()
    labels = {"model": "iris", "column": "input[0]"}
    assert metrics.value("saver_drift_seen_total", **labels) == 5
    assert metrics.value("saver_drift_rows_total", **labels, kind="above") == 2
