"""File systems that lack something: hard links, files without names, writes past the page cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from beginning import Before
from living import Life, Lives
from mounting import demand, mounted

Promised = Callable[[Path, Before, Life], bool]


def overlay(folder: Path, stack: ExitStack) -> Path:
    paths = [folder / name for name in ("lower", "upper", "work")]
    for path in paths:
        path.mkdir()
    options = "lowerdir={},upperdir={},workdir={}".format(*paths)
    return stack.enter_context(mounted(folder / "on", ["mount", "-t", "overlay", "-o", options, "overlay"]))


def fuse_overlay(folder: Path, stack: ExitStack) -> Path:
    paths = [folder / name for name in ("lower", "upper", "work")]
    for path in paths:
        path.mkdir()
    options = "lowerdir={},upperdir={},workdir={}".format(*paths)
    return stack.enter_context(mounted(folder / "on", ["fuse-overlayfs", "-o", options]))


def bound(folder: Path, stack: ExitStack) -> Path:
    (folder / "below").mkdir()
    return stack.enter_context(mounted(folder / "on", ["bindfs", str(folder / "below")]))


def image(folder: Path, megabytes: int, *make: str) -> Path:
    """A file with a file system in it."""
    path = folder / "image"
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    demand(*make, str(path))
    return path


def loop(folder: Path, stack: ExitStack, kind: str, megabytes: int, *make: str) -> Path:
    path = image(folder, megabytes, *make)
    return stack.enter_context(mounted(folder / "on", ["mount", "-t", kind, "-o", "loop", str(path)]))


def fuse_exfat(folder: Path, stack: ExitStack) -> Path:
    """It demands a block device."""
    device = demand("losetup", "--find", "--show", str(image(folder, 40, "mkfs.exfat")))
    stack.callback(subprocess.run, ["losetup", "--detach", device], check=True)
    return stack.enter_context(mounted(folder / "on", ["mount.exfat-fuse", device]))


def in_memory(folder: Path, stack: ExitStack) -> Path:
    return stack.enter_context(mounted(folder / "on", ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs"]))


WHOLE: dict[str, Callable[[Path, ExitStack], Path]] = {
    "tmpfs": in_memory,
    "overlay": overlay,
    "fuse-overlayfs": fuse_overlay,
    "bindfs": bound,
    "ext4": lambda folder, stack: loop(folder, stack, "ext4", 60, "mkfs.ext4", "-q", "-F"),
    "xfs": lambda folder, stack: loop(folder, stack, "xfs", 330, "mkfs.xfs", "-q"),
    "btrfs": lambda folder, stack: loop(folder, stack, "btrfs", 120, "mkfs.btrfs", "-q"),
}

WITHOUT_LINKS: dict[str, Callable[[Path, ExitStack], Path]] = {
    "vfat": lambda folder, stack: loop(folder, stack, "vfat", 40, "mkfs.vfat"),
    "exfat": lambda folder, stack: loop(folder, stack, "exfat", 40, "mkfs.exfat"),
    "exfat by FUSE": fuse_exfat,
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.mark.parametrize("kind", WHOLE)
def test_stores_are_kept_where_there_are_hard_links(
    kind: str, tmp_path: Path, stack: ExitStack, few: Before, lives: Lives, promised: Promised
) -> None:
    folder = WHOLE[kind](tmp_path, stack) / "models"
    shutil.copytree(few.folder, folder)
    life = lives.live({"folder": str(folder), "life": "everything"})
    assert not life.failures()
    assert promised(folder, few, life)


@pytest.mark.parametrize("kind", WITHOUT_LINKS)
def test_elsewhere_they_are_read_and_nothing_is_changed(
    kind: str, tmp_path: Path, stack: ExitStack, few: Before, lives: Lives
) -> None:
    folder = WITHOUT_LINKS[kind](tmp_path, stack) / "models"
    copy(few.folder, folder)
    before = contents(folder)
    assert before == contents(few.folder)
    assert not lives.live({"folder": str(folder), "life": "looks"}).failures()
    failures = lives.live({"folder": str(folder), "life": "commits"}).failures()
    assert len(failures) == 3
    assert {failure["error"] for failure in failures} <= {"CannotWriteError", "NoHardLinks"}
    assert [failure["text"] for failure in failures if "no hard links" not in failure["text"]] == []
    assert contents(folder) == before


def copy(source: Path, target: Path) -> None:
    """By `cp`, for some file systems take no times or modes."""
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {os.path.relpath(path, folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
