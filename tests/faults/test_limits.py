"""Limits of a process: open files, sizes of files, memory, threads.

What cannot be done is an error of Saver's, or as the interpreter's MemoryError; nothing is lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from beginning import Before
from living import Life, Lives

Promised = Callable[[Path, Before, Life], bool]

NOBODY = 65534


class Limited:
    """Lives with a limit, each on a copy of a store."""

    def __init__(self, lives: Lives, before: Before, folder: Path, promised: Promised) -> None:
        self._lives = lives
        self._before = before
        self._folder = folder
        self._promised = promised

    def live(self, life: str = "everything", **task: Any) -> Life:
        folder = self._before.copy(self._folder)
        found = self._lives.live({"folder": str(folder), "life": life, **task})
        assert self._promised(folder, self._before, found)
        return found


@pytest.fixture
def limited(lives: Lives, few: Before, place: Path, promised: Promised) -> Limited:
    return Limited(lives, few, place / "limited", promised)


def test_files_may_be_open_by_any_number(limited: Limited) -> None:
    """From fewer than any act takes to as many as all do."""
    failures = [limited.live(limits={"RLIMIT_NOFILE": count}).failures() for count in range(3, 24)]
    assert [told for told in failures[0] if "ulimit -n" in told["text"]]
    assert not failures[-1], "with some twenty, nothing fails"
    counts = [len(found) for found in failures]
    assert counts[0] > counts[-1]


SIZES = [0, 1, 100, 1000, 4096, 10_000, 20_000, 100_000, 2_000_000, 20_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_files_may_be_of_any_size(size: int, limited: Limited) -> None:
    failures = limited.live(limits={"RLIMIT_FSIZE": size}).failures()
    assert bool(failures) == (size < 9_600_000)
    assert all("ulimit -f" in told["text"] for told in failures if told["act"] == "save")


@pytest.mark.parametrize("size", SIZES[:-1])
def test_a_process_that_is_ended_for_the_size_of_its_files(size: int, limited: Limited) -> None:
    """SIGXFSZ, which Python ignores and other programs do not."""
    life = limited.live(limits={"RLIMIT_FSIZE": size}, xfsz="default")
    assert os.WIFSIGNALED(life.status)
    assert os.WTERMSIG(life.status) == signal.SIGXFSZ


def test_memory_may_end_anywhere(limited: Limited) -> None:
    """From nothing more than the process has by then, and uses, to enough. With as little, CPython's own
    `Thread.start` may wait for ever for a thread that ended before it began, so no thread is started."""
    limits = [{"RLIMIT_AS": str(at << 17)} for at in range(32)]
    failures = [limited.live("briefly", limits=each, full=True).failures() for each in limits]
    assert failures[0]
    assert not failures[-1]


@pytest.mark.parametrize("more", [16 << 20, 20 << 20, 24 << 20, 28 << 20, 32 << 20, 40 << 20, 64 << 20])
def test_and_while_large_models_are_saved_by_threads(more: int, limited: Limited) -> None:
    limited.live(limits={"RLIMIT_AS": str(more)})


def test_no_thread_can_be_started(lives: Lives, few: Before, place: Path, promised: Promised) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become a user that has no process yet")
    folder = few.copy(place / "threadless")
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            os.chown(path, NOBODY, NOBODY)
    task = {"folder": str(folder), "life": "everything", "uid": NOBODY, "limits": {"RLIMIT_NPROC": 0}}
    life = lives.live(task)
    assert not life.failures(), "all is done, on the thread that there is"
    assert promised(folder, few, life)
