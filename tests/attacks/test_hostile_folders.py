"""A folder of a store in which a file of each kind is something else: nothing waits for it or follows it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from test_hostile_stores import in_folder, snapshot, use

import saver
from saver.disk.files import Files
from saver.repo.state import state

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform == "win32", reason="tests POSIX file systems"),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every version has a manifest of its own, there is no cache, and nobody waits for the disk."""
    monkeypatch.setattr("saver.repo.stage.FILE_BYTES", -1)
    monkeypatch.setattr("saver.repo.stage.WORTH_SHARING", 1)
    monkeypatch.setattr("saver.addresses._index", lambda storage, ident: None)
    monkeypatch.setattr(state, "INTERVAL", 4)
    for name in ("sync", "sync_folder"):
        monkeypatch.setattr(Files, name, lambda self, file: None)


def bound(path: Path, outside: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as found:
            found.bind("s")
        os.rename("s", path.name)
    finally:
        os.chdir(here)


KINDS: dict[str, Callable[[Path, Path], object]] = {
    "named pipe": lambda path, outside: os.mkfifo(path),
    "socket": bound,
    "link to an endless device": lambda path, outside: path.symlink_to("/dev/zero"),
    "link to itself": lambda path, outside: path.symlink_to(path),
    "link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
    "link to a secret": lambda path, outside: path.symlink_to(outside / "secret"),
    "link to a named pipe": lambda path, outside: path.symlink_to(outside / "pipe"),
    "hard link to a secret": lambda path, outside: os.link(outside / "secret", path),
    "folder": lambda path, outside: path.mkdir(),
}


def acts(folder: Path, beside: Path) -> Iterator[Callable[[], Any]]:
    """All that one can do with a store, the last of it with what was opened before."""
    lazy = saver.Saver(folder).load("m@3", lazy=True)
    reading = (
        lambda: {name: lazy[name] for name in lazy},
        lambda: saver.Saver(folder).backup(beside / "copy"),
        lambda: saver.Saver(folder).load("m@3", lazy=True)["a"],
        lambda: saver.Saver(folder).restore("m@3", {"a": None}, strict=False),
        lambda: saver.Saver(folder).verify("m@3"),
    )
    return chain(reading, use(folder, beside))


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_file_is_an_object(kind: str, tmp_path: Path) -> None:
    outside, first = tmp_path / "outside", tmp_path / "first"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret" * 1000)
    os.mkfifo(outside / "pipe")
    in_folder(first)
    one_of_each = {path.parent: path for path in sorted(first.rglob("*")) if path.is_file()}
    for number, path in enumerate(one_of_each.values()):
        folder, beside = tmp_path / f"s{number}", tmp_path / f"b{number}"
        shutil.copytree(first, folder)
        beside.mkdir()
        doing = acts(folder, beside)
        changed = folder / path.relative_to(first)
        changed.unlink()
        KINDS[kind](changed, outside)
        for act in doing:
            with suppress(saver.SaverError):
                act()
        assert snapshot(outside) == {str(outside / "secret"): b"secret" * 1000}
        assert sorted(os.listdir(outside)) == ["pipe", "secret"]
        if not kind.startswith("hard link"):  # which is as good a file as any: a backup copies its bytes
            copied = (each for each in beside.rglob("*") if each.is_file())
            assert not any(b"secretsecret" in each.read_bytes() for each in copied)
