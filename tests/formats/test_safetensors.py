"""safetensors files of others are read, imported and restored from, like Saver's own."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from saver.storages.memory import MemoryStorage

safetensors = pytest.importorskip("safetensors.numpy")

ARRAYS = {
    "layers.0/weight": np.arange(12.0, dtype=np.float32).reshape(3, 4),
    "scalar": np.array(2, np.int64),
    "empty": np.zeros((0, 3), np.float64),
    "$marked": np.array([True, False]),
    "__array_interface__": np.arange(5, dtype=np.uint8),
    "": np.arange(3, dtype=np.int16),
    "large": np.arange(3_000_000, dtype=np.float32),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    safetensors.save_file(ARRAYS, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def same(found: Any) -> bool:
    assert found.keys() == ARRAYS.keys()
    return all(
        (found[name].dtype, found[name].shape, found[name].tobytes())
        == (array.dtype, array.shape, array.tobytes())
        for name, array in ARRAYS.items()
    )


@pytest.mark.shows("safetensors", "load")
def test_it_is_a_dict_of_arrays(path: Path) -> None:
    assert same(saver.load(path))
    assert same(saver.loads(path.read_bytes()))
    with path.open("rb") as file:
        assert same(saver.load(file))
    lazy = saver.load(path, lazy=True)
    assert same({name: lazy[name] for name in lazy})
    saver.verify(path)
    assert len(saver.describe(path).parts[0].tensors) == len(ARRAYS)
    assert not saver.diff(path, str(path))


def test_it_becomes_a_version_and_a_file_of_saver(path: Path, tmp_path: Path) -> None:
    store = saver.Saver(MemoryStorage())
    assert same(store.load(store.import_(path, "net")))
    assert not store.diff("net", path)
    store.export("net", tmp_path / "b.saver")
    assert same(saver.load(tmp_path / "b.saver"))


def test_one_for_pytorch_is_a_dict_of_tensors_that_a_module_takes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    nets = [torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).bfloat16() for _ in range(2)]
    save_file(nets[0].state_dict(), tmp_path / "n.safetensors", {"format": "pt"})
    found = saver.load(tmp_path / "n.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in nets[0].state_dict().items())
    assert saver.restore(tmp_path / "n.safetensors", nets[1])
    assert all(torch.equal(*pair) for pair in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


def test_what_numpy_lacks_is_a_tensor(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = write(
        tmp_path, {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"\x80\x3f\x00\x40"
    )
    assert saver.load(path)["x"].tolist() == [1.0, 2.0]
    assert saver.load(path)["x"].dtype == torch.bfloat16


def write(folder: Path, header: Any, data: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    "header", [b"{}".ljust(16), {"__metadata__": {}}, {"__metadata__": {"format": "pt"}}], ids=range(3)
)
def test_one_without_tensors_is_an_empty_dict(header: Any, tmp_path: Path) -> None:
    assert saver.load(write(tmp_path, header, b"")) == {}


SLOT = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
BAD = {
    "a hole": {"x": {**SLOT, "data_offsets": [1, 5]}},
    "an overlap": {"x": SLOT, "y": {**SLOT, "data_offsets": [2, 6]}},
    "too much": {"x": {**SLOT, "shape": [5]}},
    "too little": {"x": {**SLOT, "shape": [3]}},
    "a negative axis": {"x": {**SLOT, "shape": [-4]}},
    "two negative axes": {"x": {**SLOT, "shape": [-2, -2]}},
    "many axes": {"x": {**SLOT, "shape": [1] * 99 + [4]}},
    "a huge axis": {"x": {**SLOT, "shape": [1 << 80, 0]}},
    "an unknown dtype": {"x": {**SLOT, "dtype": "F4"}},
    "no dtype": {"x": {"shape": [4], "data_offsets": [0, 4]}},
    "a list": [SLOT],
    "backwards": {"x": {**SLOT, "data_offsets": [4, 0]}},
    "twice the same name": b'{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"x":1}',
    "nothing but an opening brace": b"{" + b" " * 40,
    "bytes that are not booleans": {"x": {**SLOT, "dtype": "BOOL"}},
    "deep": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
}


@pytest.mark.parametrize("what", BAD)
def test_a_malformed_one_is_refused(what: str, tmp_path: Path) -> None:
    path = write(tmp_path, BAD[what], b"abcdefgh"[: 6 if what == "an overlap" else 4])
    with pytest.raises((saver.IncompatibleError, saver.DamagedError)):
        saver.load(path)


@pytest.mark.parametrize("change", [-1, 1])
def test_one_that_was_cut_off_is_damaged(change: int, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + b"x")
    with pytest.raises(saver.DamagedError, match="cut off"):
        saver.load(path)


@given(data=st.data())
@settings(max_examples=200)
def test_a_damaged_file_of_saver_is_never_taken_for_one(data: st.DataObject) -> None:
    """Up to three changed bytes anywhere in its header."""
    raw = bytearray(saver.dumps({"a": 1, "b": "text"}))
    for at in data.draw(st.lists(st.integers(8, 700), min_size=1, max_size=3, unique=True)):
        raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((saver.DamagedError, saver.IncompatibleError)):
        saver.loads(bytes(raw))


@pytest.mark.parametrize("way", ["file", "version"])
def test_one_that_names_no_library_is_restored_into_a_module_too(way: str, tmp_path: Path) -> None:
    """As `safetensors.torch.save_file` writes it."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    nets = [torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)) for _ in range(2)]
    nets[0][1].running_mean.add_(5)
    save_file(nets[0].state_dict(), tmp_path / "n.safetensors")
    if way == "file":
        report = saver.restore(tmp_path / "n.safetensors", nets[1])
    else:
        store = saver.Saver(MemoryStorage())
        report = store.restore(store.import_(tmp_path / "n.safetensors", "net"), into=nets[1])
    assert report
    assert nets[1].state_dict().keys() == nets[0].state_dict().keys()
    assert all(
        torch.equal(tensor, nets[1].state_dict()[name]) for name, tensor in nets[0].state_dict().items()
    )
    nets[1](torch.ones(2, 4)).sum().backward()


def test_arrays_of_another_shape_still_do_not_fit(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors.save_file({"weight": np.zeros((2, 2), np.float32)}, tmp_path / "n.safetensors")
    with pytest.raises(saver.DoesNotFitError, match=r"saved \[2, 2\], here \[3, 4\]"):
        saver.restore(tmp_path / "n.safetensors", torch.nn.Linear(4, 3, bias=False))
