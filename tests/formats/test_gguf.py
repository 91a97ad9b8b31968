"""GGUF files are read whole, also quantized ones, and written so that the package gguf reads them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import ARRAYS, same

import saver
from equality import assert_same
from saver.errors import IncompatibleError, SaverError
from saver.storages.memory import MemoryStorage

HELD = ("f2", "f4", "f8", "i1", "i2", "i4", "i8")
TENSORS = {f"layer.{dtype}": np.arange(24).reshape(2, 3, 4).astype(dtype) for dtype in HELD}
METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "ü": "",
    "flag": True,
    **{f"of {dtype}": np.dtype(dtype).type(3) for dtype in ("u1", "u2", "u4", "u8", *HELD[1:])},
    "large": np.uint64(2**64 - 1),
    "nan": np.float32("nan"),
    "numbers": np.arange(5, dtype="i4"),
    "none": np.arange(0, dtype="f8"),
    "texts": ["a", "b" * 99, ""],
    "flags": [True, False],
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def made(
    pairs: bytes = b"",
    count: int = 0,
    infos: bytes = b"",
    tensors: int = 0,
    data: bytes = b"",
    version: int = 3,
) -> bytes:
    """A file of these pieces; the data is aligned."""
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, count) + pairs + infos
    return head + b"\0" * (-len(head) % 32) + data


def info(name: str = "x", shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def test_it_goes_there_and_back(tmp_path: Path) -> None:
    saver.dump({"metadata": METADATA, "tensors": TENSORS}, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / "a.gguf")
    assert not found.losses, str(found)
    again = saver.load(tmp_path / "a.gguf")
    assert list(again) == ["metadata", "tensors"]
    assert_same(again["metadata"], METADATA)
    assert all(same(again["tensors"][name], array) for name, array in TENSORS.items())
    store = saver.Saver(MemoryStorage())
    store.import_(tmp_path / "a.gguf", "net")
    store.export("net", tmp_path / "b.gguf")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_what_it_cannot_hold_is_lost(tmp_path: Path) -> None:
    saver.dump({**ARRAYS, "n" * 64: np.ones(2)}, tmp_path / "a.saver")
    lost = {
        loss.place.removeprefix("$.")
        for loss in saver.export(tmp_path / "a.saver", tmp_path / "a.gguf").losses
    }
    assert {f"model.{name}" for name in ("flags", "unsigned", "empty", "scalar", "n" * 64)} <= lost
    assert set(saver.load(tmp_path / "a.gguf")["tensors"]) >= {"weight", "fortran", "a.b", "large"}


def test_numbers_of_16_bits_that_only_pytorch_has_stay(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {"w": torch.arange(6.0).bfloat16().reshape(2, 3), "b": torch.ones(2)}
    saver.dump({"net": tensors}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.gguf")
    found = saver.load(tmp_path / "a.gguf")["tensors"]
    assert torch.equal(found["w"], tensors["w"])


@pytest.mark.shows("GGUF", "save")
def test_the_package_reads_it(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    saver.dump({"metadata": METADATA, "tensors": TENSORS}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.gguf")
    judged = gguf.GGUFReader(tmp_path / "a.gguf")
    read = {tensor.name: np.asarray(tensor.data).reshape(tensor.shape[::-1]) for tensor in judged.tensors}
    assert all(same(read[name], array) for name, array in TENSORS.items())
    for key, value in METADATA.items():
        if key != "nan":
            assert np.array_equal(judged.fields[key].contents(), value), key


@pytest.mark.shows("GGUF", "load")
def test_what_the_package_wrote_is_read(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_uint32("layers", 7), writer.add_array("tokens", ["a", "b"]), writer.add_float32("eps", 1e-5)
    weights = np.random.default_rng(0).normal(size=(4, 64)).astype("f4")
    blocks = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("plain", weights)
    writer.add_tensor("packed", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    (
        writer.write_header_to_file(),
        writer.write_kv_data_to_file(),
        writer.write_tensors_to_file(),
        writer.close(),
    )
    found = saver.load(tmp_path / "a.gguf")
    assert found["metadata"]["layers"] == 7
    assert found["metadata"]["tokens"] == ["a", "b"]
    assert same(found["tensors"]["plain"], weights)
    packed = found["tensors"]["packed"]
    assert (packed["type"], packed["shape"]) == ("Q8_0", [4, 64])
    assert packed["blocks"].tobytes() == blocks.tobytes()


FLOATS = np.arange(4, dtype="f4").tobytes()
ONE = {"tensors": 1, "data": FLOATS}
BAD: dict[str, bytes] = {
    "only the magic number": b"GGUF",
    "of version 1": made(version=1),
    "of the other byte order": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "with a huge count of pairs": made(count=1 << 60),
    "with a huge count of tensors": made(tensors=1 << 60),
    "with a huge key": made(struct.pack("<Q", 1 << 60), 1),
    "with a key that is not text": made(struct.pack("<Q", 1) + b"\xff" + struct.pack("<I", 7) + b"\1", 1),
    "with a key twice": made((text("a") + struct.pack("<I", 7) + b"\1") * 2, 2),
    "with an unknown type": made(text("a") + struct.pack("<IQ", 13, 0), 1),
    "with a flag of 2": made(text("a") + struct.pack("<I", 7) + b"\2" + bytes(9), 1),
    "with a huge array": made(text("a") + struct.pack("<IIQ", 9, 4, 1 << 60), 1),
    "with a huge array of texts": made(text("a") + struct.pack("<IIQ", 9, 8, 1 << 60), 1),
    "with a huge array of arrays": made(text("a") + struct.pack("<IIQ", 9, 9, 1 << 40), 1),
    "with deep arrays": made(text("a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000, 1),
    "with an alignment of 0": made(text("general.alignment") + struct.pack("<II", 4, 0), 1),
    "with a huge alignment": made(text("general.alignment") + struct.pack("<II", 4, 1 << 31), 1),
    "with an alignment that is text": made(text("general.alignment") + struct.pack("<I", 8) + text("32"), 1),
    "with a tensor beyond the end": made(infos=info(shape=(5,)), **ONE),
    "with a tensor at a huge place": made(infos=info(offset=1 << 62), **ONE),
    "with a tensor at an odd place": made(infos=info(offset=4, shape=(1,)), **ONE),
    "with a huge shape": made(infos=info(shape=(1 << 63, 1 << 63)), **ONE),
    "with a huge empty shape": made(infos=info(shape=(1 << 62, 0)), **ONE),
    "with many axes": made(infos=info(shape=(1,) * 99), **ONE),
    "with an unknown type of tensor": made(infos=info(kind=77), **ONE),
    "with a part of a block": made(infos=info(kind=8), **ONE),
    "with tensors on each other": made(infos=info() + info("y"), tensors=2, data=FLOATS),
    "with a tensor twice": made(infos=info() + info(offset=32), tensors=2, data=FLOATS * 4),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(BAD[name])
    with pytest.raises(IncompatibleError, match=r"a\.gguf"):
        saver.load(tmp_path / "a.gguf")


def test_any_cut_is_refused(tmp_path: Path) -> None:
    good = made(text("a") + struct.pack("<I", 8) + text("b"), 1, info(), **ONE)  # type: ignore[arg-type]
    (tmp_path / "a.gguf").write_bytes(good)
    assert saver.load(tmp_path / "a.gguf")["tensors"]["x"].tolist() == [0, 1, 2, 3]
    for end in range(len(good)):
        (tmp_path / "a.gguf").write_bytes(good[:end])
        with pytest.raises(SaverError):
            saver.load(tmp_path / "a.gguf")
