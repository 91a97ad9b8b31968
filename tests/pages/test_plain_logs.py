"""Curves of logs that are plain Python: which values are one, and what is drawn of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver.errors import NotFoundError, SaverError
from saver.pages.curves.collecting import Asked, collected
from saver.pages.curves.logs import AnyLog, logs_of
from saver.pages.curves.plain import curves_of
from saver.pages.curves.thinning import Thinner
from saver.storages.memory import MemoryStorage
from saver.training_log import TrainingLog

HISTORY = {"loss": [0.9, 0.5, 0.4], "val_loss": [1.0, float("nan"), 0.6], "lr": [np.float32(0.1)] * 3}
ROWS = [
    {"step": 0, "loss": 1.0},
    {"step": 10, "loss": 0.5, "acc": 0.7, "note": "x"},
    {"step": 20, "ok": True},
]


def logs(parts: Any) -> list[AnyLog]:
    store = saver.Saver(MemoryStorage("plain"))
    store.save("run", parts)
    return logs_of(store._open("run"))


def test_a_history_of_keras_is_a_log() -> None:
    (log,) = logs({"net": {"w": [1.0]}, "history": HISTORY})
    assert (log.part, log.metrics, log.rows) == ("history", ("loss", "val_loss", "lr"), 3)
    steps, values = log["val_loss"]
    assert steps.tolist() == [0, 1, 2]
    assert np.array_equal(values, [1.0, np.nan, 0.6], equal_nan=True)


def test_rows_are_a_log() -> None:
    (log,) = logs({"log": ROWS})
    assert log.metrics == ("loss", "acc")
    assert [each.tolist() for each in log["loss"]] == [[0, 10], [1.0, 0.5]]
    assert [each.tolist() for each in log["acc"]] == [[10], [0.7]]
    with pytest.raises(NotFoundError, match="no metric 'note'"):
        log["note"]


@pytest.mark.parametrize("count", [1, 5000])
def test_long_lists_and_arrays_are_logs(count: int) -> None:
    steps = list(range(5, 5 + count))
    (log,) = logs({"curve": {"epoch": steps, "loss": np.arange(count) / 7, "acc": [n / 3 for n in steps]}})
    assert [each.tolist() for each in log["loss"]] == [steps, [n / 7 for n in range(count)]]
    assert log["acc"][1].tolist() == [n / 3 for n in steps]


NO_LOGS = {
    "nothing": {}, "no rows": [], "a number": 1.0, "texts": {"loss": ["a", "b"]},
    "uneven": {"a": [1], "b": [1, 2]}, "scalars": {"rate": 0.1, "depth": 3}, "matrix": {"w": np.ones((2, 2))},
    "rows of lists": [[1, 2], [3, 4]],
    "only steps": {"step": [1, 2], "epoch": [0, 0]}, "truth": {"ok": [True, False]}, "empty": {"loss": []},
    "mixed": [{"loss": 1.0}, 3], "of keys": {1: [1.0, 2.0]}, "complex": {"loss": [1j]},
}  # fmt: skip


@pytest.mark.parametrize("name", NO_LOGS)
def test_other_values_are_no_logs(name: str) -> None:
    with pytest.raises(NotFoundError, match="a dict of lists of numbers"):
        logs({"model": NO_LOGS[name]})


def test_nothing_else_is_built_to_see_whether_it_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import OrderedDict

    monkeypatch.setattr("saver.opened.Opened.load", lambda *given, **named: 1 / 0)
    for value in (OrderedDict(loss=[1.0]), {"loss": [1.0], "model": OrderedDict()}, {"loss": [{1, 2}]}):
        with pytest.raises(NotFoundError):
            logs({"model": value})


def test_steps_that_fall_or_are_no_steps_are_counted() -> None:
    for steps in ([2, 1], [0.5, 1.0], [-1, 2], [float("nan"), 1], [10**16, 10**16]):
        found = curves_of({"step": steps, "loss": [1.0, 2.0]})
        assert found is not None
        assert found["loss"][0].tolist() == [0, 1]


def test_a_training_log_comes_first() -> None:
    log = TrainingLog()
    log.append(0, loss=1.0)
    assert [each.part for each in logs({"history": HISTORY, "mine": log})] == ["mine"]
    assert [each.part for each in logs({"history": HISTORY, "log": ROWS, "a": ROWS})] == ["log"]
    assert [each.part for each in logs({"a": ROWS, "b": HISTORY, "c": {"w": "x"}})] == ["a", "b"]


def test_a_log_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saver.pages.curves.plain.LIMIT", 10_000)
    with pytest.raises(SaverError, match="memory"):
        logs({"log": {"loss": [n / 7 for n in range(5000)]}})


def test_its_curves_are_a_document() -> None:
    store = saver.Saver(MemoryStorage("plain"))
    store.save("run", {"history": HISTORY, "model": [1]}, step=2)
    found = collected(store, Asked(("run",), None, None, None, 100), Thinner())
    assert [each.title for each in found.panels] == ["loss", "lr"]
    assert [each.metric for each in found.panels[0].curves] == ["loss", "val_loss"]
    assert found.panels[0].curves[1].not_finite == 1
    assert [each.kind for each in found.runs[0].events] == ["saved"]


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_any_plain_value_is_a_log_or_none(value: Any) -> None:
    found = curves_of(value)
    for steps, numbers in (found or {}).values():
        assert len(steps) == len(numbers) > 0
        assert (np.diff(steps) >= 0).all()
        assert steps[0] >= 0
