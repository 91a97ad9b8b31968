"""A disk that is full: an error says what to do, nothing is lost, and with room again the next save
succeeds."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.disk.files import Files
from saver.disk.files import Path as DiskPath
from saver.storages.local import LocalStorage


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))


class SmallDisk(Files):
    """A file system with room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._taken: dict[int, int] = {}

    def _take(self, file: int, end: int) -> None:
        more = max(0, end - self._taken.get(file, 0))
        if more > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._taken[file] = max(end, self._taken.get(file, 0))
        self.room -= more

    def reserve(self, file: int, size: int) -> None:
        self._take(file, size)
        super().reserve(file, size)

    def write(self, file: int, data: memoryview, offset: int) -> int:
        self._take(file, offset + len(data))
        return super().write(file, data, offset)

    def close(self, file: int) -> None:
        kept = self._taken.pop(file, 0)
        if os.fstat(file).st_nlink == 0:  # it never got a name
            self.room += kept
        super().close(file)

    def remove(self, path: DiskPath) -> None:
        size = self.stat(path).st_size
        super().remove(path)
        self.room += size


def value(number: int) -> dict[str, Any]:
    return {"shared": np.arange(1000.0), "own": np.full(5000, float(number))}


def fill(store: saver.Saver) -> tuple[int, str]:
    """Save until the disk is full: how many versions there are, and what was said then."""
    for number in range(1, 1000):
        try:
            store.save("m", value(number))
        except saver.CannotWriteError as error:
            return number - 1, str(error)
    raise AssertionError("it never got full")


def all_load(folder: Path, count: int) -> bool:
    store = saver.Saver(folder)
    found = {version.number: store.load(str(version)) for version in store.versions("m")}
    return len(found) >= count and all(
        np.array_equal(parts[name], array)
        for number, parts in found.items()
        for name, array in value(number).items()
    )


@pytest.mark.parametrize("room", [200_000, 201_000, 203_000, 206_000, 212_000, 224_000])
def test_a_disk_that_gets_full(room: int, tmp_path: Path) -> None:
    folder, disk = tmp_path / "models", SmallDisk(room)
    count, told = fill(saver.Saver(LocalStorage(folder, disk)))
    assert count > 2
    assert str(folder) in told
    assert "free some" in told
    files = {path for path in folder.rglob("*") if path.is_file()}
    assert not [path for path in files if path.name.startswith(".")], "nothing is left of what failed"
    assert all_load(folder, count)
    assert saver.Saver(folder).check().garbage == ()
    disk.room += 100_000
    assert saver.Saver(LocalStorage(folder, disk)).save("m", value(count + 1)).number == count + 1
    assert all_load(folder, count + 1)


def test_room_is_made_by_deleting_and_collecting(tmp_path: Path) -> None:
    folder, disk = tmp_path / "models", SmallDisk(500_000)
    count, _ = fill(saver.Saver(LocalStorage(folder, disk)))
    disk.room = max(disk.room, 8000)
    store = saver.Saver(LocalStorage(folder, disk))
    for number in range(1, 4):
        store.delete(f"m@{number}", tags=True)
    assert store.gc(grace=0).freed_bytes > 50_000
    assert store.save("m", value(count + 1)).number == count + 1
    assert all_load(folder, count + 1 - 3)


def test_a_full_disk_does_not_hinder_loading_and_checking(tmp_path: Path) -> None:
    folder, disk = tmp_path / "models", SmallDisk(300_000)
    count, _ = fill(saver.Saver(LocalStorage(folder, disk)))
    disk.room = 0
    store = saver.Saver(LocalStorage(folder, disk))
    assert np.array_equal(store.load("m")["own"], value(count)["own"])
    assert store.check().sound
    with pytest.raises(saver.CannotWriteError, match="free some"):
        store.tag("m", "best")
    assert store.gc(grace=0).condemned == ()
    assert all_load(folder, count)
    store.delete("m@1", tags=True)
    assert len(store.gc(grace=0).freed) == 1, "its manifest; others need what is in its pack"
    assert all_load(folder, count - 1)


def mounted(folder: Path, *options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(("size=1m", *options)), "tmpfs", str(folder)]
    return shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real file system with room for a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder):
        pytest.skip("only who may mount a file system can have one of a megabyte")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_file_system_that_gets_full_and_then_may_only_be_read(small: Path) -> None:
    folder = small / "models"
    store = saver.Saver(folder)
    count, told = fill(store)
    assert "free some" in told
    assert all_load(folder, count)
    assert mounted(small, "remount", "ro")
    assert all_load(folder, count)
    assert saver.Saver(folder).check().sound
    for act in (
        lambda s: s.save("m", value(9)),
        lambda s: s.delete("m@1", tags=True),
        lambda s: s.gc(grace=0),
    ):
        with pytest.raises(saver.CannotWriteError, match="Read-only file system"):
            act(saver.Saver(folder))
    assert mounted(small, "remount", "rw", "size=2m")
    assert saver.Saver(folder).save("m", value(count + 1)).number == count + 1
    assert all_load(folder, count + 1)


class WithoutLinks(Files):
    """As FAT and exFAT are."""

    def create_unnamed(self, folder: str) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def link(self, source: str | int, path: str) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_stick_without_hard_links_is_read_and_not_written(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    saver.Saver(folder).save("m", value(1))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    stick = saver.Saver(LocalStorage(folder, WithoutLinks()))
    assert np.array_equal(stick.load("m")["own"], value(1)["own"])
    acts = (
        lambda: stick.save("m", value(2)),
        lambda: stick.tag("m", "t"),
        lambda: stick.delete("m@1", tags=True),
    )
    for act in acts:
        with pytest.raises(saver.CannotWriteError, match=r"no hard links.*on another file system"):
            act()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    with pytest.raises(saver.CannotWriteError, match="no hard links"):
        saver.Saver(LocalStorage(tmp_path / "new", WithoutLinks())).save("m", value(1))
    assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
