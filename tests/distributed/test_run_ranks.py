"""Training runs whose ranks are processes of torch.distributed: killed, ended by a signal, and resumed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import saver

pytest.importorskip("torch")

from run_rank import Training, train

RANK = Path(__file__).parent / "run_rank.py"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="no signals to send")]


class Process:
    """A rank, and the lines that it has said."""

    def __init__(self, *arguments: object) -> None:
        self.lines: list[str] = []
        self._running = subprocess.Popen(
            [sys.executable, str(RANK), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._running.stdout is not None
        with self._running.stdout as said:
            for line in said:
                with self._said:
                    self.lines.append(line.strip())
                    self._said.notify_all()

    def await_line(self, wanted: str) -> None:
        with self._said:
            assert self._said.wait_for(lambda: any(wanted in line for line in self.lines), 100), self.lines

    def send(self, number: int) -> None:
        self._running.send_signal(number)

    def ended(self) -> int:
        code = self._running.wait(100)
        self._reader.join()
        return code

    def end(self) -> None:
        self._running.kill()
        self._running.wait()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., list[Process]]]:
    """Starts ranks of the run in one store."""
    everybody: list[Process] = []

    def start(size: int, until: int, struck: int = -1) -> list[Process]:
        notes = tmp_path / f"notes-{len(everybody)}"
        found = [Process(tmp_path / "models", notes, rank, size, until, struck) for rank in range(size)]
        everybody.extend(found)
        return found

    yield start
    for process in everybody:
        process.end()


def said(processes: list[Process]) -> list[list[str]]:
    return [process.lines for process in processes]


def saved_after(process: Process) -> list[int]:
    return [int(line.split()[1]) for line in process.lines if line.endswith(" saved")]


def wanted(rank: int, until: int) -> str:
    """What a rank says at the end if nothing ever stops it."""
    training, drawn = Training(), np.random.default_rng(rank)
    for step in range(until):
        training.step(step)
    return f"{until * (rank + 1)} {drawn.random(until + 1)[-1]} {training.outcome()}"


def test_a_run_is_killed_in_a_save_ended_by_a_signal_and_resumed(
    tmp_path: Path, started: Callable[..., list[Process]]
) -> None:
    store = saver.Saver(tmp_path / "models")
    first, second = ranks = started(2, 40, struck=1)
    assert second.ended() == -signal.SIGKILL, said(ranks)
    assert first.ended() == 7, said(ranks)
    assert "LostRankError: rank 1 (process " in first.lines[-1]
    assert saved_after(first) == [4, 9]
    assert [version.step for version in store.versions("run")] == [4]

    first, second = ranks = started(2, 400)
    second.await_line("step 7")
    second.send(signal.SIGTERM)
    assert [first.ended(), second.ended()] == [-signal.SIGTERM] * 2, said(ranks)
    last = store.version("run").step or 0
    assert first.lines == second.lines, "they save after the same steps"
    assert first.lines[0] == "step 5"
    assert first.lines[-1].startswith(f"step {last - 1}")
    assert last >= 7
    assert store.check().sound
    with pytest.warns(UserWarning, match="saved by 2 ranks and is resumed by 1 rank"):
        alone = train(str(tmp_path / "models"), 0, last + 4, None)
    assert alone == wanted(0, last + 4)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_a_run_is_killed_at_any_moment_and_resumed_by_other_numbers_of_ranks(
    tmp_path: Path, started: Callable[..., list[Process]], seed: int
) -> None:
    drawn, store = random.Random(seed), saver.Saver(tmp_path / "models")
    for size in (3, 2, 1, 3):
        ranks = started(size, 400)
        ranks[0].await_line("saved")
        time.sleep(drawn.random())
        for process in ranks:
            process.send(signal.SIGKILL)
        assert {process.ended() for process in ranks} == {-signal.SIGKILL}
    until = (store.version("run").step or 0) + 3
    ranks = started(2, until)
    assert [process.ended() for process in ranks] == [0, 0], said(ranks)
    weights = wanted(0, until).split()[2:]
    assert [each.lines[-1].split()[2:] for each in ranks] == [weights] * 2
    assert ranks[0].lines[-1] == wanted(0, until), "rank 0 was always there"
    assert store.check().sound
