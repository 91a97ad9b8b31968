"""Golden inputs that a hostile file may have are refused before the model makes anything of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from forging import forged
from saver.codec import Encoder
from saver.errors import IncompatibleError
from saver.opening import open_file
from saver.predicting.goldens import check_parts
from saver.predicting.opening import predictor_of
from saver.predicting.record import Record
from saver.repo.manifest import EXAMPLE
from saver.trust import allowed

X = np.arange(60.0).reshape(20, 3)

ASKED: list[Any] = []

TRUST = [f"{__name__}.model"]


def model(parts: Any, batch: Any) -> Any:
    ASKED.append(batch)
    return {"sum": np.asarray(batch).sum(axis=-1)}


def frame(rows: int) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(index=pandas.RangeIndex(rows), columns=pandas.RangeIndex(0))


def labels(rows: int) -> Any:
    return pytest.importorskip("pandas").RangeIndex(rows)


def sparse(rows: int) -> Any:
    return pytest.importorskip("scipy.sparse").csr_matrix((rows, 3))


HOSTILE: dict[str, Callable[[], Any]] = {
    "range": lambda: range(10**10),
    "range of as many": lambda: range(20),
    "labels": lambda: labels(10**9),
    "labels by name": lambda: {"a": labels(20), "b": labels(10**9)},
    "frame of labels": lambda: frame(10**9),
    "no rows": lambda: X[:0],
    "fewer rows": lambda: X[:19],
    "more rows": lambda: np.r_[X, X],
    "one value": lambda: np.array(1.0),
    "sparse": lambda: sparse(21),
    "fewer texts": lambda: ["a"] * 19,
    "lists of lists": lambda: [[range(10**9)]] * 20,
    "as many, not texts": lambda: [range(10**9)] * 20,
    "a dict in a dict": lambda: {"a": {"b": labels(10**9)}},
    "nothing": lambda: None,
    "a number": lambda: 5,
    "a text of as many": lambda: "a" * 20,
    "dict of texts": lambda: {"a": "a" * 20},
    "more values than bytes": lambda: {str(at): np.zeros((20, 1 << 17), np.int8) for at in range(2)},
}


HELD_ELSEWHERE = ("more rows", "lists of lists", "as many, not texts", "more values than bytes")
"""What would need tensors or batches of its own: the decoder is replaced for these."""


@pytest.mark.parametrize("name", HOSTILE)
def test_inputs_that_are_not_the_rows_recorded_never_reach_a_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver.dump({"a": 1}, tmp_path / "a.saver", example=X, pipeline=model)
    opened, inputs = open_file(tmp_path / "a.saver"), HOSTILE[name]()
    example, trusted = opened.example, allowed(TRUST)
    assert example is not None
    if name in HELD_ELSEWHERE:
        monkeypatch.setattr(Record, "_built", lambda self, node, trusted: inputs)
    else:
        root = {**example.trees[EXAMPLE].root, "inputs": Encoder().part(EXAMPLE, inputs)}
        example = forged(example, **{EXAMPLE: root})
    record = Record(example)
    ASKED.clear()
    tracemalloc.start()
    try:
        with pytest.raises(IncompatibleError, match=r"a\.saver: its golden inputs"):
            record.inputs(trusted)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()
    if name not in HELD_ELSEWHERE:
        with pytest.raises(IncompatibleError, match=r"a\.saver: its golden inputs"):
            check_parts(opened, record, {"a": 1}, trusted)
    assert not ASKED


def test_one_row_that_takes_more_than_all_may_is_kept_and_checked(tmp_path: Path) -> None:
    wide = np.zeros((2, 5 << 20), np.int8)
    saver.dump({"a": 1}, tmp_path / "a.saver", example=wide, pipeline=model)
    found = predictor_of(open_file(tmp_path / "a.saver"), TRUST).check()
    assert (found.rows, found.identical) == (1, 1)


@pytest.mark.parametrize("field", ["absolute", "relative"])
@pytest.mark.parametrize("size", [-1e-9, -1, float("nan"), float("inf"), "1", True, None])
def test_a_tolerance_that_no_example_may_have_is_refused(field: str, size: Any, tmp_path: Path) -> None:
    saver.dump({"a": 1}, tmp_path / "a.saver", example=X, pipeline=model)
    example = open_file(tmp_path / "a.saver").example
    assert example is not None
    root = {**example.trees[EXAMPLE].root, "tolerance": {field: size}}
    with pytest.raises(IncompatibleError, match=r"a\.saver: its tolerance is malformed"):
        Record(forged(example, **{EXAMPLE: root}))
