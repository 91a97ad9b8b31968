"""Stores to try faults on, and processes that act on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from beginning import Before, made, made_of_hundreds
from living import Life, Lives


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory, where there is one: a fault is the same there, and files are made faster."""
    memory = Path("/dev/shm")
    room = os.statvfs(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None
    if room is None or room.f_bavail * room.f_frsize < 300 << 20:
        yield tmp_path_factory.mktemp("faults")
        return
    folder = memory / f"saver-faults-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def lives(place: Path) -> Iterator[Lives]:
    found = Lives(place / "cache")
    yield found
    found.end()


@pytest.fixture(scope="session")
def few(place: Path) -> Before:
    """A store with two versions."""
    return made(place / "few", {"m@1": 1, "m@2": 2})


@pytest.fixture(scope="session")
def hundreds(place: Path) -> Before:
    """A store with hundreds of records, and several levels of pages."""
    return made_of_hundreds(place / "hundreds")


@pytest.fixture(autouse=True)
def own_cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(place / "cache"))


@pytest.fixture
def promised(lives: Lives) -> Callable[[Path, Before, Life], bool]:
    """Whether a store is as it was promised after a life; what is not is the error."""

    def promised(folder: Path, before: Before, life: Life) -> bool:
        wrong = lives.judged(folder, before.seeds, life)
        assert not wrong, "\n".join(wrong)
        return True

    return promised
