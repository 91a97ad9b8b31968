"""Everything at once: clients at full speed, versions that take over, workers that are killed, and clients
that mean harm. No answer is wrong, none fails, and memory stays as it was."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import harms
import pytest
from loads import Expected, Line, Seen, Trouble, ask_until, descriptors, served

import saver
from saver.serve.tokens import add_token

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]
CLIENTS, STRANGERS, KILLS = 16, 8, 3
PATIENCE = 200.0
"""Seconds for what a slow machine has not done in time."""
NARROW = ("header_seconds=1", "body_seconds=2", "send_seconds=2", "body_bytes=1000000", "connections=400")
GROWTH = 48 << 20
"""Bytes by which memory differs from one moment to another: bodies that are held at this one."""


class Load:
    """All of it, for so many seconds."""

    def __init__(self, port: int, server: int, store: saver.Saver, tokens: tuple[str, str]) -> None:
        self.port, self.store, self.tokens = port, store, tokens
        self.seen = Seen()
        self.trouble = Trouble(server, self.seen)
        self.visits: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()

    async def run(self, seconds: float, pause: float) -> None:
        end, chance = asyncio.Event(), random.Random(0)
        expected = Expected.of(self.store, range(1, 4))
        good, _ = self.tokens
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(ask_until(end, self.port, good, expected, self.seen, number))
            for number in range(STRANGERS):
                tasks.create_task(self._harm_until(end, number))
            tasks.create_task(self.trouble.kill_until(end, pause, chance))
            tasks.create_task(self.trouble.move_until(end, self.store, 2 * pause))
            tasks.create_task(self.trouble.look_until(end, 0.25))
            await asyncio.sleep(seconds)
            last = asyncio.get_running_loop().time() + PATIENCE
            while not self._was_all() and asyncio.get_running_loop().time() < last:
                await asyncio.sleep(0.1)
            end.set()

    def _was_all(self) -> bool:
        """Whether each version has answered, and each kind of harm was tried, however slow the machine is."""
        return (
            len(self.seen.answers) == 3
            and len(self.visits) == len(harms.HARMS)
            and self.trouble.kills >= KILLS
            and self.trouble.moves > 3
        )

    async def _harm_until(self, end: asyncio.Event, first: int) -> None:
        turn = first
        while not end.is_set():
            harm = harms.HARMS[turn % len(harms.HARMS)]
            found = await harms.visit(harm, self.port, self.tokens[1], turn)
            self.visits[harm.__name__] += 1
            self.statuses.update((harm.__name__, status) for status in found)
            turn += STRANGERS

    async def settled(self) -> tuple[str, int]:
        """The numbers of the server once nobody asks, and its open files."""
        line = Line(self.port, self.tokens[0])
        for _ in range(100):
            _, data = await line.ask("/metrics", b"")
            text = data.decode()
            if "saver_requests_now 1\n" in text and "saver_bodies_bytes 0\n" in text:
                break
            await asyncio.sleep(0.1)
        line.close()
        return text, descriptors(self.trouble.server)

    def summary(self) -> str:
        tenths = self.trouble.memory[:: max(1, len(self.trouble.memory) // 10)]
        shown = [tuple(each // 1_000_000 for each in pair) for pair in tenths]
        return (
            f"answers {dict(self.seen.answers)}, refused {dict(self.seen.refused)}, kills "
            f"{self.trouble.kills}, moves {self.trouble.moves}, visits {dict(self.visits)}, statuses "
            f"{dict(self.statuses)}, MB of server and largest worker {shown}"
        )


def _grown(sizes: list[int]) -> int:
    """By how much the most of the last half is above the most of the first, without the time to warm up."""
    kept = sizes[len(sizes) // 5 :]
    half = len(kept) // 2
    return max(kept[half:]) - max(kept[:half])


@pytest.mark.parametrize(
    ("seconds", "pause"), [(8, 1.0), pytest.param(600, 3.0, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_no_answer_is_wrong_and_none_fails(
    store: saver.Saver, tmp_path: Path, seconds: float, pause: float
) -> None:
    file, log = tmp_path / "tokens.json", tmp_path / "log"
    good, _ = add_token(file, "good", ["predict:iris", "read"])
    bad, _ = add_token(file, "bad", ["predict:iris"])
    limits = [option for each in NARROW for option in ("--limit", each)]
    options = ("--workers", "2", "--poll", "0.2", "--tokens", str(file), *limits)
    with served(store, log, *options) as (port, server):
        load = Load(port, server, store, (good, bad))
        asyncio.run(load.run(seconds, pause))
        numbers, files = asyncio.run(load.settled())
        print(load.summary())
    assert load.seen.wrong == []
    assert load.seen.failed == []
    assert set(load.seen.answers) == {1, 2, 3}
    assert load.trouble.kills >= KILLS
    assert set(load.visits) == {harm.__name__ for harm in harms.HARMS}
    assert not [each for each in load.statuses if each[1] >= 500 and each[1] != 503]
    allowed = {"half_closed", "gone", "slow_reader"}
    assert not [each for each in load.statuses if each[1] == 200 and each[0] not in allowed]
    assert "saver_bodies_bytes 0\n" in numbers
    assert files < 60, "connections and workers of the past have been closed"
    for grown in map(_grown, zip(*load.trouble.memory, strict=True)):
        assert grown < GROWTH
    for bad_sign in ("Traceback", "defect of Saver", "never awaited", "exception"):
        assert bad_sign not in log.read_text()
