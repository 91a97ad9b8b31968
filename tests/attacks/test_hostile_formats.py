"""Files of other tools that were changed anywhere are refused, or loaded; nothing else happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import saver

ARRAYS = {"w": np.arange(600.0).reshape(20, 30), "b": np.ones(3, "f2"), "g/h": np.arange(5)}
NAMES = (
    *(pytest.param(name, marks=pytest.mark.shows("NumPy files", "hostile files tried"))
      for name in ("a.npz", "z.npz", "a.npy")),
    pytest.param("a.safetensors", marks=pytest.mark.shows("safetensors", "hostile files tried")),
    pytest.param("a.h5", marks=pytest.mark.shows("HDF5", "hostile files tried")),
    pytest.param("a.json", marks=pytest.mark.shows("JSON", "hostile files tried")),
    pytest.param("a.gguf", marks=pytest.mark.shows("GGUF", "hostile files tried")),
    "a.index",
)  # fmt: skip
MUTANTS = 150


def write(name: str, folder: Path) -> bytes:
    """A good file of the format, beside which its other files are."""
    if name.endswith(".h5"):
        pytest.importorskip("h5py")
    metadata = {"general.architecture": "x", "n": np.uint32(4), "t": ["a", "b"], "q": np.arange(5)}
    held = {"metadata": metadata, "w": ARRAYS["w"]} if name == "a.gguf" else ARRAYS
    saver.dump(ARRAYS["w"] if name == "a.npy" else held, folder / "a.saver")
    if name == "z.npz":
        np.savez_compressed(folder / name, **ARRAYS)
    else:
        saver.export(folder / "a.saver", folder / name)
    return (folder / name).read_bytes()


def changed(good: bytes, rng: random.Random) -> Iterator[bytes]:
    """The file with some bytes changed, many of them where its structure is."""
    for _ in range(MUTANTS):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 2500))
            width = rng.choice((1, 1, 4, 8))
            data[at : at + width] = rng.choice(
                (b"\xff" * width, bytes(width), b"\xff" * (width - 1) + b"\x7f", rng.randbytes(width), b"")
            )
        yield bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_is_an_error_of_saver_or_an_object(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    good = write(name, tmp_path)
    saver.load(tmp_path / name)
    refused = 0
    for data in changed(good, random.Random(name)):
        (tmp_path / name).write_bytes(data)
        try:
            saver.load(tmp_path / name)
        except saver.SaverError:
            refused += 1
    assert refused > MUTANTS // 10
    record_property("hostile files", MUTANTS)
