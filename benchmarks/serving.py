"""`saver serve` against the least that answers: requests per second, and how long the slowest take."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import saver
from benchmarks.tables import Row, Table

OURS, BARE = "saver serve", "bare Starlette"
CLIENTS = (1, 16, 64)
SECONDS = 2.0
"""Of one round with one number of clients."""

FEATURES = 20
_PORT = re.compile(r'(?:^|:)([0-9]{4,5})(?:"|\n)')


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer, or after a pause; keeps what each took."""

    def __init__(self, request: bytes, pause: float, end: float) -> None:
        self._request, self._pause, self._end = request, pause, end
        self.took: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._found = transport, b""
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._found += data
        head, split, body = self._found.partition(b"\r\n\r\n")
        if not split or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self._found[:500]
        self.took.append(time.perf_counter() - self._began)
        self._found = b""
        if time.perf_counter() > self._end:
            self._transport.close()
            self.done.set_result(None)
        elif self._pause:
            asyncio.get_running_loop().call_later(self._pause, self._ask)
        else:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"closed: {error}"))


def load(port: int, path: str, clients: int, seconds: float, pause: float = 0) -> list[float]:
    """What each request took while so many clients asked."""
    body = json.dumps({"rows": [[0.25 * at for at in range(FEATURES)]]}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    async def run() -> list[float]:
        loop, end = asyncio.get_running_loop(), time.perf_counter() + seconds
        made = [
            await loop.create_connection(lambda: _Client(request, pause, end), "127.0.0.1", port)
            for _ in range(clients)
        ]
        await asyncio.gather(*(client.done for _, client in made))
        return [each for _, client in made for each in client.took]

    return asyncio.run(run())


@contextmanager
def _process(*command: str) -> Iterator[int]:
    """A server, until it is no longer needed: the port that it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            found = (_PORT.search(line) for line in process.stdout)
            yield next(int(each[1]) for each in found if each)
        finally:
            process.terminate()


def _store(folder: Path) -> saver.Saver:
    random = np.random.default_rng(0)
    rows = random.normal(size=(2000, FEATURES))
    labels = (rows[:, 0] * rows[:, 1] > 0).astype(int)
    scaler = StandardScaler().fit(rows)
    store = saver.Saver(folder / "serving")
    scaled = {"scaler": scaler, "model": LogisticRegression().fit(scaler.transform(rows), labels)}
    store.save("scaled-logistic-regression", scaled, example=rows[:100], pipeline="scaler | model")
    forest = RandomForestClassifier(100, random_state=0).fit(rows, labels)
    store.save("forest-of-100-trees", {"model": forest}, example=rows[:100])
    return store


def run(
    folder: Path, repeat: int, clients: tuple[int, ...] = CLIENTS, seconds: float = SECONDS
) -> list[Table]:
    """A table for each model and number of clients."""
    store = _store(folder)
    tables = []
    for model in store.models():
        address = str(store.storage)
        ours = [sys.executable, "-m", "saver", "serve", f"model={model}", "--store", address, "--port", "0"]
        bare = [sys.executable, "-m", "benchmarks.bare", address, model]
        with _process(*ours, "--json") as own, _process(*bare) as port:
            ends = {OURS: (own, "/predict/model?outputs=prediction"), BARE: (port, "/predict/model")}
            tables += [_table(model, many, ends, repeat, seconds) for many in clients]
    return tables


def _table(model: str, clients: int, ends: dict[str, tuple[int, str]], repeat: int, seconds: float) -> Table:
    rounds: dict[str, list[list[float]]] = {name: [] for name in ends}
    for end in ends.values():
        load(*end, clients, min(0.5, seconds))
    for _ in range(repeat):
        for name, end in ends.items():
            rounds[name].append(load(*end, clients, seconds))
    rows = [Row(name, tuple(seconds / len(took) for took in found)) for name, found in rounds.items()]
    extra, cells = ("median", "p99", "p99 / median at half load"), []
    for name, end in ends.items():
        peak = median(len(took) for took in rounds[name]) / seconds
        pause = 2 * clients / peak - median(_all(rounds[name]))
        half = _spread(load(*end, clients, seconds, pause))
        middle, last = _spread_of(_all(rounds[name]))
        cells.append((f"{middle * 1e3:.2f} ms", f"{last * 1e3:.2f} ms", f"{half:.1f}"))
    about = f"Seconds per answer with {clients} clients that each wait for theirs, one row at a time."
    title = model.replace("-", " ")
    return Table(
        f"serving {model} {clients}", f"{title}, {clients} clients", about, tuple(rows), BARE, unit="ms",
        extra=extra, cells=tuple(cells),
    )  # fmt: skip


def _all(rounds: list[list[float]]) -> list[float]:
    return [each for took in rounds for each in took]


def _spread_of(took: list[float]) -> tuple[float, float]:
    return median(took), quantiles(took, n=100)[98]


def _spread(took: list[float]) -> float:
    middle, last = _spread_of(took)
    return last / middle
