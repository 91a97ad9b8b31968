r"""What Windows does otherwise, as far as every system can run it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.disk import mapped
from saver.disk.copy import Copy
from saver.disk.durable import NewFile
from saver.disk.files import Files
from saver.disk.mapped import open_file
from saver.disk.windows import LONG, WindowsFiles, extended
from saver.errors import CannotWriteError, DamagedError, IncompatibleError
from saver.storages.local import LocalStorage
from saver.testing import FaultyFiles, StorageTests


@pytest.fixture(autouse=True)
def _copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is mapped: Windows neither replaces nor deletes one that is."""
    monkeypatch.setattr(mapped, "_mmap", None)


class TestByPaths(StorageTests):
    """The contract of storages, without one open folder."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> LocalStorage:
        return LocalStorage(tmp_path / "models", WindowsFiles())


class TestCounted(StorageTests):
    """The same, and every call can fail."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> LocalStorage:
        return LocalStorage(tmp_path / "models", FaultyFiles(WindowsFiles()))


def test_no_link_in_a_store_is_followed(tmp_path: Path) -> None:
    outside, store = tmp_path / "outside", tmp_path / "models"
    outside.mkdir()
    (outside / "a").write_bytes(b"secret")
    store.mkdir()
    (store / "linked").symlink_to(outside)
    (store / "a").symlink_to(outside / "a")
    found = LocalStorage(store, WindowsFiles())
    for key in ("linked/a", "a"):
        with pytest.raises(DamagedError, match="symbolic link"):
            found.open(key)
        with pytest.raises(CannotWriteError):
            found.create(key, b"x")
    with pytest.raises(CannotWriteError, match="nothing was deleted"):
        found.delete("linked/a")
    assert (outside / "a").read_bytes() == b"secret"
    assert os.listdir(outside) == ["a"]


def test_a_junction_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a folder to everyone who does not look for its tag."""
    (tmp_path / "models/a").mkdir(parents=True)
    real = os.lstat

    class Junction:
        st_reparse_tag = 0xA0000003

        def __init__(self, found: os.stat_result) -> None:
            self.st_mode = found.st_mode

    monkeypatch.setattr(os, "lstat", lambda path: Junction(real(path)))
    with pytest.raises(CannotWriteError, match="symbolic link"):
        LocalStorage(tmp_path / "models", WindowsFiles()).create("a/b", b"x")
    assert os.listdir(tmp_path / "models/a") == []


def test_the_folder_of_a_store_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "models").symlink_to(tmp_path / "real")
    found = LocalStorage(tmp_path / "models", WindowsFiles())
    found.create("a/b", b"x")
    assert list(found.keys("")) == ["a/b"]
    assert (tmp_path / "real/a/b").read_bytes() == b"x"


def test_a_folder_that_cannot_be_opened_is_not_taken_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(IncompatibleError, match="is a folder, not a Saver file"):
        open_file(str(tmp_path), files=WindowsFiles())


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_is_closed_before_it_gets_its_name(replace: bool, tmp_path: Path) -> None:
    class Strict(WindowsFiles):
        def link(self, source: Any, path: Any) -> None:
            self.demand_closed(source)
            super().link(source, path)

        def replace(self, source: Any, path: Any) -> None:
            self.demand_closed(source)
            super().replace(source, path)

        def demand_closed(self, source: str) -> None:
            open_now = {os.readlink(f"/proc/self/fd/{number}") for number in descriptors()}
            assert source not in open_now

    with NewFile(str(tmp_path / "a"), 3, Strict()) as file:
        file.write(b"abc", 0)
        assert file.commit(replace)
    assert (tmp_path / "a").read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["a"]


def write_file(path: str, data: bytes, files: Files) -> None:
    with NewFile(path, len(data), files) as file:
        file.write(data, 0)
        file.commit()


def descriptors() -> Iterator[str]:
    for number in os.listdir("/proc/self/fd"):
        if os.path.lexists(f"/proc/self/fd/{number}"):
            yield number


@pytest.mark.parametrize("winerror", [5, 32, 33])
def test_a_file_that_a_program_has_open_is_reported_as_that(winerror: int, tmp_path: Path) -> None:
    class InUse(PermissionError):
        pass

    class Busy(WindowsFiles):
        def replace(self, source: Any, path: Any) -> None:
            error = InUse(errno.EACCES, "Permission denied")
            error.winerror = winerror  # type: ignore[attr-defined]
            raise error

    with pytest.raises(CannotWriteError, match="a program has it open"):
        write_file(str(tmp_path / "a"), b"x", Busy())
    assert os.listdir(tmp_path) == []


def test_a_copy_never_overwrites_what_its_user_changed(tmp_path: Path) -> None:
    """Tensors of one file are read one after another, and some bytes between them again."""
    content = np.random.default_rng(0).integers(0, 256, 50_000).astype(np.uint8)
    (tmp_path / "a").write_bytes(content.tobytes())
    blob = open_file(str(tmp_path / "a"), files=WindowsFiles())
    blob.fetch(10_000, 20_000, memoryview(b""))
    array = blob.map()[10_000:20_000]
    np.testing.assert_array_equal(array, content[10_000:20_000])
    array[:] = 7
    blob.fetch(5_000, 50_000, memoryview(b""))
    assert set(array) == {7}
    np.testing.assert_array_equal(blob.map()[20_000:], content[20_000:])
    np.testing.assert_array_equal(blob.map()[8192:10_000], content[8192:10_000])


def test_a_copy_reads_every_page_once() -> None:
    content = bytes(np.random.default_rng(1).integers(0, 256, 41_000).astype(np.uint8))
    read: list[tuple[int, int]] = []

    def bring(start: int, end: int, into: memoryview) -> None:
        read.append((start, end))
        into[:] = content[start:end]

    copy = Copy(len(content))
    chance = np.random.default_rng(2)
    for _ in range(100):
        start, end = sorted(int(at) for at in chance.integers(0, len(content) + 1, 2))
        copy.fill(start, end, bring)
        assert copy.memory[start:end].tobytes() == content[start:end]
    assert sum(end - start for start, end in read) <= len(content)
    assert sorted(read) == sorted(set(read))


def test_a_file_can_be_written_over_while_its_arrays_live(tmp_path: Path) -> None:
    path = tmp_path / "a.saver"
    saver.dump(np.arange(1e6), path)
    loaded = saver.load(path)
    with open("/proc/self/maps", encoding="utf-8") as maps:
        assert str(path) not in maps.read()
    saver.dump(loaded * 2, path)
    np.testing.assert_array_equal(saver.load(path), np.arange(1e6) * 2)
    np.testing.assert_array_equal(loaded, np.arange(1e6))


END = "d" * LONG + "\\a"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("C:\\models\\a", "C:\\models\\a"),
        ("C:\\models\\" + END, "\\\\?\\C:\\models\\" + END),
        ("C:/models/x/../" + END, "\\\\?\\C:\\models\\" + END),
        ("C:\\models\\" + END + "\\.", "\\\\?\\C:\\models\\" + END + "\\."),
        ("\\\\server\\share\\" + END, "\\\\?\\UNC\\server\\share\\" + END),
        ("\\\\?\\C:\\" + END, "\\\\?\\C:\\" + END),
        (END, END),
        ("C:" + END, "C:" + END),
        ("/" + END, "/" + END),
    ],
)
def test_long_paths_get_the_prefix_that_lifts_the_limit(path: str, wanted: str) -> None:
    """Of those that are absolute; others mean the same with it no longer."""
    assert extended(path) == wanted
    assert extended(wanted) == wanted


@pytest.mark.parametrize("name", ["create_unnamed", "open_direct"])
def test_what_windows_lacks_is_refused_as_every_system_refuses_it(name: str) -> None:
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.EOPNOTSUPP))):
        getattr(WindowsFiles(), name)(0)


def test_each_operation_is_one_of_the_contract() -> None:
    """So that a test that wraps `Files` sees all of them."""
    public = {name for name in vars(WindowsFiles) if not name.startswith("_")}
    assert public <= set(dir(Files))
