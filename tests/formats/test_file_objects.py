"""Files of other tools are read from file objects and bytes as from paths."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.storages.memory import MemoryStorage

VALUE = {"a": np.arange(5000.0), "b": np.ones(3, np.int16)}


def _saved(save: Callable[[io.BytesIO], Any]) -> bytes:
    memory = io.BytesIO()
    save(memory)
    return memory.getvalue()


def _joblib() -> bytes:
    joblib = pytest.importorskip("joblib")
    return _saved(lambda file: joblib.dump(VALUE, file))


def _packed() -> bytes:
    joblib = pytest.importorskip("joblib")
    return _saved(lambda file: joblib.dump(VALUE, file, compress=("zlib", 3)))


def _torch(zipped: bool) -> bytes:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in VALUE.items()}
    return _saved(lambda file: torch.save(tensors, file, _use_new_zipfile_serialization=zipped))


def _safetensors() -> bytes:
    return bytes(pytest.importorskip("safetensors.numpy").save(VALUE))


FILES: dict[str, Callable[[], bytes]] = {
    "a pickle": lambda: pickle.dumps(VALUE),
    "an old pickle": lambda: pickle.dumps(VALUE, 0),
    "joblib": _joblib,
    "joblib, compressed": _packed,
    "torch, zip": lambda: _torch(True),
    "torch, older": lambda: _torch(False),
    "npz": lambda: _saved(lambda file: np.savez(file, **VALUE)),
    "safetensors": _safetensors,
}


class Few(io.RawIOBase):
    """A pipe: it gives a few bytes at a time, and cannot be sought in."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 1001))


def _same(found: Any) -> bool:
    return found.keys() == VALUE.keys() and all(np.array_equal(found[name], VALUE[name]) for name in VALUE)


@pytest.mark.parametrize("name", FILES)
def test_a_file_object_is_read_as_the_path_is(name: str, tmp_path: Path) -> None:
    data = FILES[name]()
    (tmp_path / "file").write_bytes(data)
    assert _same(saver.load(tmp_path / "file"))
    assert _same(saver.loads(data))
    assert _same(saver.load(io.BytesIO(data)))
    assert _same(saver.load(Few(data)))
    with open(tmp_path / "file", "rb") as file:
        store = saver.Saver(MemoryStorage())
        assert _same(store.load(store.import_(file, "a")))
    behind = io.BytesIO(b"before" + data)
    behind.seek(6)
    assert _same(saver.load(behind))


class Endless(io.RawIOBase):
    """A file object without an end, which begins with some bytes."""

    def __init__(self, first: bytes) -> None:
        self.first, self.given = first, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.given += size
        assert self.given < 64 << 20, "it reads on and on"
        found, self.first = self.first[:size], self.first[size:]
        return found + b"\xfe" * (size - len(found))


@pytest.mark.parametrize("first", [b"", b"no file", struct.pack("<Q", 1 << 61)])
def test_little_is_read_of_other_bytes(first: bytes) -> None:
    with pytest.raises(saver.SaverError):
        saver.load(Endless(first))


def test_nothing_in_it_runs(tmp_path: Path) -> None:
    with pytest.raises(saver.IncompatibleError, match=r"os\.system"):
        saver.load(io.BytesIO(b"\x80\x02cos\nsystem\n(Vtouch exploded\ntR."))
    assert not Path("exploded").exists()
