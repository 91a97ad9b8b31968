"""What is written for other tools is read ahead, a part at a time, and verified all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import DamagedError
from saver.formats import _writing
from saver.formats._writing import SMALL, Later, Streamed
from saver.opening import open_file
from saver.storage import ALIGNMENT, Sink
from saver.tensors import BLOCK, Bytes, MemoryTensors, TensorData

BLOCKED = 5 * BLOCK + 4096


def arrays() -> dict[str, Any]:
    """One array in blocks, one of a single block, and small ones that are verified together."""
    random = np.random.default_rng(0)
    sizes = {"blocked": BLOCKED // 4, "whole": 1 << 20} | {f"small.{n}": 2_000 + n for n in range(1_000)}
    return {name: random.standard_normal(size, dtype=np.float32) for name, size in sizes.items()}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "a.saver"
    saver.dump(arrays(), path)
    return path


@pytest.mark.parametrize("ending", ["safetensors", "npz", "gguf", "index", "pt", "joblib", "saver"])
def test_every_array_comes_whole(file: Path, tmp_path: Path, ending: str) -> None:
    if ending == "joblib":
        with pytest.warns(UserWarning, match="a file of joblib is a pickle"):
            saver.export(file, tmp_path / f"b.{ending}")
    else:
        saver.export(file, tmp_path / f"b.{ending}")
    if ending == "pt":
        pytest.importorskip("torch")
    found = saver.load(tmp_path / f"b.{ending}")
    found = found.get("tensors", found)
    expected = arrays()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(np.asarray(found[name]), expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["blocked", "whole", "small.0", "small.999"])
@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_a_changed_byte_is_found_before_anything_appears(
    file: Path, tmp_path: Path, name: str, at: int, ending: str
) -> None:
    data = bytearray(file.read_bytes())
    bytes_of = arrays()[name].tobytes()
    place = data.index(bytes_of[:64]) if at == 0 else data.index(bytes_of[-64:]) + 63
    data[place] ^= 1
    (tmp_path / "bad.saver").write_bytes(data)
    with pytest.raises(DamagedError, match=name.replace(".", r"\.")):
        saver.export(tmp_path / "bad.saver", tmp_path / f"out.{ending}")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.saver"]


def test_a_large_tensor_comes_a_part_at_a_time_and_nothing_of_it_is_kept(file: Path) -> None:
    opened = open_file(str(file))
    name = max(opened.tensors.names, key=lambda each: opened.tensors.info(each).length)
    parts = list(opened.tensors.stream(name))
    assert [part.size for part in parts] == [BLOCK] * 5 + [BLOCKED - 5 * BLOCK]
    numbers = range(1, 4)
    some = list(opened.tensors.stream(name, numbers))
    assert all(np.array_equal(each, parts[number]) for each, number in zip(some, numbers, strict=True))
    whole = opened.tensors.read(name)
    assert np.array_equal(np.concatenate(parts), whole)
    (again,) = opened.tensors.stream(name)
    assert again is whole
    some = list(opened.tensors.stream(name, numbers))
    assert all(np.array_equal(each, parts[number]) for each, number in zip(some, numbers, strict=True))


def test_tensors_in_memory_come_as_they_are() -> None:
    held = np.arange(6.0)
    (found,) = MemoryTensors({"a": TensorData("F64", (6,), held)}).stream("a")
    assert np.shares_memory(found, held)


def pieces(log: list[str]) -> list[Any]:
    """Some pieces of `AHEAD` bytes, which tell when they are read and when they are done with."""

    def read(number: int) -> Iterator[Bytes]:
        log.append(f"read {number}")
        yield np.full(_writing.AHEAD, number, np.uint8)

    return [
        Later(_writing.AHEAD, lambda n=n: read(n), lambda n=n: log.append(f"done {n}"))  # type: ignore[misc]
        for n in range(6)
    ]


@pytest.mark.parametrize("threads", [True, False])
def test_pieces_keep_their_order_and_are_given_back_once_they_were_used(
    threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Thread) -> None:
        raise RuntimeError("can't start new thread")

    if not threads:
        monkeypatch.setattr(Thread, "start", refuse)
    log = list[str]()
    seen = list[int]()
    for data in Streamed(pieces(log)).pieces():
        if len(data):
            assert f"done {data[0]}" not in log
            seen.append(data[0])
    assert seen == sorted(seen)
    assert {*seen} == {*range(6)}
    done = [each for each in log if each.startswith("done")]
    assert done == [f"done {n}" for n in range(6)]
    reads = [log.index(f"read {n}") for n in range(6)]
    assert reads[1] < log.index("done 0")  # the next one is read meanwhile
    assert all(log.index(f"done {n}") < reads[n + 3] for n in range(3))  # but not everything


def test_what_reading_raises_is_raised_and_ends_it() -> None:
    def broken() -> Iterator[Bytes]:
        raise DamagedError("the second")
        yield

    log = list[str]()
    first, _, *rest = pieces(log)
    with pytest.raises(DamagedError, match="the second"):
        for _ in Streamed([first, Later(_writing.AHEAD, broken, lambda: None), *rest]).pieces():
            pass
    assert "read 5" not in log


def test_a_piece_must_have_the_length_that_was_planned() -> None:
    content = Streamed([Later(5, lambda: [np.zeros(2, np.uint8)] * 2, lambda: None)])
    with pytest.raises(AssertionError, match="4 bytes came where 5 were planned"):
        list(content.pieces())


class Aligned(Sink):
    """Takes only what can be written past the page cache."""

    def __init__(self, size: int) -> None:
        self.held = bytearray(size)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        raise AssertionError("a large file is written through the page cache")

    def write_aligned(self, data: memoryview, offset: int) -> None:
        assert offset % ALIGNMENT == len(data) % ALIGNMENT == 0
        room = len(self.held) - offset
        self.held[offset : offset + len(data)] = data[:room]


@pytest.mark.parametrize("head", [b"", b"a", b"a" * 127, b"a" * ALIGNMENT, b"a" * (ALIGNMENT + 1), None])
def test_large_files_are_written_past_the_page_cache_whatever_they_begin_with(head: bytes | None) -> None:
    data = np.random.default_rng(0).integers(0, 256, SMALL + 5, np.uint8)
    later = Later(data.size, lambda: [data], lambda: None)
    pieces = [later] if head is None else [head, later, b"end"]
    content = Streamed(pieces)
    sink = Aligned(content.size)
    content.write(sink)
    assert bytes(sink.held) == b"".join(content.pieces())
