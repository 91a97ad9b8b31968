"""Only files are replaced: writing to a device, a named pipe or a socket leaves it as it is."""

from __future__ import annotations

import io
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import saver
from saver.cli import program
from saver.errors import CannotWriteError
from saver.storages.memory import MemoryStorage
from saver.training_log import TrainingLog

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="tests POSIX file systems")

KINDS = ["named pipe", "socket", "device", "link to a named pipe", "link to a socket", "folder"]


def make(kind: str, path: Path) -> None:
    target = Path("target") if kind.startswith("link") else path
    if kind.endswith("named pipe"):
        os.mkfifo(target)
    elif kind.endswith("socket"):
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(target))
    elif kind == "device":
        try:
            os.mknod(target, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("needs the right to make a device")
    else:
        target.mkdir()
    if target != path:
        path.symlink_to(target)


@pytest.fixture(params=KINDS)
def special(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The name of something that is not a file; afterwards it is still the same."""
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = Path("special.png")
    make(request.param, path)
    before = os.stat(path), os.lstat(path)
    yield str(path)
    for old, new in zip(before, (os.stat(path), os.lstat(path)), strict=True):
        assert (old.st_ino, old.st_mode, old.st_rdev, old.st_nlink) == (
            new.st_ino, new.st_mode, new.st_rdev, new.st_nlink
        )  # fmt: skip
    assert {entry.name for entry in tmp_path.iterdir()} <= {"special.png", "target", "models"}


def store() -> saver.Saver:
    found = saver.Saver(MemoryStorage())
    found.save("iris", {"a": np.arange(3)})
    return found


def log() -> TrainingLog:
    found = TrainingLog()
    found.append(1, loss=0.5)
    return found


DOORS: dict[str, Callable[[str], Any]] = {
    "dump": lambda path: saver.dump(1, path),
    "export": lambda path: store().export("iris", path),
    "to_csv": lambda path: log().to_csv(path),
    "to_jsonl": lambda path: log().to_jsonl(path),
    "plot": lambda path: log().plot(path),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_is_not_a_file_is_never_replaced(door: str, special: str) -> None:
    with pytest.raises(CannotWriteError, match=r"special.png: it is a .*; nothing was changed there; name"):
        DOORS[door](special)


def test_a_copy_or_a_store_needs_a_folder(special: str) -> None:
    if os.path.isdir(special):
        return
    with pytest.raises(saver.SaverError, match="special"):
        store().backup(special)
    with pytest.raises(saver.SaverError, match="special"):
        saver.Saver(special).save("iris", 1)


@pytest.mark.parametrize("command", [["export", "iris", "--force"], ["plot", "iris", "-o"]])
def test_no_command_replaces_it(command: list[str], special: str) -> None:
    saver.Saver("models").save("iris", {"log": log()})
    found = CliRunner().invoke(program, [*command, special, "--store", "models"])
    assert found.exit_code != 0
    assert "it is a" in found.output


READS: dict[str, Callable[[str], Any]] = {
    "load": saver.load,
    "load lazily": lambda path: saver.load(path, lazy=True),
    "describe": saver.describe,
    "verify": saver.verify,
    "diff": lambda path: saver.diff(path, path),
    "restore": lambda path: saver.restore(path, {}),
    "import": lambda path: saver.Saver(MemoryStorage()).import_(path, "m"),
}


@pytest.mark.parametrize("door", READS)
def test_what_is_not_a_file_is_never_read(door: str, special: str) -> None:
    """And nobody waits for what another program might write to it."""
    with pytest.raises(saver.IncompatibleError, match=r"special.png is a .*, not a Saver file; name"):
        READS[door](special)


STORES: dict[str, Callable[[str], Any]] = {
    "models": lambda path: saver.Saver(path).models(),
    "load": lambda path: saver.Saver(path).load("m"),
    "save": lambda path: saver.Saver(path).save("m", 1),
    "check": lambda path: saver.Saver(path).check(),
    "backup of it": lambda path: saver.Saver(path).backup("copy"),
    "backup to it": lambda path: store().backup(path),
    "a store below": lambda path: saver.Saver(os.path.join(path, "x")).save("m", 1),
    "backup below": lambda path: store().backup(os.path.join(path, "x")),
}


@pytest.mark.parametrize("door", STORES)
def test_what_is_not_a_folder_is_not_a_store(door: str, special: str) -> None:
    if not os.path.isdir(special):
        with pytest.raises(saver.NotFoundError, match=r"no store here, because .* is a .*; name a folder"):
            STORES[door](special)


@pytest.mark.parametrize("target", ["nothing", "link"])
def test_a_link_that_leads_nowhere_is_neither_a_file_nor_a_store(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(target)
    for read in READS.values():
        with pytest.raises(saver.NotFoundError, match="link: there is no such file"):
            read("link")
    for use in STORES.values():
        with pytest.raises(saver.NotFoundError, match="is a symbolic link that leads nowhere"):
            use("link")
    assert os.listdir() == ["link"]


def test_a_file_object_is_the_way_to_a_pipe() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb") as target:
        saver.dump(1, target)
        target.close()
        assert saver.load(io.BytesIO(source.read())) == 1
