"""The store in a folder: durable, exclusive, and clear about what went wrong."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from descriptors import open_files
from saver import registry
from saver.disk import files
from saver.disk.files import Files
from saver.errors import (
    CannotReadError,
    CannotWriteError,
    CommitUnknownError,
    DamagedError,
    IncompatibleError,
    NotFoundError,
)
from saver.storage import Bytes
from saver.storages.local import LocalStorage
from saver.testing import FaultyFiles, StorageTests


class TestLocalStorage(StorageTests):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> LocalStorage:
        return LocalStorage(tmp_path / "models")


class TestWithoutUnnamedFiles(StorageTests):
    @pytest.fixture
    def storage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
        monkeypatch.setattr(files, "_O_TMPFILE", 0)
        return LocalStorage(tmp_path / "models")


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a tmpfs")
class TestInMemory(StorageTests):
    @pytest.fixture
    def storage(self) -> Iterator[LocalStorage]:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield LocalStorage(os.path.join(folder, "models"))


@pytest.fixture(params=["unnamed", "named"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    """Both ways to be invisible until it is whole."""
    if request.param == "named":
        monkeypatch.setattr(files, "_O_TMPFILE", 0)
    return LocalStorage(tmp_path / "models")


def everything(folder: Path) -> list[str]:
    """All files and folders, also hidden ones."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def put(storage: LocalStorage, key: str, data: bytes) -> None:
    storage.put(key, Bytes(data))


def test_objects_are_plain_files_under_their_keys(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, "packs/a.safetensors", b"pack")
    assert storage.create("manifests/3f/3fa.json", b"{}")
    assert storage.create("manifests/3f/3fa.json", b"[]") is False
    assert everything(tmp_path / "models") == [
        "manifests", "manifests/3f", "manifests/3f/3fa.json", "packs", "packs/a.safetensors",
    ]  # fmt: skip
    assert (tmp_path / "models/packs/a.safetensors").read_bytes() == b"pack"


def test_an_address_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = registry.find("storages", "local").open_storage("models")
    assert str(found) == "models"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found.create("a", b"x")
    assert everything(tmp_path) == ["elsewhere", "models", "models/a"], "it stays where it was"


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    found = LocalStorage(tmp_path / "models")
    assert list(found.keys("")) == []
    assert found.stat("a/b") is None
    found.delete("a/b")
    assert everything(tmp_path) == []


def test_folders_above_the_store_are_made_too(tmp_path: Path) -> None:
    LocalStorage(tmp_path / "a" / "b" / "models").create("log/1", b"x")
    assert everything(tmp_path)[-1] == "a/b/models/log/1"


def test_a_file_of_someone_else_is_not_an_object(storage: LocalStorage, tmp_path: Path) -> None:
    storage.create("log/1", b"x")
    for name in (".DS_Store", "README.md", "log/.1.json.0123456789ab.part", "log/Thumbs.db", "log/a b"):
        (tmp_path / "models" / name).write_text("x")
    (tmp_path / "models" / ".git").mkdir()
    (tmp_path / "models" / ".git" / "config").write_text("x")
    assert list(storage.keys("")) == ["log/1"]


@pytest.mark.parametrize(
    "key",
    ["", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", ".a", "a/.b", "A", "a b", "ä", "a\0b",
     "a\n", "a\\b", "C:a", "~", "a_b", "/".join("a" * 17)],
)  # fmt: skip
def test_what_cannot_be_a_key_is_refused(key: str, tmp_path: Path) -> None:
    """A damaged or forged document could name any path."""
    (tmp_path / "a").write_text("not yours")
    found = LocalStorage(tmp_path / "models")
    asks: list[Callable[[], Any]] = [
        lambda: put(found, key, b"x"), lambda: found.create(key, b"x"), lambda: found.open(key),
        lambda: found.stat(key), lambda: found.delete(key), lambda: found.read(key),
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(IncompatibleError, match="cannot be the key"):
            ask()
    assert everything(tmp_path) == ["a"]


@pytest.mark.parametrize("prefix", ["a", "/", "../", "a/../", ".a/", "a//"])
def test_what_cannot_be_a_prefix_is_refused(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="cannot be"):
        LocalStorage(tmp_path).keys(prefix)


def test_a_key_is_put_once(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, "a/b", b"first")
    with pytest.raises(CannotWriteError, match="already"):
        put(storage, "a/b", b"second")
    assert storage.read("a/b") == b"first"
    assert everything(tmp_path / "models") == ["a", "a/b"]


def test_a_folder_is_not_an_object(storage: LocalStorage) -> None:
    storage.create("a/b", b"x")
    for ask in (storage.open, storage.read):
        with pytest.raises(DamagedError, match="is a folder"):
            ask("a")
    with pytest.raises(CannotWriteError, match="folder"):
        storage.create("a", b"x")
    with pytest.raises(CannotWriteError):
        storage.create("a/b/c", b"x")


def test_a_file_in_place_of_the_store_is_reported(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("x")
    found = LocalStorage(tmp_path / "models")
    with pytest.raises(CannotWriteError, match="Not a directory"):
        found.create("a", b"x")
    with pytest.raises(IncompatibleError, match="is a file, not a store"):
        list(found.keys(""))
    with pytest.raises(NotFoundError):
        found.open("a")
    assert found.stat("a") is None


class Refusing(Files):
    """A file system that refuses some of what is asked of it."""

    def __init__(self, number: int, *names: str) -> None:
        for name in names:
            setattr(self, name, self._refusal(number))

    def _refusal(self, number: int) -> Callable[..., Any]:
        def refuse(*arguments: Any, **keywords: Any) -> Any:
            raise OSError(number, os.strerror(number))

        return refuse


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [(errno.EACCES, CannotReadError, "let you read it"),
     (errno.EMFILE, CannotReadError, "Too many open files"),
     (errno.EIO, DamagedError, "the disk cannot read it")],
)  # fmt: skip
def test_what_cannot_be_read_is_reported(
    number: int, error: type[Exception], message: str, tmp_path: Path
) -> None:
    LocalStorage(tmp_path).create("a/b", b"x")
    asks = {
        "open": lambda s: s.open("a/b"),
        "list": lambda s: list(s.keys("a/")),
        "stat": lambda s: s.stat("a/b"),
    }
    for name, ask in asks.items():
        with pytest.raises(error, match=message):
            ask(LocalStorage(tmp_path, Refusing(number, name)))
    with pytest.raises(error, match=message):
        LocalStorage(tmp_path, Refusing(number, "read")).read("a/b")


def test_a_listing_that_fails_is_not_an_empty_one(tmp_path: Path) -> None:
    """Whoever collects garbage by a listing must be able to rely on it."""
    LocalStorage(tmp_path).create("a/b", b"x")
    with pytest.raises(CannotReadError):
        list(LocalStorage(tmp_path, Refusing(errno.EACCES, "list")).keys(""))


def test_what_cannot_be_deleted_is_reported(tmp_path: Path) -> None:
    LocalStorage(tmp_path).create("a/b", b"x")
    with pytest.raises(CannotWriteError, match="was not deleted"):
        LocalStorage(tmp_path, Refusing(errno.EACCES, "remove")).delete("a/b")
    assert LocalStorage(tmp_path).read("a/b") == b"x"


def test_a_read_only_folder_is_reported(tmp_path: Path) -> None:
    refusing = Refusing(errno.EROFS, "make_folder")
    with pytest.raises(CannotWriteError, match="Read-only"):
        LocalStorage(tmp_path / "models", refusing).create("a", b"x")


NO_LINKS = [errno.EPERM, errno.EOPNOTSUPP]


@pytest.mark.parametrize("number", NO_LINKS)
def test_without_hard_links_objects_are_put_all_the_same(number: int, tmp_path: Path) -> None:
    found = LocalStorage(tmp_path, Refusing(number, "link", "create_unnamed"))
    if number == errno.EPERM:
        found = LocalStorage(tmp_path, _Unnamed(number, "link"))
    put(found, "packs/a", b"pack")
    assert found.read("packs/a") == b"pack"
    assert everything(tmp_path) == ["packs", "packs/a"]


@pytest.mark.parametrize("number", NO_LINKS)
def test_without_hard_links_no_number_is_taken(number: int, tmp_path: Path) -> None:
    found = LocalStorage(tmp_path, _Unnamed(number, "link"))
    with pytest.raises(CannotWriteError, match="no hard links"):
        found.create("log/1", b"x")
    assert everything(tmp_path) == ["log"]


class _Unnamed(Refusing):
    """Refuses, and has no unnamed files."""

    def create_unnamed(self, folder: str) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def test_a_link_whose_answer_was_lost_is_known_again(tmp_path: Path) -> None:
    """As on NFS: the second request finds what the first one did."""

    class Forgetful(Files):
        def link(self, source: str | int, path: str) -> None:
            super().link(source, path)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    class NamedForgetful(Forgetful):
        def create_unnamed(self, folder: str) -> int:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    for number, kind in enumerate((Forgetful, NamedForgetful)):
        found = LocalStorage(tmp_path, kind())
        assert found.create(f"log/{number}", b"mine") is True
        assert LocalStorage(tmp_path).create(f"log/{number}", b"other") is False
        assert found.create(f"log/{number}", b"other") is False
    assert everything(tmp_path) == ["log", "log/0", "log/1"]


def test_names_are_synced_before_anything_is_acknowledged(storage: LocalStorage, tmp_path: Path) -> None:
    recorded = FaultyFiles()
    found = LocalStorage(tmp_path / "new", recorded)
    found.create("log/1", b"x")
    done = [
        (o.name, os.path.basename(o.path))
        for o in recorded.operations
        if "folder" in o.name or o.name == "link"
    ]
    assert done == [
        ("make_folder", "new"), ("sync_folder", tmp_path.name), ("make_folder", "log"),
        ("sync_folder", "new"), ("link", "1"), ("sync_folder", "log"),
    ]  # fmt: skip
    recorded.operations.clear()
    found.create("log/2", b"x")
    names = [operation.name for operation in recorded.operations]
    assert [name for name in names if name != "remove"][-3:] == ["sync", "link", "sync_folder"]
    assert names.count("sync_folder") == 1, "what is durable is not synced again"


def test_a_folder_that_another_process_has_just_made_is_synced(tmp_path: Path) -> None:
    """It may not yet have come to that."""
    (tmp_path / "models" / "log").mkdir(parents=True)
    recorded = FaultyFiles()
    LocalStorage(tmp_path / "models", recorded).create("log/1", b"x")
    synced = [os.path.basename(o.path) for o in recorded.operations if o.name == "sync_folder"]
    assert synced == ["models", "log"], "the name of `models` is durable: it has a folder in it"


def test_a_store_that_another_process_has_just_made_is_synced(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    recorded = FaultyFiles()
    LocalStorage(tmp_path / "models", recorded).create("log/1", b"x")
    synced = [os.path.basename(o.path) for o in recorded.operations if o.name == "sync_folder"]
    assert synced == [tmp_path.name, "models", "log"]


def test_who_loses_makes_the_other_durable(tmp_path: Path) -> None:
    """So that a retry after CommitUnknownError that finds its own object can rely on it."""
    found = LocalStorage(tmp_path, Refusing(errno.EIO, "sync_folder"))
    (tmp_path / "log").mkdir()
    put(LocalStorage(tmp_path), "log/0", b"")
    with pytest.raises(CommitUnknownError):
        found.create("log/1", b"mine")
    recorded = FaultyFiles()
    assert LocalStorage(tmp_path, recorded).create("log/1", b"mine") is False
    assert recorded.operations[-1].name == "sync_folder"
    with pytest.raises(CommitUnknownError):
        found.create("log/1", b"mine")


def test_a_folder_that_cannot_be_synced_leaves_it_open(tmp_path: Path) -> None:
    put(LocalStorage(tmp_path), "packs/a", b"x")
    found = LocalStorage(tmp_path, Refusing(errno.EIO, "sync_folder"))
    with pytest.raises(CommitUnknownError, match="check the disk"):
        put(found, "packs/b", b"x")


def test_a_folder_above_that_cannot_be_read_is_not_an_obstacle(tmp_path: Path) -> None:
    """The folder of a store that is there already may lie in one that its user may only pass through."""

    class Passing(Files):
        def sync_folder(self, path: str) -> None:
            if path == str(tmp_path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            super().sync_folder(path)

    (tmp_path / "models").mkdir()
    assert LocalStorage(tmp_path / "models", Passing()).create("log/1", b"x")


def test_a_copy_of_the_folder_is_an_equal_store(storage: LocalStorage, tmp_path: Path) -> None:
    for key in ("log/1", "packs/a", "manifests/3f/a"):
        put(storage, key, key.encode())
    shutil.copytree(tmp_path / "models", tmp_path / "copy")
    copy = LocalStorage(tmp_path / "copy")
    assert list(copy.keys("")) == list(storage.keys(""))
    assert all(copy.read(key) == storage.read(key) for key in storage.keys(""))


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_objects_heed_the_umask(mask: int, storage: LocalStorage, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        storage.create("a/b", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "models/a/b").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "models/a").stat().st_mode) == 0o777 & ~mask


CREATING = """
import sys
from saver.storages.local import LocalStorage
store = LocalStorage(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(50):
    print(int(store.create(f"log/{number:03}", sys.argv[2].encode())))
"""


@pytest.mark.slow
def test_of_all_processes_that_create_one_succeeds(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CREATING, str(tmp_path / "models")]
    processes = [
        subprocess.Popen([*arguments, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    won = [[int(line) for line in process.communicate()[0].split()] for process in processes]
    found = LocalStorage(tmp_path / "models")
    for number in range(50):
        (winner,) = (n for n in range(4) if won[n][number])
        assert found.read(f"log/{number:03}") == b"%d" % winner


def test_closing_that_fails_is_no_reason_to_call_a_save_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What must be on disk was synced before, and what was read is there; no descriptor stays open."""
    close = os.close

    def failing(file: int) -> None:
        close(file)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    storage, before = LocalStorage(tmp_path / "models"), open_files(tmp_path)
    monkeypatch.setattr(os, "close", failing)
    storage.put("packs/a", Bytes(b"abc"))
    assert storage.create("log/1", b"first")
    assert not storage.create("log/1", b"second")
    assert storage.read("log/1") == b"first"
    assert list(storage.keys("")) == ["log/1", "packs/a"]
    assert storage.stat("packs/a") is not None
    with pytest.raises(CannotWriteError, match="stop"), storage._new("packs/b", 3):
        raise CannotWriteError("stop")
    storage.delete("packs/a")
    monkeypatch.undo()
    assert open_files(tmp_path) == before
