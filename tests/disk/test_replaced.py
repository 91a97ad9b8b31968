"""A large file that is replaced is freed by a thread, and its space is there for those who need it."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import saver
from saver.disk import durable, replaced
from saver.disk.durable import NewFile
from saver.disk.files import Files
from saver.disk.replaced import LARGE, REPLACED, is_worth_holding
from saver.testing import FaultyFiles

pytestmark = pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="this system cannot hold a file so")


@pytest.fixture(autouse=True)
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "is_worth_holding", lambda found: True)


def write(path: Path, data: bytes, files: Files | None = None) -> None:
    with NewFile(str(path), len(data), files or Files()) as file:
        file.write(data, 0)
        file.commit()


def deleted_but_open() -> list[str]:
    links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
    found = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [name for name in found if "kept" in name]


class Slow(Files):
    """Closing waits until it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.slow: list[int] = []
        self.full = 0

    def hold(self, path: Any) -> int:
        self.slow.append(super().hold(path))
        return self.slow[-1]

    def close(self, file: int) -> None:
        if file in self.slow:
            assert self.may.wait(60)
        super().close(file)

    def reserve(self, file: int, size: int) -> None:
        if self.full:
            self.full -= 1
            self.may.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        super().reserve(file, size)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_old_file_stays_until_the_thread_has_closed_it(tmp_path: Path) -> None:
    path, files = tmp_path / "kept", Slow()
    path.write_bytes(b"old")
    write(path, b"new", files)
    assert path.read_bytes() == b"new"
    assert deleted_but_open() == [f"{path} (deleted)"]
    files.may.set()
    assert REPLACED.wait()
    assert not REPLACED.wait()
    assert deleted_but_open() == []
    assert os.listdir(tmp_path) == ["kept"]


def test_its_space_is_waited_for_on_a_full_disk(tmp_path: Path) -> None:
    files = Slow()
    (tmp_path / "kept").write_bytes(b"old")
    write(tmp_path / "kept", b"new", files)
    files.full = 1
    write(tmp_path / "other", b"data", files)
    assert (tmp_path / "other").read_bytes() == b"data"
    files.full = 2
    with pytest.raises(saver.CannotWriteError, match="it needs 4 bytes"):  # nothing is left to wait for
        write(tmp_path / "third", b"data", files)
    assert files.full == 1


@pytest.mark.parametrize("error", [errno.EACCES, errno.EMFILE, errno.ENOENT, errno.EOPNOTSUPP])
def test_a_file_that_cannot_be_held_is_replaced_all_the_same(tmp_path: Path, error: int) -> None:
    path, files = tmp_path / "kept", FaultyFiles()
    path.write_bytes(b"old")
    write(path, b"newer", files)
    at = next(n for n, call in enumerate(files.calls, 1) if call.startswith("hold"))
    files = FaultyFiles()
    files.fail(at, error)
    write(path, b"newest", files)
    assert files.struck
    assert path.read_bytes() == b"newest"


def test_nothing_is_held_if_the_replacing_fails(tmp_path: Path) -> None:
    path, files = tmp_path / "kept", FaultyFiles()
    path.write_bytes(b"old")
    write(path, b"newer", files)
    at = next(n for n, call in enumerate(files.calls, 1) if call.startswith("replace"))
    files = FaultyFiles()
    files.fail(at, errno.EACCES)
    with pytest.raises(saver.CannotWriteError):
        write(path, b"newest", files)
    REPLACED.wait()
    assert path.read_bytes() == b"newer"
    assert os.listdir(tmp_path) == ["kept"]
    if sys.platform == "linux":
        assert deleted_but_open() == []


def test_without_a_thread_it_is_closed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(replaced.Thread, "start", refuse)
    (tmp_path / "kept").write_bytes(b"old")
    write(tmp_path / "kept", b"new")
    assert not REPLACED.wait()
    if sys.platform == "linux":
        assert deleted_but_open() == []


@pytest.mark.parametrize(
    ("size", "links", "device", "held"),
    [
        (LARGE, 1, os.makedev(8, 1), True),
        (LARGE - 1, 1, os.makedev(8, 1), False),
        (LARGE, 2, os.makedev(8, 1), False),  # another name keeps its space
        (LARGE, 1, os.makedev(0, 50), False),  # NFS, tmpfs, FUSE
    ],
)
def test_only_what_takes_time_is_held(size: int, links: int, device: int, held: bool) -> None:
    found: Any = SimpleNamespace(st_size=size, st_nlink=links, st_dev=device)
    assert is_worth_holding(found) == held
