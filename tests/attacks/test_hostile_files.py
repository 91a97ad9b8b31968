"""Files that are cut off, flipped, or something else altogether."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file with some of everything: 4096 bytes of header and 2,748 of data."""
    path = tmp_path_factory.mktemp("files") / "honest.saver"
    saver.dump({"w": np.arange(256.0), "b": np.ones(700, np.uint8), "n": [1, "two"]}, path)
    return path.read_bytes()


@pytest.mark.slow
def test_every_flipped_bit_is_noticed(honest: bytes, tmp_path: Path) -> None:
    """Each byte in turn, one bit of it: nothing in the file goes unwatched, its padding neither."""
    path = tmp_path / "flipped.saver"
    unnoticed = []
    for at in range(len(honest)):
        changed = bytearray(honest)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            saver.load(path)
            unnoticed.append(at)
        except saver.SaverError:
            pass
    assert unnoticed == []


@pytest.mark.slow
def test_every_truncation_is_noticed(honest: bytes, tmp_path: Path) -> None:
    header = 8 + int.from_bytes(honest[:8], "little")
    lengths = {0, 1, 7, 8, 9, 15, 16, 63, 64, 72, header - 1, header, header + 1, len(honest) - 1}
    path = tmp_path / "cut.saver"
    for length in sorted(lengths.union(range(0, len(honest), 37))):
        path.write_bytes(honest[:length])
        with pytest.raises(saver.SaverError):
            saver.load(path)
        with pytest.raises(saver.SaverError):
            saver.describe(path)


@pytest.mark.parametrize("extra", [b"\0", b"x", b"\0" * 4096, b'{"__metadata__":{}}'])
def test_trailing_bytes_are_noticed(extra: bytes, honest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "longer.saver"
    path.write_bytes(honest + extra)
    with pytest.raises(saver.DamagedError):
        saver.load(path)


def test_two_files_after_each_other_are_noticed(honest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "twice.saver"
    path.write_bytes(honest + honest)
    with pytest.raises(saver.DamagedError):
        saver.load(path)


def test_a_header_that_was_never_written_is_reported(honest: bytes, tmp_path: Path) -> None:
    """The data is written first and the header last: this is what a torn pack looks like."""
    path = tmp_path / "torn.saver"
    path.write_bytes(bytes(4096) + honest[4096:])
    with pytest.raises(saver.DamagedError, match="cut off"):
        saver.load(path)


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("touch exploded",)


def _zip(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


BOMBS = {protocol: pickle.dumps(Bomb(), protocol) for protocol in range(6)}
FOREIGN = {
    "a pickle of protocol 2": (BOMBS[2], "a pickle"),
    "a pickle of protocol 3": (BOMBS[3], "a pickle"),
    "a pickle of protocol 4": (BOMBS[4], "a pickle"),
    "a pickle of protocol 5": (BOMBS[5], "a pickle"),
    "a text pickle": (BOMBS[0], "a pickle"),
    "a pickle of protocol 1": (BOMBS[1], "a pickle"),
    "a zip": (_zip(**{"archive/data.pkl": BOMBS[2]}), "torch.save"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "gzip": (gzip.compress(BOMBS[4]), "gzip"),
    "zlib": (zlib.compress(BOMBS[4]), "zlib"),
    "bzip2": (bz2.compress(BOMBS[4]), "bzip2"),
    "xz": (lzma.compress(BOMBS[4]), "xz"),
    "text": (b"hello, I am a model\n" * 10, "not a Saver file"),
    "json": (b'{"weights": [1, 2, 3], "more": "text of some length"}', "not a Saver file"),
    "one byte": (b"x", "not a Saver file"),
    "nothing": (b"", "there is nothing in it"),
    "zeros": (bytes(8192), "cut off"),
    "few zeros": (bytes(3), "cut off"),
}


@pytest.mark.parametrize(("data", "kind"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_file_renamed_is_recognized_for_what_it_is(
    data: bytes, kind: str, tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "HDF5":
        pytest.importorskip("h5py")  # which reads such files
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.saver"
    path.write_bytes(data)
    assert kind in str(refused(path, (saver.DamagedError, saver.IncompatibleError), apart=kind == "HDF5"))
    assert os.listdir(tmp_path) == ["model.saver"]


def test_a_folder_is_recognized_for_what_it_is(tmp_path: Path, refused: Any) -> None:
    refused(tmp_path, saver.IncompatibleError, "folder")


def test_a_missing_file_is_not_found(tmp_path: Path, refused: Any) -> None:
    refused(tmp_path / "none.saver", saver.NotFoundError, "no such file")


def test_a_file_taken_for_a_folder_is_not_found(tmp_path: Path, honest: bytes) -> None:
    path = tmp_path / "a.saver" / "b.saver"
    (tmp_path / "a.saver").write_bytes(honest)
    with pytest.raises(saver.NotFoundError):
        saver.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "pipe.saver"
    os.mkfifo(path)
    refused(path, saver.IncompatibleError)


def test_a_device_is_not_a_file(refused: Any) -> None:
    for path in ("/dev/null", "/dev/zero"):
        refused(Path(path), saver.SaverError)
