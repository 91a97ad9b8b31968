"""`writable=True`: what is loaded is in memory of its own, and everything else is as without it."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import saver
from saver.disk import mapped
from saver.disk.copy import Copy
from saver.storage import ALIGNMENT
from saver.storages.memory import MemoryStorage

SIZE = 100_000
"""Numbers of an array: too many for a small file, and its end is within a page."""


def arrays() -> dict[str, np.ndarray]:
    return {name: np.random.default_rng(ord(name)).normal(size=SIZE + ord(name)) for name in "abc"}


def assert_same(found: dict[str, np.ndarray], but: str = "") -> None:
    for name, value in arrays().items():
        if name not in but:
            np.testing.assert_array_equal(found[name], value)


def is_mapped(path: Path) -> bool:
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return str(path) in maps.read()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    saver.dump(arrays(), tmp_path / "a.saver")
    return tmp_path / "a.saver"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_is_mapped(path: Path) -> None:
    loaded = saver.load(path)
    assert is_mapped(path)
    del loaded
    loaded = saver.load(path, writable=True)
    assert not is_mapped(path)
    assert_same(loaded)
    for each in loaded.values():
        each[:] = 0
    assert_same(saver.load(path))


@pytest.mark.parametrize("where", ["folder", "memory"])
def test_a_version_is_as_it_was_saved(where: str, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path if where == "folder" else MemoryStorage())
    store.save("m", arrays())
    store.save("m", {**arrays(), "a": np.zeros(SIZE)})  # two packs
    for ref, changed in (("m@1", ""), ("m@2", "a")):
        loaded = store.load(ref, writable=True)
        assert_same(loaded, but=changed)
        for each in loaded.values():
            each += 1
        assert_same(store.load(ref), but=changed)


def test_what_its_user_changed_is_not_read_again(path: Path) -> None:
    lazy = saver.load(path, lazy=True, writable=True)
    lazy["b"][:] = 7  # its first and its last page have bytes of its neighbours
    assert_same(lazy, but="b")
    assert (lazy["b"] == 7).all()


def test_a_cut_file_is_damaged(path: Path) -> None:
    lazy = saver.load(path, lazy=True, writable=True)
    os.truncate(path, os.path.getsize(path) - SIZE)
    with pytest.raises(saver.DamagedError, match="c"):
        lazy["c"]
    np.testing.assert_array_equal(lazy["a"], arrays()["a"])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_where_there_is_no_memory_it_stays_mapped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(mapped, "Copy", refuse)
    loaded = saver.load(path, writable=True)
    assert is_mapped(path)
    assert_same(loaded)


def test_it_must_be_a_flag(path: Path) -> None:
    with pytest.raises(TypeError, match="writable"):
        saver.load(path, writable="yes")  # type: ignore[arg-type]


# What it rests on

CONTENT = np.random.default_rng(0).integers(0, 256, 30 * ALIGNMENT + 17, np.uint8).tobytes()


def test_threads_share_the_reading_and_none_overwrites_another() -> None:
    copy, read, broken = Copy(len(CONTENT)), list[tuple[int, int]](), [3]
    chance = np.random.default_rng(1)
    ranges = [sorted(int(at) for at in chance.integers(0, len(CONTENT) + 1, 2)) for _ in range(200)]
    failed = list[Exception]()

    def bring(start: int, end: int, into: memoryview) -> None:
        time.sleep(0.0005)
        if broken[0]:
            broken[0] -= 1
            raise OSError
        read.append((start, end))
        into[:] = CONTENT[start:end]

    def work(mine: list[list[int]]) -> None:
        for start, end in mine:
            while True:
                try:
                    copy.fill(start, end, bring)
                    break
                except OSError as error:
                    failed.append(error)
            if copy.memory[start:end].tobytes() != CONTENT[start:end]:
                failed.append(AssertionError(f"{start}:{end}"))

    threads = [threading.Thread(target=work, args=(ranges[at::8],)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert [type(each) for each in failed] == [OSError] * 3
    assert sum(end - start for start, end in read) == len({at for s, e in read for at in range(s, e)})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_is_forked_while_a_thread_reads_reads_for_itself() -> None:
    copy, reading, go_on = Copy(len(CONTENT)), threading.Event(), threading.Event()

    def bring(start: int, end: int, into: memoryview) -> None:
        reading.set()
        assert go_on.wait(60)
        into[:] = CONTENT[start:end]

    def at_once(start: int, end: int, into: memoryview) -> None:
        into[:] = CONTENT[start:end]

    thread = threading.Thread(target=copy.fill, args=(0, len(CONTENT), bring))
    thread.start()
    assert reading.wait(60)
    child = os.fork()
    if child == 0:
        copy.fill(0, len(CONTENT), at_once)
        os._exit(int(copy.memory.tobytes() != CONTENT))
    go_on.set()
    thread.join(60)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
