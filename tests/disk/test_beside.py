"""What a library writes by a path appears whole and durable, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from saver.disk.beside import Beside
from saver.disk.files import Files
from saver.errors import CannotWriteError, CommitUnknownError


class Failing(Files):
    """Files of which one operation fails, on a full disk."""

    def __init__(self, operation: str) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        setattr(self, operation, fail)


def fill(beside: Beside, folder: bool, text: str = "new") -> None:
    place = Path(beside.hidden)
    if folder:
        (place / "inner").mkdir()
        place = place / "inner" / "file"
    place.write_text(text)


def content(path: Path) -> str:
    return (path / "inner" / "file" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("folder", [False, True])
def test_it_appears_when_it_is_whole(folder: bool, tmp_path: Path) -> None:
    with Beside(str(tmp_path / "a"), folder) as beside:
        fill(beside, folder)
        assert not (tmp_path / "a").exists()
        beside.commit()
    assert content(tmp_path / "a") == "new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("folder", [False, True])
def test_without_a_commit_nothing_is_left(folder: bool, tmp_path: Path) -> None:
    with Beside(str(tmp_path / "a"), folder) as beside:
        fill(beside, folder)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("operation", ["sync", "replace", "sync_folder"])
def test_a_full_disk_leaves_what_was_there(operation: str, folder: bool, tmp_path: Path) -> None:
    """Once the new one has its name, it is unknown whether a power loss would undo that."""
    if not folder:
        (tmp_path / "a").write_text("old")
    placed = operation == "sync_folder" and not folder
    with Beside(str(tmp_path / "a"), folder, Failing(operation)) as beside:
        fill(beside, folder)
        with pytest.raises(CommitUnknownError if placed else CannotWriteError, match="No space left"):
            beside.commit()
    assert os.listdir(tmp_path) == ([] if folder else ["a"])
    if not folder:
        assert content(tmp_path / "a") == ("new" if placed else "old")


def test_only_what_may_be_replaced_is(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name, folder in (("full", True), ("full", False), ("file", True)):
        with pytest.raises(CannotWriteError, match="nothing was changed there"):
            Beside(str(tmp_path / name), folder).__enter__()
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]
    (tmp_path / "link").symlink_to("file")
    with Beside(str(tmp_path / "link"), False) as beside:
        fill(beside, False)
        beside.commit()
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "file") == "new"
