"""Disks that get full, or may only be read from some moment on; rights that are lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from beginning import Before, made
from living import Life, Line, Lives
from mounting import remount, small_disk

Promised = Callable[[Path, Before, Life], bool]

SMALL = {"bytes": ("size=900k",), "inodes": ("size=20m", "nr_inodes=160")}
LARGE = {"bytes": "size=20m", "inodes": "nr_inodes=2000"}


@pytest.fixture(params=["bytes", "inodes"])
def lacking(request: pytest.FixtureRequest) -> str:
    """What there is too little of."""
    return str(request.param)


@pytest.fixture
def disk(lacking: str, tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", *SMALL[lacking]) as found:
        yield found


def until_full(lives: Lives, disk: Path) -> tuple[Path, Before, Life]:
    """A store that was saved into until that failed."""
    before = made(disk / "models", {"m@1": 1, "m@2": 2})
    life = lives.live({"folder": str(before.folder), "life": "saves", "until": "failure"})
    return before.folder, before, life


def test_a_disk_that_gets_full_loses_nothing_and_says_what_to_do(
    disk: Path, lacking: str, lives: Lives, promised: Promised
) -> None:
    folder, before, life = until_full(lives, disk)
    (failure,) = life.failures()
    assert failure["error"] == "CannotWriteError"
    assert "No space left on device" in failure["text"]
    assert "free some" in failure["text"]
    assert len(life.done("save")) > 3
    assert not [path for path in folder.rglob(".*") if path.is_file()], "nothing half-written is left"
    assert remount(disk, LARGE[lacking])
    assert promised(folder, before, life)


def test_a_store_on_a_full_disk_is_loaded_and_checked(disk: Path, lives: Lives) -> None:
    _, before, life = until_full(lives, disk)
    looking = lives.live({"folder": str(before.folder), "life": "looks"})
    assert not looking.failures()
    assert looking.done("check")[0]["damage"] == []
    assert looking.done("load")[0]["ref"] == life.done("save")[-1]["ref"]


class Midway:
    """Does something to a living store, once so many acts are done."""

    def __init__(self, count: int, act: Callable[[], bool]) -> None:
        self._left = count
        self._act = act

    def __call__(self, line: Line) -> None:
        self._left -= line["what"] == "done"
        if self._left == 0 and line["what"] == "done":
            end = time.monotonic() + 60
            while not self._act():
                assert time.monotonic() < end, "the system does not do it"


@pytest.mark.parametrize("count", [1, 4, 20, 33])
def test_a_disk_that_may_only_be_read_from_some_moment_on(
    count: int, tmp_path: Path, lives: Lives, promised: Promised
) -> None:
    with small_disk(tmp_path / "disk", "size=20m") as disk:
        before = made(disk / "models", {"m@1": 1})
        task = {"folder": str(before.folder), "life": "for ever", "until": "failure"}
        life = lives.live(task, Midway(count, lambda: remount(disk, "ro")))
        (failure,) = life.failures()
        assert failure["error"] == "CannotWriteError"
        assert "Read-only file system" in failure["text"]
        looking = lives.live({"folder": str(before.folder), "life": "looks"})
        assert not looking.failures()
        assert remount(disk, "rw")
        assert promised(before.folder, before, life)


NOBODY = 65534


@pytest.mark.parametrize("count", [1, 4, 20, 33])
def test_the_right_to_write_that_is_lost_in_mid_run(
    count: int, place: Path, lives: Lives, promised: Promised
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user, whose right is taken")
    before = made(place / f"rights-{count}", {"m@1": 1})
    for path in [before.folder, *before.folder.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)

    def take() -> bool:
        for path in [before.folder, *before.folder.rglob("*")]:
            if path.is_dir():
                path.chmod(0o555)
        return True

    task = {"folder": str(before.folder), "life": "for ever", "until": "failure", "uid": NOBODY}
    life = lives.live(task, Midway(count, take))
    (failure,) = life.failures()
    assert (failure["error"], "Permission denied" in failure["text"]) == ("CannotWriteError", True)
    assert "you may" in failure["text"]
    for path in [before.folder, *before.folder.rglob("*")]:
        path.chmod(0o755)
    assert promised(before.folder, before, life)


def test_a_full_disk_frees_what_is_deleted(
    disk: Path, lacking: str, lives: Lives, promised: Promised
) -> None:
    """With no room left at all, versions are deleted and collected, and then there is some: of bytes."""
    folder, before, life = until_full(lives, disk)
    fill(disk)
    freeing = lives.live({"folder": str(folder), "life": "frees"})
    failed = [failure["act"] for failure in freeing.failures()]
    # Of files, a small version frees no more than the record of its deletion takes.
    assert failed in ([], ["save"]) if lacking == "inodes" else not failed
    assert freeing.done("gc")[0]["freed"] > 0
    assert remount(disk, LARGE[lacking])
    both = Life([*life.heard, *freeing.heard], 0)
    assert promised(folder, before, both)


def fill(disk: Path) -> None:
    """Take what room is left, down to the last page or file."""
    for number in range(10_000):
        try:
            (disk / f"filler-{number}").write_bytes(bytes(4096))
        except OSError:
            return
