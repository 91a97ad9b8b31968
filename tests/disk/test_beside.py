"""What a library writes by a path appears whole and durable, or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

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
@pytest.mark.parametrize("operation", ["open_existing", "sync", "replace", "sync_folder"])
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


OPERATIONS = (
    "make_folder", "create", "open_existing", "sync", "replace", "remove_folder", "list", "stat", "open",
    "lock", "remove", "set_mode",
)  # fmt: skip


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_fails_it_is_there_whole_or_as_it_was(operation: str, folder: bool, tmp_path: Path) -> None:
    """Nothing but hidden names is left, and only where they could not be removed or listed."""
    place = tmp_path / "a"
    if folder:
        place.mkdir()
    else:
        place.write_text("old")
    try:
        with Beside(str(place), folder, Failing(operation)) as beside:
            fill(beside, folder)
            beside.commit()
    except CannotWriteError:
        assert list(place.iterdir()) == [] if folder else content(place) == "old"
    else:
        assert content(place) == "new"
    if operation not in ("remove", "remove_folder", "list"):
        assert os.listdir(tmp_path) == ["a"]


def _killed(path: Path, folder: bool) -> None:
    """A process that is killed while something writes there."""
    process = subprocess.run([sys.executable, "-c", _WRITER, str(path), str(folder)], check=False)
    assert process.returncode == -signal.SIGKILL


_WRITER = """
import os, signal, sys
from saver.disk.beside import Beside
with Beside(sys.argv[1], sys.argv[2] == "True") as beside:
    place = beside.hidden
    if sys.argv[2] == "True":
        os.mkdir(os.path.join(place, "inner"))
        place = os.path.join(place, "inner", "file")
    open(place, "w").write("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="tests signals and locks of POSIX")
@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_process_left_is_removed_by_the_next_one(folder: bool, tmp_path: Path) -> None:
    _killed(tmp_path / "a", folder)
    assert [name.endswith(".export.part") for name in os.listdir(tmp_path)] == [True]
    with Beside(str(tmp_path / "b"), folder):
        assert len(os.listdir(tmp_path)) == 2  # it is not of this path
    with Beside(str(tmp_path / "a"), folder) as beside:
        fill(beside, folder)
        beside.commit()
    assert os.listdir(tmp_path) == ["a"]
    assert content(tmp_path / "a") == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="tests locks of POSIX")
def test_what_somebody_still_writes_is_left_alone(tmp_path: Path) -> None:
    with Beside(str(tmp_path / "a"), False) as first, Beside(str(tmp_path / "a"), False) as second:
        fill(first, False, "first")
        fill(second, False, "second")
        second.commit()
        first.commit()
    assert content(tmp_path / "a") == "first"
    assert os.listdir(tmp_path) == ["a"]


def test_other_hidden_names_and_links_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    (tmp_path / ".a.0123456789ab.export.part").symlink_to("precious")
    for name in (".a.0123456789ab.part", ".b.0123456789ab.export.part", ".a.x.export.part"):
        (tmp_path / name).mkdir()
    before = sorted(os.listdir(tmp_path))
    with Beside(str(tmp_path / "a"), False):
        pass
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "precious" / "file").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="tests locks of POSIX")
def test_somebody_who_cleans_up_at_once_costs_another_name(tmp_path: Path) -> None:
    class Cleaned(Files):
        """Others hold, or remove, the first folders that are made."""

        made = 0

        def make_folder(self, path: Any) -> None:
            super().make_folder(path)
            self.made += 1
            if self.made == 1:
                os.rmdir(path)

        def lock(self, file: int) -> bool:
            return super().lock(file) and self.made != 2

    files = Cleaned()
    with Beside(str(tmp_path / "a"), False, files) as beside:
        fill(beside, False)
        beside.commit()
    assert files.made == 3
    assert content(tmp_path / "a") == "new"
