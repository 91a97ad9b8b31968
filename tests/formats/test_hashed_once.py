"""What a file of another tool becomes in memory is hashed once; what stays in the file is compared again."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import DamagedError
from saver.formats import _hashing
from saver.opening import open_file


def packed(value: Any) -> bytes:
    return pickle.dumps(value, protocol=4)


def test_copies_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pkl").write_bytes(packed({"x": np.arange(9_000)[::3], "y": np.arange(5.0)}))
    lengths: list[int] = []
    digest = _hashing._digest

    def counted(array: Any) -> bytes:
        lengths.append(array.size)
        return digest(array)

    monkeypatch.setattr(_hashing, "_digest", counted)
    opened = open_file(tmp_path / "a.pkl")
    assert sorted(lengths) == [3000 * 8]  # the small one lies in the tree
    opened.tensors.verify()
    assert np.array_equal(opened.load(())["x"], np.arange(0, 9_000, 3))
    assert sorted(lengths) == [3000 * 8]


def test_what_stays_in_the_file_is_compared_with_its_hash_when_it_is_loaded(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    path, numbers = tmp_path / "a.joblib", np.arange(200_000.0)
    joblib.dump({"x": numbers}, path)
    opened = open_file(path)
    with open(path, "r+b") as file:  # in place, as nobody should
        file.seek(path.read_bytes().index(numbers[1000:1002].tobytes()))
        file.write(b"\7")
    with pytest.raises(DamagedError, match="x"):
        opened.load(())


def test_the_hash_of_a_file_is_that_of_all_that_was_read() -> None:
    def hash_of(value: Any) -> str:
        return saver.describe(io.BytesIO(packed(value))).hash

    values = [
        {"x": np.arange(100)},
        {"x": np.arange(1, 101)},
        {"y": np.arange(100)},
        np.arange(100),
        [1],
        [2],
    ]
    assert len({*map(hash_of, values)}) == len(values)
    assert hash_of({"x": np.arange(100)}) == hash_of({"x": np.arange(100)})
    large = np.zeros(9 << 20)  # 72 MB, of which the last byte differs
    other = large.copy()
    other[-1] = 1
    assert hash_of(large) != hash_of(other)
