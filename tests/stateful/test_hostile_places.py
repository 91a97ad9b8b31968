"""Stores that are foreign, newer or broken: an error that says what to do, and nothing lost."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.repo import document
from saver.repo.format import Format
from saver.repo.log import ZERO, Record, log_key
from saver.storages.local import LocalStorage
from saver.testing import FaultyFiles


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    store = saver.Saver(tmp_path / "models")
    store.save("m", {"a": np.arange(1000.0), "b": 1})
    store.save("m", {"a": np.arange(1000.0), "b": 2})
    return tmp_path / "models"


CLOSED = dict.fromkeys(("SAVER_CACHE", "SAVER_CONFIG", "SAVER_HEADS"), "/proc/nothing")
"""The folders of pytest are closed to others."""


def whole(folder: Path) -> bool:
    store = saver.Saver(folder)
    found = [store.load(str(version)) for version in store.versions("m")]
    return all((one["a"] == np.arange(1000.0)).all() for one in found) and len(found) >= 2


def pack_of(folder: Path) -> Path:
    """The file of the first version."""
    return folder / "packs" / f"{saver.Saver(folder).version('m@1').file}.safetensors"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WRITES = {
    "save": lambda store: store.save("m", {"a": np.arange(2000.0)}),
    "tag": lambda store: store.tag("m@1", "best"),
    "delete": lambda store: store.delete("m@1", tags=True),
}

AS_SOMEBODY_ELSE = """
import os, sys
import numpy as np
import saver
warm = saver.Saver("memory://warm")  # imports all that it takes: the interpreter may lie in root's own folder
warm.save("m", {"a": np.arange(2000.0)}, tags=["t"])
warm.load("m@1"), warm.versions("m"), warm.tag("m@1", "u"), warm.delete("m@1", tags=True)
import difflib, unicodedata
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
store = saver.Saver(sys.argv[1])
try:
    eval(sys.argv[2])
except saver.SaverError as error:
    print(type(error).__name__, error)
else:
    print("done")
"""


def as_somebody_else(folder: Path, act: str) -> str:
    """What happens when a user without rights does something."""
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY_ELSE, str(folder), act],
        capture_output=True, text=True, check=False, env=os.environ | CLOSED,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_folder(folder: Path) -> Iterator[Path]:
    """The store, in folders that everybody may enter; a copy outside of pytest's private one."""
    place = Path(f"/tmp/saver-foreign-{os.getpid()}")
    shutil.copytree(folder, place)
    for path in [place, *place.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield place
    for path in [place, *place.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(place)


pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="a system without POSIX users")


@pytest.mark.parametrize(
    "act",
    [
        "store.save('m', {'a': np.arange(2000.0)})",
        "store.tag('m@1', 'best')",
        "store.delete('m@1', tags=True)",
    ],
)
def test_a_folder_of_another_user_is_read_and_not_written(open_folder: Path, act: str) -> None:
    if os.getuid() != 0:
        for path in [open_folder, *open_folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
    before = files(open_folder)
    assert as_somebody_else(open_folder, "store.load('m@1')") == "done\n"
    told = as_somebody_else(open_folder, act)
    assert told.startswith("CannotWriteError")
    assert str(open_folder) in told
    assert "you may" in told or "choose another folder" in told
    assert files(open_folder) == before


def test_files_that_may_not_be_read_are_distinguished_from_damage(open_folder: Path) -> None:
    pack = pack_of(open_folder)
    pack.chmod(0)
    told = as_somebody_else(open_folder, "store.load('m@1')")
    assert told.startswith("CannotReadError"), told
    assert pack.name in told
    assert whole_after(open_folder, pack)


def whole_after(folder: Path, pack: Path) -> bool:
    pack.chmod(0o644)
    return whole(folder)


@pytest.mark.parametrize("purpose", ["read", "write", "collect"])
def test_a_store_of_a_newer_saver_is_refused_by_name_and_left_alone(folder: Path, purpose: str) -> None:
    old = (folder / "store.json").read_bytes()
    ident = document.decode(old, Format, "store.json")[0].id
    newer = document.encode(Format(1, ident, **{purpose: ("ropes",)}))
    (folder / "store.json").chmod(stat.S_IRUSR | stat.S_IWUSR)
    (folder / "store.json").write_bytes(newer)
    before = files(folder)
    store = saver.Saver(folder)
    acts: dict[str, list[Any]] = {
        "read": [lambda s: s.load("m"), *WRITES.values(), lambda s: s.gc(grace=0)],
        "write": [*WRITES.values()],
        "collect": [lambda s: s.gc(grace=0)],
    }
    for act in acts[purpose]:
        with pytest.raises(saver.IncompatibleError, match=r"ropes.*install a newer"):
            act(store)
    assert files(folder) == before
    if purpose != "read":
        assert whole(folder)
    (folder / "store.json").write_bytes(old)
    assert saver.Saver(folder).save("m", 3).number == 3


class Fused(Record, frozen=True):
    """A record of a kind that this Saver does not know."""


def test_a_record_of_a_newer_saver_is_refused_and_left_alone(folder: Path) -> None:
    previous = document.decode((folder / log_key(2)).read_bytes(), Record, "2")[1]
    assert previous != ZERO
    record = Fused(1, 3, previous, "a" * 32, 1.0, {"kind": "fuse", "models": ["m", "n"]})  # type: ignore[arg-type]
    (folder / log_key(3)).write_bytes(document.encode(record))
    before = files(folder)
    for act in (*WRITES.values(), lambda s: s.load("m"), lambda s: s.gc(grace=0)):
        with pytest.raises(
            saver.IncompatibleError, match=r"fuse.*nothing was changed; install a newer Saver"
        ):
            act(saver.Saver(folder))
    assert files(folder) == before


def test_a_record_that_went_missing_is_reported_by_all_who_would_build_on_it(folder: Path) -> None:
    store = saver.Saver(folder)
    for number in range(3, 8):
        store.save("m", {"a": np.arange(1000.0), "b": number})
    lost = (folder / log_key(4)).read_bytes()
    (folder / log_key(4)).unlink()
    before = files(folder)
    for act in (*WRITES.values(), lambda s: s.gc(grace=0), lambda s: s.check()):
        with pytest.raises(saver.DamagedError, match=rf"{log_key(4)} is missing.*restore"):
            act(saver.Saver(folder))
    assert files(folder) == before
    (folder / log_key(4)).write_bytes(lost)
    assert saver.Saver(folder).save("m", 3).number == 8


def test_two_copies_that_went_different_ways_and_were_mixed_are_reported(
    folder: Path, tmp_path: Path
) -> None:
    """As `rsync` without `--delete` does it."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    saver.Saver(folder).save("m", "here")
    for number in range(3):
        saver.Saver(copy).save("m", f"there {number}")
    for path in copy.rglob("*"):
        target = folder / path.relative_to(copy)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    with pytest.raises(saver.DamagedError, match=r"two copies of the store were mixed.*restore"):
        saver.Saver(folder).load("m")
    assert saver.Saver(copy).load("m") == "there 2"


def test_a_file_where_the_store_should_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no store")
    for act in (lambda s: s.load("m"), lambda s: s.save("m", 1)):
        with pytest.raises(saver.SaverError, match="models"):
            act(saver.Saver(tmp_path / "models"))
    assert (tmp_path / "models").read_text() == "no store"


def test_a_store_without_its_description_is_not_an_empty_store(folder: Path) -> None:
    description = (folder / "store.json").read_bytes()
    (folder / "store.json").unlink()
    before = files(folder)
    reads = (lambda s: s.load("m"), lambda s: s.models(), lambda s: s.versions("m"), lambda s: s.check())
    for act in (*reads, *WRITES.values(), lambda s: s.gc(grace=0)):
        with pytest.raises(
            saver.DamagedError, match=r"store.json is missing.*nothing was changed; restore it"
        ):
            act(saver.Saver(folder))
    assert files(folder) == before
    (folder / "store.json").write_bytes(description)
    assert saver.Saver(folder).save("m", 3).number == 3


def test_a_collector_leaves_a_store_alone_that_it_may_not_write_to(folder: Path) -> None:
    """Not even for a moment is there an object more."""
    ident = document.decode((folder / "store.json").read_bytes(), Format, "store.json")[0].id
    (folder / "store.json").write_bytes(document.encode(Format(1, ident, write=("ropes",))))
    disk = FaultyFiles()
    with pytest.raises(saver.IncompatibleError, match="ropes"):
        saver.Saver(LocalStorage(folder, disk)).gc(grace=0)
    assert not disk.operations
    assert saver.Saver(folder).gc(grace=0, dry_run=True).condemned == ()


def test_damage_is_reported_where_it_cannot_be_recorded(folder: Path) -> None:
    ident = document.decode((folder / "store.json").read_bytes(), Format, "store.json")[0].id
    (folder / "store.json").write_bytes(document.encode(Format(1, ident, write=("ropes",))))
    pack = pack_of(folder)
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    before = files(folder)
    found = saver.Saver(folder).check()
    assert {(damage.model, damage.number, damage.part) for damage in found.damage} == {
        ("m", 1, "a"),
    }
    assert not found.recorded
    assert files(folder) == before


def test_files_that_others_left_in_the_folders_do_no_harm(folder: Path) -> None:
    """File managers and backups do that."""
    kept = ["desktop.ini", "log/desktop.ini", f"{log_key(2)}.bak", "log/.DS_Store", "packs/Thumbs.db"]
    for name in kept:
        (folder / name).write_text("not of this store")
    store = saver.Saver(folder)
    store.delete("m@1", tags=True)
    store.gc(grace=0)
    assert store.save("m", {"a": np.arange(1000.0), "b": 3}).number == 3
    assert store.check().sound
    assert whole(folder)
    assert all((folder / name).read_text() == "not of this store" for name in kept)


def test_a_copy_is_equal_and_goes_its_own_way(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder, copy)
    one, other = saver.Saver(folder), saver.Saver(copy)
    assert one.versions("m") == other.versions("m")
    assert one.check() == other.check()
    before = files(folder)
    other.save("n", np.arange(7000.0))
    other.save("m", {"a": np.arange(1000.0), "b": 3})
    other.delete("m@1", tags=True)
    other.gc(grace=0)
    assert files(folder) == before
    added = one.save("n", np.arange(7000.0)).bytes_added
    assert added > 7000 * 8, "what only the copy has is not here, though both have one index"
    assert (one.load("n") == np.arange(7000.0)).all()
    assert whole(folder)
    assert whole(copy)
    assert one.check().sound
    assert other.check().sound


def test_a_store_may_be_moved_while_it_is_in_use(folder: Path, tmp_path: Path) -> None:
    """Everything in it is named relative to the folder, which may be a link."""
    (tmp_path / "disk").mkdir()
    folder.rename(tmp_path / "disk" / "moved")
    folder.symlink_to(Path("disk") / "moved")
    assert saver.Saver(folder).save("m", {"a": np.arange(1000.0), "b": 3}).number == 3
    folder.unlink()
    assert whole(tmp_path / "disk" / "moved")
