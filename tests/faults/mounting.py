"""File systems that are mounted for a test, or the reason why they cannot be."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def demand(*command: str) -> str:
    """What a command says that only some users on some systems may run; skip with that if it fails."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} on this system")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[:200]
        pytest.skip(f"{' '.join(command[:3])} was refused: {said}")
    return done.stdout.strip()


@contextmanager
def mounted(folder: Path, command: Sequence[str]) -> Iterator[Path]:
    """The folder, on which the command has mounted something."""
    folder.mkdir(parents=True, exist_ok=True)
    demand(*command, str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[Path]:
    """A file system in memory, with options such as `size=1m`."""
    with mounted(folder, ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs"]) as found:
        yield found


def remount(folder: Path, *options: str) -> bool:
    """Change what is mounted; False while the system says that it is busy."""
    command = ["mount", "-o", ",".join(("remount", *options)), str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
