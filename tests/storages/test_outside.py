"""Whoever gives away a store may have put anything into its folder: nothing outside of it is ever touched."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from descriptors import open_files
from saver.disk.files import Files
from saver.disk.files import Path as DiskPath
from saver.errors import CannotWriteError, DamagedError, NotFoundError, SaverError
from saver.storage import Bytes, Storage
from saver.storages.local import LocalStorage
from saver.testing import FaultyFiles

T = TypeVar("T")

H = "3f" + "0" * 62
KEYS = [
    "store.json",
    "log/00000000000000000001.json",
    "packs/0123456789abcdef0123456789abcdef.safetensors",
    f"manifests/3f/{H}.json",
    "state/99999999999999999983.json",
    f"state/pages/3f/{H}.json",
    "clock/0123456789abcdef0123456789abcdef",
]
"""One of each form, so that there is one of each depth."""

LEVELS = [(key, key[:at]) for key in KEYS for at, char in enumerate(key) if char == "/"]
"""A key, and a folder on the way to it."""

Act = Callable[[Storage, str], Any]


class Unsynced(Files):
    """The local file system, without waiting for the disk: there are thousands of cases."""

    def sync(self, file: int) -> None:
        pass

    def sync_folder(self, path: DiskPath) -> None:
        pass


def store_in(folder: Path) -> LocalStorage:
    return LocalStorage(folder, Unsynced())


READS: dict[str, Act] = {
    "open": lambda storage, key: storage.open(key).read(),
    "read": lambda storage, key: storage.read(key),
    "stat": lambda storage, key: storage.stat(key),
    "stats": lambda storage, key: [found for found in storage.stats(f"{key}0", key) if found is not None],
}
WRITES: dict[str, Act] = {
    "put": lambda storage, key: storage.put(key, Bytes(b"new")),
    "create": lambda storage, key: storage.create(key, b"new"),
}
OTHERS: dict[str, Act] = {
    "list": lambda storage, key: list(storage.keys(key.rpartition("/")[0] + "/" if "/" in key else "")),
    "delete": lambda storage, key: storage.delete(key),
}
ACTS = READS | WRITES | OTHERS


def content(folder: Path) -> dict[str, Any]:
    """All that one can see of a folder: names, bytes, kinds, times of change, numbers of names."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(info.st_mode) else None
        found[str(path.relative_to(folder))] = (data, info.st_mode, info.st_mtime_ns, info.st_nlink)
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder like that of a store, which nobody is to touch."""
    other = store_in(tmp_path / "outside")
    for key in KEYS:
        other.create(key, b"secret")
    return tmp_path / "outside"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    storage = store_in(tmp_path / "models")
    for key in KEYS:
        storage.create(key, b"own")
    return tmp_path / "models"


def take_away(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.fixture(autouse=True, scope="module")
def _nothing_left() -> None:
    """What other tests left in cycles is not closed in the middle of one that counts."""
    gc.collect()


# Folders

FOLDER_LINKS: dict[str, Callable[[Path, Path, str], object]] = {
    "absolute": lambda path, outside, name: path.symlink_to(outside / name),
    "relative": lambda path, outside, name: path.symlink_to(os.path.relpath(outside / name, path.parent)),
    "to another link": lambda path, outside, name: path.symlink_to(_link_to(outside / name)),
    "to nothing": lambda path, outside, name: path.symlink_to(outside / "nothing"),
    "to itself": lambda path, outside, name: path.symlink_to(path),
    "within the store": lambda path, outside, name: path.symlink_to(_moved(outside / name, path)),
}


def _link_to(path: Path) -> Path:
    link = next(above for above in path.parents if above.name == "outside").with_name(f"by-{path.name}")
    link.symlink_to(path)
    return link


def _moved(path: Path, link: Path) -> Path:
    target = link.with_name(f"{link.name}-moved")
    shutil.copytree(path, target)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOLDER_LINKS)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(("key", "level"), LEVELS)
def test_no_link_in_place_of_a_folder_is_followed(
    key: str, level: str, act: str, kind: str, folder: Path, outside: Path, tmp_path: Path
) -> None:
    take_away(folder / level)
    FOLDER_LINKS[kind](folder / level, outside, level)
    before, inside, held = content(outside), content(folder), open_files(tmp_path)
    error = DamagedError if act in {*READS, "list"} else CannotWriteError
    with pytest.raises(error, match=rf"{level} is a symbolic link.*remove it"):
        ACTS[act](store_in(folder), key)
    assert content(outside) == before
    assert content(folder) == inside
    assert open_files(tmp_path) == held


@pytest.mark.parametrize(("key", "level"), LEVELS)
def test_a_listing_from_above_does_not_enter_a_link(
    key: str, level: str, folder: Path, outside: Path
) -> None:
    take_away(folder / level)
    (folder / level).symlink_to(outside / level)
    found = list(store_in(folder).keys(""))
    assert level in found
    assert not [each for each in found if each.startswith(f"{level}/")]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(("key", "level"), LEVELS)
def test_a_file_in_place_of_a_folder_holds_nothing(
    key: str, level: str, act: str, folder: Path, tmp_path: Path
) -> None:
    take_away(folder / level)
    (folder / level).write_bytes(b"a file")
    storage, held = store_in(folder), open_files(tmp_path)
    if act in WRITES:
        with pytest.raises(CannotWriteError, match="Not a directory"):
            ACTS[act](storage, key)
    elif act in ("open", "read"):
        with pytest.raises(NotFoundError):
            ACTS[act](storage, key)
    else:
        assert not ACTS[act](storage, key)
    assert (folder / level).read_bytes() == b"a file"
    assert open_files(tmp_path) == held


# Objects


def _socket(path: Path, outside: Path, key: str) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as found:
            found.bind("s")
        os.rename("s", path.name)
    finally:
        os.chdir(here)


def _device(path: Path, outside: Path, key: str) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 7))  # /dev/full
    except (PermissionError, AttributeError, OSError):
        path.symlink_to("/dev/full")  # who is not root gets a link to it instead


OTHER_KINDS: dict[str, Callable[[Path, Path, str], object]] = {
    "link": lambda path, outside, key: path.symlink_to(outside / key),
    "link to nothing": lambda path, outside, key: path.symlink_to(outside / "nothing"),
    "link to itself": lambda path, outside, key: path.symlink_to(path),
    "link to a folder": lambda path, outside, key: path.symlink_to(outside),
    "pipe": lambda path, outside, key: os.mkfifo(path),
    "socket": _socket,
    "device": _device,
    "folder": lambda path, outside, key: shutil.copytree(outside / "clock", path),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("act", READS | WRITES)
@pytest.mark.parametrize("key", KEYS)
def test_what_is_not_a_file_is_not_an_object(
    key: str, act: str, kind: str, folder: Path, outside: Path, tmp_path: Path
) -> None:
    (folder / key).unlink()
    OTHER_KINDS[kind](folder / key, outside, key)
    before, inside, held = content(outside), content(folder), open_files(tmp_path)
    with pytest.raises(
        DamagedError if act in READS else CannotWriteError, match=r"not an object of a store.*restore"
    ):
        ACTS[act](store_in(folder), key)
    assert content(outside) == before
    assert content(folder) == inside
    assert open_files(tmp_path) == held


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("key", KEYS)
def test_what_is_not_a_file_is_listed_and_itself_deleted(
    key: str, kind: str, folder: Path, outside: Path
) -> None:
    """Never what it leads to; and a folder stays, with all that is in it."""
    (folder / key).unlink()
    OTHER_KINDS[kind](folder / key, outside, key)
    before, storage = content(outside), store_in(folder)
    if kind == "folder":
        assert any(each.startswith(f"{key}/") for each in storage.keys(""))
        with pytest.raises(CannotWriteError, match="not deleted"):
            storage.delete(key)
        assert (folder / key).is_dir()
    else:
        assert key in storage.keys("")
        storage.delete(key)
        assert not os.path.lexists(folder / key)
    assert content(outside) == before


@pytest.mark.parametrize("key", KEYS)
def test_a_hard_link_is_read_and_its_other_name_stays(key: str, folder: Path, outside: Path) -> None:
    (folder / key).unlink()
    os.link(outside / key, folder / key)
    storage = store_in(folder)
    assert storage.read(key) == b"secret"
    assert storage.create(key, b"new") is False
    storage.delete(key)
    assert (outside / key).read_bytes() == b"secret"
    assert storage.create(key, b"new") is True
    assert (outside / key).read_bytes() == b"secret"


def test_the_store_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    for way in (tmp_path / "link", tmp_path / "way" / "models"):
        storage = store_in(way)
        assert [storage.read(key) for key in KEYS] == [b"own"] * len(KEYS)
        assert storage.create(f"log/{way.name}", b"new") is True
        assert sorted(storage.keys("")) == sorted(store_in(folder).keys(""))


@pytest.mark.slow
def test_folders_within_folders_have_an_end(folder: Path) -> None:
    """Far beyond what one path can name."""
    here, depth = os.getcwd(), 3000
    os.chdir(folder / "packs")
    try:
        for _ in range(depth):
            os.mkdir("a")
            os.chdir("a")
        Path("b").write_bytes(b"x")
        os.chdir(here)
        assert list(store_in(folder).keys("packs/")) == [KEYS[2]]
        os.chdir(folder / "packs" / "a")
        for _ in range(1, depth):
            os.chdir("a")
        os.unlink("b")
        for _ in range(depth):  # what removes folders in Python does not get as deep
            os.chdir("..")
            os.rmdir("a")
    finally:
        os.chdir(here)


# Meanwhile


class Swapping(FaultyFiles):
    """Somebody puts a link in place of a folder or an object, just before something is asked of the disk."""

    def __init__(self, at: int, swap: Callable[[], None]) -> None:
        super().__init__(Unsynced())
        self._at_call, self._swap, self.swapped = at, swap, False

    def _run(self, what: str, action: Callable[[], T], forget: Any = None) -> T:
        if len(self.calls) + 1 == self._at_call:
            self.swapped = True
            self._swap()
        return super()._run(what, action, forget)


def moments(act: Act, key: str, level: str, tmp_path: Path, outside: Path, fresh: bool) -> Iterator[int]:
    """Act again and again, and swap later each time."""
    at, swapped = 0, True
    while swapped:
        at += 1
        folder = tmp_path / str(at)
        own = store_in(folder)
        for each in KEYS:
            own.create(each, b"own")
        if fresh:
            own.delete(key)

        def swap(path: Path = folder / level) -> None:
            if os.path.lexists(path):
                path.rename(path.with_name("before"))
            path.symlink_to(outside / level)

        files = Swapping(at, swap)
        try:
            found = act(LocalStorage(folder, files), key)
        except SaverError:
            found = None
        assert found != b"secret"
        swapped = files.swapped
        yield at


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("key", "level"), [*LEVELS[:3], LEVELS[-2], *((key, key) for key in KEYS[:4])], ids=str
)
def test_a_link_that_comes_at_any_moment_is_not_followed(
    key: str,
    level: str,
    act: str,
    named: bool,
    tmp_path: Path,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if named:
        monkeypatch.setattr("saver.disk.files._O_TMPFILE", 0)
    before, held = content(outside), open_files(tmp_path)
    for _ in moments(ACTS[act], key, level, tmp_path, outside, act in WRITES):
        assert content(outside) == before
        assert open_files(tmp_path) == held
