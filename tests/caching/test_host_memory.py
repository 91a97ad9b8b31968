"""Packs in the memory of a host: whatever is in that folder, and whatever becomes of it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saver.caching import host_memory
from saver.caching.host_memory import STALE, HostMemory
from saver.disk.files import Files

NAME, OTHER = "a" * 32, "b" * 32
DATA = bytes(range(256)) * 64


@pytest.fixture
def memory(tmp_path: Path) -> HostMemory:
    return _of(tmp_path)


def _of(place: Path, files: Files | None = None) -> HostMemory:
    return HostMemory(str(place), "0" * 32, 100_000, *([] if files is None else [files]))


def _keep(memory: HostMemory, name: str = NAME, data: bytes = DATA) -> bool:
    room = memory.begin(name, len(data))
    if room is None:
        return False
    room.write(data, 0)
    return room.finish(len(data))


def _read(memory: HostMemory, name: str = NAME) -> bytes | None:
    found = np.zeros(len(DATA), np.uint8)
    return found.tobytes() if memory.read(name, 0, found.data).all() else None


class Slow(Files):
    """Each write waits until it may go on."""

    def __init__(self) -> None:
        self.writes, self.goes_on = threading.Event(), threading.Event()
        self.wrote: list[int] = []
        self.closed: list[int] = []

    def write(self, file: int, data: memoryview, offset: int) -> int:
        self.writes.set()
        assert self.goes_on.wait(20)
        assert file not in self.closed, "by now it may be another file's"
        self.wrote.append(file)
        return super().write(file, data, offset)

    def close(self, file: int) -> None:
        self.closed.append(file)
        super().close(file)


@pytest.mark.parametrize("ends", ["give_up", "finish"])
def test_a_thread_that_still_writes_a_pack_that_is_over_writes_into_no_other_file(
    tmp_path: Path, ends: str
) -> None:
    """As one that a slow peer, which was given up, kept waiting."""
    files = Slow()
    memory = _of(tmp_path, files)
    room = memory.begin(NAME, len(DATA))
    assert room is not None
    files.closed.clear()
    late = threading.Thread(target=room.write, args=(DATA, 0))
    late.start()
    assert files.writes.wait(20)
    _ = room.give_up() if ends == "give_up" else room.finish(len(DATA))
    files.goes_on.set()
    late.join(20)
    assert len(files.wrote) == 1
    assert files.closed.count(files.wrote[0]) == 1, "and it is closed then"
    room.write(DATA, 0)
    assert len(files.wrote) == 1
    assert not memory.trouble


@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_other_file_is_written_to(memory: HostMemory, tmp_path: Path, link: Any) -> None:
    diary = tmp_path / "diary"
    diary.write_bytes(DATA)
    assert _keep(memory)
    for name in (NAME, "lock", f"{OTHER}.part"):
        path = Path(memory.folder, name)
        path.unlink(missing_ok=True)
        link(diary, path)
    memory.write(NAME, 0, memoryview(b"wrong" * 2))
    assert _keep(memory, OTHER, DATA[::-1])
    memory.write(NAME, 0, memoryview(b"wrong" * 2))
    assert diary.read_bytes() == DATA
    assert _read(memory, OTHER) == DATA[::-1]
    assert not memory.trouble


@pytest.mark.skipif(os.name == "nt", reason="files of POSIX")
@pytest.mark.parametrize(
    "harm", ["folder", "pipe", "link to itself", "link to a device", "sparse", "shorter", "none"]
)
def test_whatever_is_there_instead_of_a_pack_a_read_says_so_and_others_are_kept(
    memory: HostMemory, harm: str
) -> None:
    assert _keep(memory)
    path = Path(memory.folder, NAME)
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm == "pipe":
        os.mkfifo(path)
    elif harm.startswith("link"):
        path.symlink_to(path if harm.endswith("itself") else "/dev/zero")
    elif harm != "none":
        path.touch()
        os.truncate(path, 1 << 40 if harm == "sparse" else len(DATA) - 1)
    os.utime(path, (1, 1), follow_symlinks=False) if harm != "none" else None
    assert _read(memory) == (bytes(len(DATA)) if harm == "sparse" else None)
    memory.write(NAME, 0, memoryview(DATA))
    for number in range(12):  # as many as make room necessary
        assert _keep(memory, f"{number:032x}")
        assert _read(memory, f"{number:032x}") == DATA
        assert memory.held() <= memory.limit
    memory.clear()
    assert not os.path.exists(memory.folder)


def test_the_lock_that_nobody_can_have_costs_the_memory_and_says_so(memory: HostMemory) -> None:
    memory.open()
    Path(memory.folder, "lock").mkdir()
    assert not _keep(memory)
    assert memory.folder in memory.trouble
    assert "let SAVER_PEER_MEMORY name another folder" in memory.trouble


@pytest.mark.parametrize("left", ["a file", "a link", "what cannot be removed"])
def test_what_cannot_be_cleared_away_is_said_and_changes_no_memory(
    memory: HostMemory, tmp_path: Path, left: str, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    same, stale = memory.open(), tmp_path / ("1" * 32)
    if left == "a file":
        stale.touch()
    elif left == "a link":
        stale.symlink_to(tmp_path)
    else:
        stale.mkdir()

        def refuses(path: str) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(host_memory.shutil, "rmtree", refuses)
    os.utime(stale, (1, 1), follow_symlinks=False)
    (tmp_path / ("2" * 32)).mkdir()
    os.utime(tmp_path / ("2" * 32), (1, 1))
    assert memory.open() == same, "all processes of the host share it"
    assert f"{stale}: what another run left in memory long ago cannot be removed" in caplog.text
    assert (tmp_path / ("2" * 32)).exists() == (left == "what cannot be removed")
    assert not memory.trouble
    assert STALE > 0


class Without(Files):
    """A system that reserves nothing, as macOS."""

    def reserve(self, file: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


class Full(Files):
    """A file system in which there is no room."""

    def reserve(self, file: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_where_nothing_can_be_reserved_packs_are_kept(tmp_path: Path) -> None:
    memory = _of(tmp_path, Without())
    assert _keep(memory)
    assert _read(memory) == DATA


def test_where_there_is_no_room_nothing_stays(tmp_path: Path) -> None:
    memory = _of(tmp_path, Full())
    assert not _keep(memory)
    assert not [*Path(memory.folder).glob(f"{NAME}*")]
    assert "No space left on device" in memory.trouble
