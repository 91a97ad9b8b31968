"""Saver on Windows and macOS, as far as a process on Linux can look like one there (`simulated.py`)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from saver.disk import files
from saver.disk.files import FILES
from saver.repo.refs import BadNameError, check_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

HERE = Path(__file__).parent
WHAT = ("files", "stores", "a_broken_index", "runs", "signals", "the_command_line")


def used(system: str, what: str, folder: Path) -> str:
    """The last line that a process prints which uses Saver on a system that it takes for another one."""
    done = subprocess.run(
        [sys.executable, "-P", HERE / "main_path.py", system, what, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE)])},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("done"), done.stdout
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("system", ["windows", "macos"])
def test_the_main_path_takes_nothing_that_the_system_lacks(system: str, what: str, tmp_path: Path) -> None:
    used(system, what, tmp_path)


@pytest.mark.slow
def test_on_a_mac_files_and_folders_reach_the_disk_itself(tmp_path: Path) -> None:
    synced = used("macos", "files", tmp_path).split()[1:]
    assert str(tmp_path) in synced
    assert any(path != str(tmp_path) for path in synced)


def test_a_full_sync_that_the_file_system_lacks_is_an_ordinary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network share, which macOS cannot ask for that."""
    plain: list[int] = []
    monkeypatch.setattr(os, "fsync", plain.append)
    with open(tmp_path / "a", "wb") as file:
        for number in sorted(files.UNSUPPORTED):
            monkeypatch.setattr(files, "_FULL_SYNC", raising(number))
            FILES.sync(file.fileno())
        assert plain == [file.fileno()] * len(files.UNSUPPORTED)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_full_sync_that_failed_is_never_tried_another_way(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has dropped the pages: `fsync` would find nothing to do, and report that all is well."""
    monkeypatch.setattr(files, "_FULL_SYNC", raising(number))
    with open(tmp_path / "a", "wb") as file, pytest.raises(OSError, match=os.strerror(number)):
        FILES.sync(file.fileno())
    with pytest.raises(OSError, match=os.strerror(number)):
        FILES.sync_folder(str(tmp_path))


def raising(number: int) -> object:
    def sync(file: int) -> None:
        raise OSError(number, os.strerror(number))

    return sync


def test_a_name_with_separate_accents_says_how_it_is_written() -> None:
    check_model("caf\u00e9")
    with pytest.raises(BadNameError, match=r"separate accents.*normalize"):
        check_model("cafe\u0301")
