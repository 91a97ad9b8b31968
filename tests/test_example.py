"""What a model is called with is written as a shape, or read from what a version says of its data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saver
from saver.example import LIMIT, of_data, parse


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("1x3x8x8", (1, 3, 8, 8), "float32"), ("5", (5,), "float32"), ("1x16:int64", (1, 16), "int64"),
        ("2x0:bool", (2, 0), "bool"), ("3:str", (3,), "<U1"), ("1:Float64", (1,), "float64"),
    ],
)  # fmt: skip
def test_a_shape_is_zeros_of_it(text: str, shape: tuple[int, ...], dtype: str) -> None:
    found = parse(text)
    assert found is not None
    assert (found.shape, found.dtype) == (shape, np.dtype(dtype))
    assert not found.astype(bool).any()


@pytest.mark.parametrize("text", ["", "x", "1x", "x.npy", "-1", "1,2", "1x2:", "a:int64", "1" * 20])
def test_other_texts_are_not_shapes(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("text", [f"{LIMIT}", "9999999999x9999999999", "1:nope", "1:void", "1:datetime64"])
def test_what_cannot_be_an_example_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="example: "):
        parse(text)


def recorded(data: Any) -> Any:
    """The example for a version that was trained on this data."""
    store = saver.Saver("memory://example")
    version = store.save("m", [1], data=data)
    return of_data(store._open(version).manifest.data)


def test_the_data_of_a_version_is_an_example() -> None:
    x, y = np.ones((50, 3)), np.ones(50, np.int64)
    for data in (x, {"x": x, "y": y}, {"y": y, "X": x}, {"data": x, "other": y}):
        found = recorded(data)
        assert (found.shape, found.dtype) == ((1, 3), np.dtype("f8"))
    assert recorded({"a": x, "b": y}) is None
    assert recorded(None) is None
    assert recorded(np.array(["2026-01-01"], "M8[D]")) is None


def test_a_frame_is_an_example_by_column() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({
        "a": [1.0], "b": ["x"], "c": pandas.Categorical(["u"]), "d": [True], "e": pandas.array([1], "Int64"),
    })  # fmt: skip
    found = recorded({"X": frame, "y": np.ones(1)})
    kinds = {name: column.dtype.str[1:] for name, column in found.items()}
    assert kinds == {"a": "f8", "b": "U1", "c": "U1", "d": "b1", "e": "i8"}
    assert all(column.shape == (1,) for column in found.values())
    assert recorded(frame.assign(when=pandas.to_datetime(["2026"]))) is None


@pytest.mark.parametrize(
    "forged",
    [
        1, None, "x", [], {}, {"shape": []}, {"shape": 5, "dtype": "f4"}, {"shape": [1, 2]},
        {"shape": [1, 1 << 60], "dtype": "float32"}, {"shape": [1, -1], "dtype": "float32"},
        {"shape": [1] * 100, "dtype": "float32"}, {"shape": [1, "a"], "dtype": "float32"},
        {"shape": [1, float("nan")], "dtype": "float32"}, {"shape": [1, float("inf")], "dtype": "float32"},
        {"shape": [1], "dtype": "(100000,100000)f8"}, {"shape": [1], "dtype": 5},
        {"shape": [1], "columns": 5},
        {"shape": [1], "columns": [5]}, {"shape": [1], "columns": [{"name": "a"}]},
        {"shape": [1], "columns": [{"name": "a", "dtype": "object[x"}]},
        {"shape": {"a": 1}, "dtype": "float32"},
    ],
)  # fmt: skip
def test_a_forged_record_is_not_an_example(forged: Any) -> None:
    assert of_data({"X": forged}) is None
