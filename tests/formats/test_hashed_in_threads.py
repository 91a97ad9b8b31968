"""Files of other tools are hashed and compared with their sums on all processors, with the same results."""

from __future__ import annotations

import zipfile
from pathlib import Path
from threading import Thread, current_thread

import numpy as np
import pytest

import saver
from saver.errors import DamagedError
from saver.formats._hashing import SERIAL, TOGETHER, hash_all, in_threads
from saver.tensors import BLOCK, TensorData, hash_of

SIZES = (0, 1, 63, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, 5 * BLOCK + 7, 0, 3)


def refuse(self: Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("chosen", [SIZES, SIZES[::-1], (1000,) * 20_000, (), (0,), (3 * BLOCK,)])
def test_hashes_are_those_of_one_thread(
    chosen: tuple[int, ...], threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not threads:
        monkeypatch.setattr(Thread, "start", refuse)
    random = np.random.default_rng(0)
    arrays = [random.integers(0, 256, size, dtype=np.uint8) for size in chosen]
    assert hash_all(arrays) == [hash_of(TensorData("U8", (data.size,), data)) for data in arrays]


def test_results_come_in_order_and_from_several_threads_only_if_that_pays() -> None:
    few = in_threads(lambda at: (at, current_thread()), [SERIAL // 4] * 4)
    assert few == [(at, current_thread()) for at in range(4)]
    many = in_threads(lambda at: (at, current_thread()), [TOGETHER] * 50)
    assert [at for at, _ in many] == [*range(50)]
    assert current_thread() not in {thread for _, thread in many}


def test_what_the_first_one_raises_is_raised() -> None:
    def act(at: int) -> None:
        if at >= 3:
            raise DamagedError(f"number {at}")

    for size in (1, TOGETHER):
        with pytest.raises(DamagedError, match="number 3"):
            in_threads(act, [size] * 10)


@pytest.mark.parametrize("number", [0, 3, 7])
def test_a_changed_byte_of_a_large_archive_of_torch_is_found(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.pt"
    arrays = {f"w{at}": np.full(TOGETHER // 4, at, np.float32) for at in range(8)}
    saver.dump(arrays, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", path)
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo(f"archive/data/{number}").header_offset
    data = bytearray(path.read_bytes())
    data[place + TOGETHER // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=rf"data/{number}' are not what was written"):
        saver.load(path)


@pytest.mark.parametrize("number", [0, 3, 7])
def test_bytes_that_are_no_booleans_are_named(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.safetensors"
    saver.dump({f"w{at}": np.zeros(TOGETHER, np.bool_) for at in range(8)}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", path)
    data = bytearray(path.read_bytes())
    data[len(data) - (8 - number) * TOGETHER + 5] = 2
    path.write_bytes(data)
    with pytest.raises(saver.IncompatibleError, match=f"w{number}' has bytes that are not booleans"):
        saver.load(path)
