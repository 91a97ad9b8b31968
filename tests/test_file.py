"""One file: what stands in it as a whole, whatever the parts are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver


def hashes(path: Path) -> dict[str, str]:
    return {part.name: part.hash for part in saver.describe(path).parts}


def test_a_part_has_the_same_hash_whatever_stands_beside_it(tmp_path: Path) -> None:
    """Otherwise one more part would make all others look changed."""

    def twice() -> list[Any]:
        shared = [np.arange(300.0)]
        return [shared, shared]

    saver.dump({"b": twice()}, tmp_path / "alone")
    saver.dump({"a": twice(), "b": twice()}, tmp_path / "beside")
    assert hashes(tmp_path / "alone")["b"] == hashes(tmp_path / "beside")["b"]
    assert hashes(tmp_path / "beside")["a"] != hashes(tmp_path / "beside")["b"]  # the tensors' names differ


@pytest.mark.parametrize("lazy", [False, True])
def test_parts_share_what_they_shared(tmp_path: Path, lazy: bool) -> None:
    shared, other = [1], [2]
    saver.dump({"x": [other, shared, other], "y": [shared, shared], "z": [other, shared]}, tmp_path / "s")
    loaded = saver.load(tmp_path / "s", lazy=lazy)
    z, y, x = loaded["z"], loaded["y"], loaded["x"]
    assert z[0] is x[0] is x[2]
    assert z[1] is y[0] is y[1] is x[1]
    assert (z, y) == ([[2], [1]], [[1], [1]])


def test_a_mapping_gives_its_keys_to_the_parts_and_back_in_order(roundtrip: Callable[..., Any]) -> None:
    saved = {"model": 1, "a b": [2], "é": None}
    assert list(roundtrip(saved).items()) == list(saved.items())


@pytest.mark.parametrize("saved", [{}, {1: 2}, {"a/b": 1}, {str(i): i for i in range(65)}, [1], None, 3.5])
def test_everything_else_is_one_part(saved: Any, tmp_path: Path) -> None:
    saver.dump(saved, tmp_path / "s")
    assert list(hashes(tmp_path / "s")) == ["model"]
    assert saver.load(tmp_path / "s") == saved


def test_lazy_parts_are_a_read_only_mapping(tmp_path: Path) -> None:
    saver.dump({"a": [1], "b": 2}, tmp_path / "s")
    parts = saver.load(tmp_path / "s", lazy=True)
    assert dict(parts) == {"a": [1], "b": 2}
    assert parts["a"] is parts["a"]
    assert len(parts) == 2
    with pytest.raises(KeyError):
        parts["c"]
    with pytest.raises(TypeError):
        parts["a"] = 3
