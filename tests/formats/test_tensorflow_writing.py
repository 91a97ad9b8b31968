"""Checkpoints that TensorFlow reads are written without it."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import ARRAYS, all_same, same

import saver
from saver.errors import DamagedError
from saver.formats.tensorflow.table import entries
from saver.formats.tensorflow.writing import written

TEXTS = {"text": np.array(["a", "b"])}
PAIRS = {"pairs": np.array([1 + 2j, np.nan], np.complex64), "both": np.array([[1j]])}


@pytest.mark.parametrize("given", ["ckpt", "ckpt.index"])
def test_it_goes_there_and_back(given: str, tmp_path: Path) -> None:
    arrays = {**ARRAYS, **PAIRS}
    saver.dump({**arrays, **TEXTS}, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / given, format="tensorflow")
    assert [loss.place for loss in found.losses] == ["$.model.text"]
    assert sorted(os.listdir(tmp_path)) == ["a.saver", "ckpt.data-00000-of-00001", "ckpt.index"]
    assert all_same(saver.load(tmp_path / "ckpt"), arrays)
    assert list(saver.load(tmp_path / "ckpt.index")) == sorted(arrays, key=str.encode)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 500])
def test_a_table_holds_what_it_was_given(count: int) -> None:
    pairs = [(f"layer/{number:05}/kernel".encode(), os.urandom(number % 300)) for number in range(count)]
    found = entries(memoryview(written(pairs)), "here")
    assert [(key, bytes(value)) for key, value in found] == pairs


@pytest.mark.shows("TensorFlow checkpoints", "save")
def test_tensorflow_reads_it(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    saver.dump({**ARRAYS, **PAIRS}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "ckpt.index")
    reader = tensorflow.train.load_checkpoint(str(tmp_path / "ckpt"))
    expected = {**ARRAYS, **PAIRS}
    assert set(reader.get_variable_to_shape_map()) == set(expected)
    for name, array in expected.items():
        assert same(np.asarray(reader.get_tensor(name)), array), name


def test_tensorflow_reads_many_variables_of_every_dtype(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    many: dict[str, Any] = {f"v{number}/a": np.arange(number, dtype=np.float32) for number in range(700)}
    many |= {f"of {dtype}": np.arange(3).astype(dtype) for dtype in ("u1", "u2", "u4", "u8", "i2", "f2")}
    saver.dump(many, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "ckpt.index")
    reader = tensorflow.train.load_checkpoint(str(tmp_path / "ckpt"))
    for name, array in many.items():
        assert same(np.asarray(reader.get_tensor(name)), array), name


def test_an_older_checkpoint_is_replaced_whole_and_several_files_need_a_path(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        saver.dump({"w": np.full(90_000, value)}, tmp_path / "a.saver")
        saver.export(tmp_path / "a.saver", tmp_path / "ckpt.index")
        assert saver.load(tmp_path / "ckpt")["w"][0] == value
    with pytest.raises(TypeError, match="several files"):
        saver.export(tmp_path / "a.saver", io.BytesIO(), format="tensorflow")
    data = bytearray((tmp_path / "ckpt.data-00000-of-00001").read_bytes())
    data[9] ^= 1
    (tmp_path / "ckpt.data-00000-of-00001").write_bytes(data)
    with pytest.raises(DamagedError):
        saver.load(tmp_path / "ckpt")
