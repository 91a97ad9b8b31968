"""A saver that stands still, for as long as it likes, while others collect: it goes on and saves soundly."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from beginning import Before, unsynced
from injecting import counted, refused, traced
from living import Life, Line, Lives

Promised = Callable[[Path, Before, Life], bool]

STOPS = ("openat", "pwrite64", "fsync", "linkat", "ftruncate", "getdents64", "newfstatat", "close")


def collections(folder: Path) -> None:
    """Two of them, as by another process; nothing is young to them."""
    for _ in range(2):
        unsynced(folder).gc(grace=0)


def stopped(process: int, log: Path) -> bool:
    """Wait until strace says that it stands still; False if it ends before."""
    while not log.exists() or b"stopped by SIGSTOP" not in log.read_bytes():
        if not is_alive(process):
            return False
        time.sleep(0.001)
    return True


def is_alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_saver_that_is_stopped_at_random_instants(
    lives: Lives, few: Before, place: Path, promised: Promised
) -> None:
    folder, chance = few.copy(place / "stopped"), random.Random(5)
    process: list[int] = []
    rounds = 0

    def stop(line: Line) -> None:
        nonlocal rounds
        if line["what"] == "begun":
            process.append(line["pid"])
        elif line["what"] == "try" and rounds < 40:
            time.sleep(chance.random() * 0.006)
            os.kill(process[0], signal.SIGSTOP)
            collections(folder)
            os.kill(process[0], signal.SIGCONT)
            rounds += 1
            if rounds == 40:
                os.kill(process[0], signal.SIGKILL)

    life = lives.live({"folder": str(folder), "life": "for ever"}, stop)
    assert life.killed
    assert not life.failures()
    assert len(life.done("save")) > 15
    assert promised(folder, few, life)


_REFUSED = refused()


@pytest.mark.skipif(_REFUSED is not None, reason=_REFUSED or "")
@pytest.mark.parametrize("call", STOPS)
def test_a_saver_that_is_stopped_at_a_call(
    call: str, lives: Lives, few: Before, place: Path, promised: Promised
) -> None:
    """At one in so many of them, from the first to the last."""
    folder, log = place / "stopped", place / "stopped.log"
    task = {"folder": str(folder), "life": "commits"}
    few.copy(folder)
    count = counted(lives, task, log)[call]
    stops = 0
    for number in range(1, count + 1, max(1, count // 8)):
        few.copy(folder)
        log.unlink()

        def meanwhile(process: int) -> None:
            nonlocal stops
            if stopped(process, log):
                stops += 1
                collections(folder)
                os.kill(process, signal.SIGCONT)

        inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=STOP:when={number}")
        life = traced(lives, task, log, *inject, during=meanwhile)
        assert not life.failures()
        assert len(life.done("save")) == 2
        assert promised(folder, few, life)
    assert stops > 0
