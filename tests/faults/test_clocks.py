"""Clocks that are years off, of processes and of the file system: no clock is believed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from beginning import Before
from living import Life, Lives

Promised = Callable[[Path, Before, Life], bool]

YEARS = 365 * 86400.0


def library() -> str | None:
    """Where faketime keeps what it puts before the clock; None where it is not installed."""
    found = [
        *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
        *Path("/usr/lib").glob("faketime/*MT.so.1"),
    ]
    return str(found[0]) if found else None


@pytest.fixture(scope="module", params=["-12y", "+12y"])
def elsewhen(request: pytest.FixtureRequest, place: Path) -> Iterator[Lives]:
    """Processes whose clock is years off. Times of files are the file system's."""
    preload = library()
    if preload is None:
        pytest.skip("there is no faketime; on Debian: apt-get install faketime")
    found = Lives(
        place / "cache",
        {
            "LD_PRELOAD": preload,
            "FAKETIME": request.param,
            "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    )
    yield found
    found.end()


def test_processes_whose_clocks_are_years_apart_use_one_store(
    lives: Lives, elsewhen: Lives, few: Before, place: Path, promised: Promised
) -> None:
    folder = few.copy(place / "clocks")
    told: list[Life] = []
    for seed, who in enumerate((elsewhen, lives, elsewhen, lives)):
        told.append(who.live({"folder": str(folder), "life": "commits", "seed": 1000 + 10 * seed}))
        told.append(who.live({"folder": str(folder), "life": "collects"}))
        assert not told[-1].failures()
        assert not told[-2].failures()
    all_told = Life([line for life in told for line in life.heard], 0)
    assert promised(folder, few, all_told)
    assert not elsewhen.judged(folder, few.seeds, all_told)


def test_a_file_system_whose_clock_was_years_behind(
    lives: Lives, few: Before, place: Path, promised: Promised
) -> None:
    folder = few.copy(place / "clocks")
    set_back(folder, -12 * YEARS)
    life = lives.live({"folder": str(folder), "life": "everything"})
    assert not life.failures()
    assert promised(folder, few, life)


def test_a_grace_period_that_a_clock_set_forward_ends_early_takes_nothing_that_is_needed(
    lives: Lives, few: Before, place: Path, promised: Promised
) -> None:
    folder = few.copy(place / "clocks")
    for sign in (-1, 1, -1):
        set_back(folder, sign * 12 * YEARS)
        life = lives.live({"folder": str(folder), "life": "commits"})
        assert not life.failures()
        assert not lives.judged(few.copy(place / "other"), few.seeds, Life([], 0))
    assert lives.live({"folder": str(folder), "life": "looks"}).done("check")[0]["damage"] == []


def set_back(folder: Path, seconds: float) -> None:
    """Let all files be of another time, as if the clock had been wrong when they were written."""
    when = time.time() + seconds
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()  # its bytes may be shared with other copies, and its time with them
            path.unlink()
            path.write_bytes(data)
        os.utime(path, (when, when))


def test_a_clock_that_was_set_back_keeps_nothing_from_being_freed(
    lives: Lives, few: Before, place: Path, promised: Promised
) -> None:
    """All files are of a time to come: without a grace period they are freed nevertheless."""
    folder = few.copy(place / "clocks")
    set_back(folder, 12 * YEARS)
    life = lives.live({"folder": str(folder), "life": "everything"})
    assert not life.failures()
    assert life.done("gc")[0]["freed"] > 0
    assert promised(folder, few, life)
