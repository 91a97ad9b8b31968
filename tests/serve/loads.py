"""Clients that mean well, at full speed, and hold each answer against the version that gave it; what a server
and its workers take of memory; and who ends workers while all of that goes on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from irises import X

import saver

BACK_PRESSURE = (429, 503)
"""How the documentation lets a server answer those who did nothing wrong."""
_PORT = re.compile(r"127\.0\.0\.1:([0-9]+)")


@contextmanager
def served(store: saver.Saver, log: Path, *options: str) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and its process id. SIGTERM must end it with 0."""
    command = (
        sys.executable, "-m", "saver", "serve", "iris@production", "--store", str(store.storage),
        "--port", "0", "--json", *options,
    )  # fmt: skip
    with log.open("wb") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file) as process:
        try:
            assert process.stdout is not None
            said = b""
            while not (found := _PORT.search(said.decode())):
                line = process.stdout.readline()
                assert line, log.read_text()
                said += line
            yield int(found[1]), process.pid
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


@dataclass
class Expected:
    """What each version answers to each row of `X`, by itself."""

    predictions: dict[int, np.ndarray[Any, Any]] = field(default_factory=dict)
    probabilities: dict[int, np.ndarray[Any, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: saver.Saver, numbers: range) -> Expected:
        found = cls()
        for number in numbers:
            outputs = store.predictor(f"iris@{number}").predict({"input": X})
            found.predictions[number] = outputs["prediction"]
            found.probabilities[number] = outputs["probability"]
        return found

    def agree(self, number: int, rows: list[int], prediction: Any, probability: Any) -> bool:
        """Whether a version said this of these rows; a batch may change the last bits of a probability."""
        if not np.array_equal(np.asarray(prediction), self.predictions[number][rows]):
            return False
        if probability is None:
            return True
        there = self.probabilities[number][rows]
        return np.shape(probability) == there.shape and np.allclose(probability, there, rtol=0, atol=1e-9)


class Line:
    """One connection of a client, opened again when the server has said that it closes it."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: bytes, type: str = "application/json") -> tuple[int, bytes]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = (
            f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {type}\r\n"
            f"authorization: Bearer {self._token}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        found = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = re.search(r"\r\ncontent-length: ([0-9]+)", found)
        assert length is not None, found
        answer = await self._reader.readexactly(int(length[1]))
        if "\r\nconnection: close" in found:
            self.close()
        return int(found.split()[1]), answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _rows(random: random.Random) -> list[int]:
    return [random.randrange(len(X)) for _ in range(random.choice([1, 1, 1, 2, 5, 30]))]


async def _as_rows(line: Line, rows: list[int]) -> tuple[int, bytes, Any]:
    status, data = await line.ask("/predict/iris", json.dumps({"rows": X[rows].tolist()}).encode())
    if status != 200:
        return status, data, None
    found = json.loads(data)
    each = found["predictions"]
    return status, data, (
        found["version"], [one["prediction"] for one in each], [one["probability"] for one in each],
    )  # fmt: skip


async def _as_csv(line: Line, rows: list[int]) -> tuple[int, bytes, Any]:
    head = ",".join(f"input[{at}]" for at in range(X.shape[1]))
    text = "\n".join([head, *(",".join(map(repr, row)) for row in X[rows].tolist())])
    status, data = await line.ask("/predict/iris?outputs=prediction", text.encode(), "text/csv")
    if status != 200:
        return status, data, None
    found = json.loads(data)
    return status, data, (found["version"], [one["prediction"] for one in found["predictions"]], None)


async def _as_tensor(line: Line, rows: list[int]) -> tuple[int, bytes, Any]:
    tensor = {"name": "input", "shape": [len(rows), X.shape[1]], "datatype": "FP64"}
    body = json.dumps({"inputs": [{**tensor, "data": X[rows].ravel().tolist()}]}).encode()
    status, data = await line.ask("/v2/models/iris/infer", body)
    if status != 200:
        return status, data, None
    found = json.loads(data)
    outputs = {each["name"]: np.reshape(each["data"], each["shape"]) for each in found["outputs"]}
    return status, data, (int(found["model_version"]), outputs["prediction"], outputs["probability"])


@dataclass
class Seen:
    """What became of all requests."""

    answers: Counter[int] = field(default_factory=Counter)
    """Good ones, by version."""
    refused: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def note(self, expected: Expected, rows: list[int], status: int, data: bytes, said: Any) -> None:
        if said is not None:
            if expected.agree(said[0], rows, said[1], said[2]):
                self.answers[said[0]] += 1
            else:
                self.wrong.append(f"rows {rows}: {data[:500]!r}")
        elif status in BACK_PRESSURE:
            self.refused[status] += 1
        else:
            self.failed.append(f"{status} {data[:500]!r}")


async def ask_until(
    end: asyncio.Event, port: int, token: str, expected: Expected, seen: Seen, seed: int
) -> None:
    """One client, that asks in every way, without a pause."""
    chance, line = random.Random(seed), Line(port, token)
    while not end.is_set():
        rows = _rows(chance)
        try:
            found = await chance.choice([_as_rows, _as_rows, _as_csv, _as_tensor])(line, rows)
        except (OSError, asyncio.IncompleteReadError) as error:
            seen.failed.append(repr(error))
            line.close()
        else:
            seen.note(expected, rows, *found)
    line.close()


def children(process: int) -> list[int]:
    """The processes that one has started and that live."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{process}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f"/proc/{process}/task/{task}/children").read_text().split())
    return found


def workers(server: int, least: int = 1) -> list[int]:
    """The workers of a server: forked by its templates, which are its children. Templates with fewer than
    `least` are left out: the only child of one may be about to show that its version answers as it should."""
    found = [children(template) for template in children(server)]
    return [worker for those in found if len(those) >= least for worker in those]


def memory(process: int, kind: str = "Pss") -> int:
    """Bytes that a process has: `Rss`, or `Pss`, in which what processes share counts once in all. 0 if it
    has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        return 1024 * int(text.partition(f"\n{kind}:")[2].split()[0])
    return 0


def descriptors(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


@dataclass
class Trouble:
    """What is done to a server while it answers."""

    server: int
    seen: Seen
    kills: int = 0
    moves: int = 0
    memory: list[tuple[int, int]] = field(default_factory=list)
    """Bytes of the server, and of its largest worker, as time went on."""

    async def _answered(self, end: asyncio.Event, many: int, version: int | None = None) -> None:
        """Wait for so many more answers, of a version or of any."""

        def now() -> int:
            return self.seen.answers[version] if version is not None else self.seen.answers.total()

        goal = now() + many
        while now() < goal and not end.is_set():
            await asyncio.sleep(0.02)

    async def kill_until(self, end: asyncio.Event, pause: float, chance: random.Random) -> None:
        """Kill a worker now and then, but no request twice: it is tried once more, and no more."""
        while not end.is_set():
            await asyncio.sleep(pause)
            there = await asyncio.to_thread(workers, self.server, 2)
            if there:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(there), signal.SIGKILL)
                    self.kills += 1
            await self._answered(end, 100)

    async def move_until(self, end: asyncio.Event, store: saver.Saver, pause: float) -> None:
        """Move the tag to one version after another, as soon as the one before has answered."""
        while not end.is_set():
            await asyncio.sleep(pause)
            number = 1 + (self.moves + 1) % 3
            await asyncio.to_thread(store.tag, f"iris@{number}", "production")
            self.moves += 1
            await self._answered(end, 10, number)

    async def look_until(self, end: asyncio.Event, pause: float) -> None:
        while not end.is_set():
            self.memory.append(await asyncio.to_thread(self._look))
            await asyncio.sleep(pause)

    def _look(self) -> tuple[int, int]:
        largest = max((memory(each, "Rss") for each in workers(self.server)), default=0)
        return memory(self.server, "Rss"), largest
