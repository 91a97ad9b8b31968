"""Two values that were saved for one object: refused unless they are equal, and nothing is changed."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import DoesNotFitError

KINDS: dict[str, Callable[[int], Any]] = {
    "array": lambda number: np.full(3, float(number)),
    "large array": lambda number: np.full(300, float(number)),
    "list": lambda number: [number],
    "list of floats": lambda number: [float(number), -0.0],
    "dict": lambda number: {"a": number},
    "nested": lambda number: {"a": [{"b": number}]},
    "OrderedDict": lambda number: OrderedDict(a=number),
    "Counter": lambda number: Counter(a=number),
    "set": lambda number: {number},
    "deque": lambda number: deque([number]),
    "bytearray": lambda number: bytearray([number]),
    "generator": np.random.default_rng,
}


def _hash(obj: Any, folder: Path) -> str:
    state = obj.bit_generator.state if isinstance(obj, np.random.Generator) else obj
    saver.dump(state, folder / "hashed")
    return saver.describe(folder / "hashed").parts[0].hash


@pytest.mark.parametrize("kind", KINDS)
def test_one_object_under_two_parts(kind: str, tmp_path: Path) -> None:
    make = KINDS[kind]
    target = make(0)
    before = copy.deepcopy(target)
    saver.dump({"first": make(1), "second": make(2)}, tmp_path / "other")
    with pytest.raises(DoesNotFitError, match="first and second are one object"):
        saver.restore(tmp_path / "other", into={"first": target, "second": target})
    assert _hash(target, tmp_path) == _hash(before, tmp_path)
    saver.dump({"first": make(1), "second": make(1)}, tmp_path / "equal")
    saver.restore(tmp_path / "equal", into={"first": target, "second": target})
    assert _hash(target, tmp_path) == _hash(make(1), tmp_path)


def test_overlapping_views_under_two_parts(tmp_path: Path) -> None:
    memory = np.zeros(5)
    into = {"first": memory[:3], "second": memory[2:]}
    saver.dump({"first": np.ones(3), "second": np.full(3, 2.0)}, tmp_path / "other")
    with pytest.raises(DoesNotFitError, match="first and second share memory"):
        saver.restore(tmp_path / "other", into=into)
    assert not memory.any()
    saver.dump({"first": np.array([1.0, 2, 3]), "second": np.array([3.0, 4, 5])}, tmp_path / "equal")
    saver.restore(tmp_path / "equal", into=into)
    assert memory.tolist() == [1, 2, 3, 4, 5]
    apart = {"first": memory[::2], "second": memory[1::2]}
    saver.dump({"first": np.zeros(3), "second": np.ones(2)}, tmp_path / "apart")
    saver.restore(tmp_path / "apart", into=apart)
    assert memory.tolist() == [0, 1, 0, 1, 0]
