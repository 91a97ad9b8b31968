"""`saver serve` against the least that answers, and against other servers: requests per second, how long the
slowest take, how soon the first answer is there, and what several workers of a large model take of memory."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import saver
from benchmarks.servers import BARE, FEATURES, OURS, ROWS, End, bare, left_out, own, process, running
from benchmarks.startup import process as whole_process
from benchmarks.tables import Row, Table

CLIENTS = (1, 16, 64)
SECONDS = 2.0
"""Of one round with one number of clients."""
LARGE = 11_000
"""Units of each of two layers: 1 GB."""
WORKERS = 4
SCALED, FOREST = "scaled-logistic-regression", "forest-of-100-trees"
IMPORTING = "import scikit-learn and numpy, nothing else"


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer, or so many seconds (`period`) after it
    asked last, whichever is later; keeps what each took. The first time it waits for `start` seconds."""

    def __init__(self, request: bytes, period: float, start: float, end: float) -> None:
        self._request, self._period, self._start, self._end = request, period, start, end
        self.took: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._found = transport, b""
        asyncio.get_running_loop().call_later(self._start, self._ask)

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
        elif (pause := self._began + self._period - time.perf_counter()) > 0:
            asyncio.get_running_loop().call_later(pause, self._ask)
        else:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"closed: {error}"))


def load(at: End, clients: int, seconds: float, period: float = 0) -> list[float]:
    """What each request took while so many clients asked, each once in a period, one after another; without
    one, as soon as it had its answer."""
    request = at.request()

    async def run() -> list[float]:
        loop, end = asyncio.get_running_loop(), time.perf_counter() + seconds
        made = [
            await loop.create_connection(
                partial(_Client, request, period, period * nth / clients, end), "127.0.0.1", at.port
            )
            for nth in range(clients)
        ]
        await asyncio.gather(*(client.done for _, client in made))
        return [each for _, client in made for each in client.took]

    return asyncio.run(run())


def _store(folder: Path) -> saver.Saver:
    """A store with both models, and beside it each as joblib writes it."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(2000, FEATURES))
    labels = (rows[:, 0] * rows[:, 1] > 0).astype(int)
    scaler = StandardScaler().fit(rows)
    store = saver.Saver(folder / "serving")
    logistic = LogisticRegression().fit(scaler.transform(rows), labels)
    store.save(SCALED, {"scaler": scaler, "model": logistic}, example=rows[:100], pipeline="scaler | model")
    forest = RandomForestClassifier(100, random_state=0).fit(rows, labels)
    store.save(FOREST, {"model": forest}, example=rows[:100])
    for name, model in ((SCALED, make_pipeline(scaler, logistic)), (FOREST, forest)):
        (folder / name).mkdir()
        joblib.dump(model, folder / name / "model.joblib")
    return store


def run(
    folder: Path, repeat: int, clients: tuple[int, ...] = CLIENTS, seconds: float = SECONDS,
    large: int = LARGE,
) -> list[Table]:  # fmt: skip
    """A table for each model and number of clients, one of cold starts, and one of memory."""
    print(*left_out(), sep="\n", flush=True)
    address = str(_store(folder).storage)
    tables = []
    for model in (SCALED, FOREST):
        with running(address, model, folder / model) as ends:
            tables += [_table(model, many, ends, repeat, seconds) for many in clients]
    return [*tables, _cold(address, repeat), _memory(folder, large)]


def _table(model: str, clients: int, ends: dict[str, End], repeat: int, seconds: float) -> Table:
    rounds: dict[str, list[list[float]]] = {name: [] for name in ends}
    for end in ends.values():
        load(end, clients, min(0.5, seconds))
    for _ in range(repeat):
        for name, end in ends.items():
            rounds[name].append(load(end, clients, seconds))
    rows = [Row(name, tuple(seconds / len(took) for took in found)) for name, found in rounds.items()]
    extra, cells = ("median", "p99", "p99 / median at half load"), []
    for name, end in ends.items():
        peak = median(len(took) for took in rounds[name]) / seconds
        half = _spread(load(end, clients, seconds, 2 * clients / peak))
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


def _cold(address: str, repeat: int) -> Table:
    """Seconds from the start of a server to its first answer."""
    seconds: dict[str, list[float]] = {OURS: [], BARE: [], IMPORTING: []}
    for turn in range(repeat + 1):
        for name, (end, command) in {OURS: own(address, SCALED), BARE: bare(address, SCALED)}.items():
            begin = time.perf_counter()
            with process(end, *command):
                seconds[name].append(time.perf_counter() - begin)
        program = "import numpy, sklearn.linear_model, sklearn.preprocessing"
        seconds[IMPORTING].append(whole_process(("-c", program)))
        if not turn:  # which compiled what was not compiled yet
            for each in seconds.values():
                each.clear()
    rows = tuple(Row(name, tuple(each)) for name, each in seconds.items())
    about = "Seconds from the start of the command to the first answer, of the scaled logistic regression."
    return Table("serving cold", "cold start of a server", about, rows, BARE, IMPORTING)


def _memory(folder: Path, units: int) -> Table:
    """What a server takes with one worker and with several, each of which has predicted."""
    store, size = _large(folder, units)
    rows = [Row(f"{many} worker{'s' * (many > 1)}", (), bytes=(taken(store, many),)) for many in (1, WORKERS)]
    about = (
        f"A network of {size / 1e6:.0f} MB. All processes of a server: memory that several of them share "
        "counts once (PSS)."
    )
    return Table("serving memory", "memory of workers", about, tuple(rows), bytes_are="MB")


def _large(folder: Path, units: int) -> tuple[str, int]:
    """A store with a network whose layers have so many units, and the bytes of its numbers."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(32, FEATURES))
    model = MLPRegressor(hidden_layer_sizes=(2, 2), max_iter=1000, tol=1).fit(rows, rows[:, 0])
    sizes = (FEATURES, units, units, 1)
    model.hidden_layer_sizes = (units, units)
    model.coefs_ = [random.random(pair) / pair[0] for pair in pairwise(sizes)]
    model.intercepts_ = [np.zeros(many) for many in sizes[1:]]
    store = saver.Saver(folder / "large")
    store.save("large", {"model": model}, example=rows[:2])
    return str(store.storage), sum(each.nbytes for each in model.coefs_)


def taken(address: str, workers: int) -> int:
    """Bytes that a server of the store's large model takes, once all of its workers have predicted."""
    end, command = own(
        address, "large", "--workers", str(workers), "--limit", "batch_rows=1", "--accept-differences"
    )
    with process(End(end.port, "/predict/model", ROWS), *command) as started:
        load(end, 4 * workers, 2.0)
        return sum(_shared(each) for each in _tree(started.pid))


def _tree(process: int) -> list[int]:
    """A process and all that it has started."""
    found = [process]
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{process}/task"):
            for child in Path(f"/proc/{process}/task/{task}/children").read_text().split():
                found += _tree(int(child))
    return found


def _shared(process: int) -> int:
    """Bytes of a process; what it shares counts in part, so that the parts of all make the whole."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return 1024 * int(text.partition("\nPss:")[2].split()[0])
