"""The servers that are compared, and how each is asked the same: one row, as it wants it."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS, BARE = "saver serve", "bare Starlette"
PEERS = {"mlflow models serve": "mlflow", "LitServe": "litserve", "MLServer": "mlserver"}
FEATURES = 20
HOME = Path(__file__).resolve().parents[1]
PATIENCE = 240.0
ROW = [0.25 * at for at in range(FEATURES)]
_TENSOR = {"name": "input", "shape": [1, FEATURES], "datatype": "FP64", "data": ROW}
ROWS = {"rows": [ROW]}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "mlflow": ("/invocations", {"inputs": [ROW]}),
    "litserve": ("/predict", ROWS),
    "mlserver": ("/v2/models/model/infer", {"inputs": [_TENSOR]}),
}


@dataclass(frozen=True, slots=True)
class End:
    """Where a server answers, and what it is asked."""

    port: int
    path: str
    asked: dict[str, Any]

    def request(self) -> bytes:
        body = json.dumps(self.asked).encode()
        head = f"POST {self.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    def answers(self) -> bool:
        """Whether one request gets 200."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            line.request("POST", self.path, json.dumps(self.asked), {"content-type": "application/json"})
            return line.getresponse().status == 200
        except (ConnectionError, http.client.HTTPException):
            return False
        finally:
            line.close()


def python_of(kind: str) -> str | None:
    """The Python in whose environment another server is installed: SAVER_MLFLOW, SAVER_LITSERVE,
    SAVER_MLSERVER. None if it is not named."""
    return os.environ.get(f"SAVER_{kind.upper()}") or None


def left_out() -> Iterator[str]:
    """A line for each of the others that is not installed."""
    for name, kind in PEERS.items():
        if python_of(kind) is None:
            yield f"{name}: left out, as SAVER_{kind.upper()} names no Python that has it"


def free_port() -> int:
    """A port that is free, and two more behind it that are likely to be."""
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise RuntimeError("no port is free")


@contextmanager
def process(end: End, *command: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers, until it is no longer needed. Raises RuntimeError if it never does."""
    base = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, stdout=log, stderr=log, env={**base, "OMP_NUM_THREADS": "1", **(env or {})},
            process_group=0 if env is not None else None, cwd=HOME,
        ) as started,
    ):  # fmt: skip
        try:
            last = time.monotonic() + PATIENCE
            while not end.answers():
                if started.poll() is not None or time.monotonic() > last:
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(command)}: no answer\n{log.read().decode()[-3000:]}")
                time.sleep(0.005)
            yield started
        finally:
            _end(started, whole=env is not None)


def _end(started: subprocess.Popen[bytes], whole: bool) -> None:
    if not whole:
        started.terminate()
        started.wait(60)
        return
    try:  # others start processes that outlive them
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait(60)


def own(address: str, model: str, *options: str) -> tuple[End, tuple[str, ...]]:
    """Saver's server for a model, and its command."""
    port = free_port()
    command = ("serve", f"model={model}", "--store", address, "--port", str(port), *options)
    return End(port, "/predict/model?outputs=prediction", ROWS), (sys.executable, "-m", "saver", *command)


def bare(address: str, model: str) -> tuple[End, tuple[str, ...]]:
    """The least that answers."""
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.bare", address, model, str(port))
    return End(port, "/predict/model", ROWS), command


@contextmanager
def running(address: str, model: str, folder: Path) -> Iterator[dict[str, End]]:
    """All servers of a model that are installed. `folder` has the model as joblib writes it."""
    ends: dict[str, End] = {}
    with ExitStack() as stack:
        for name, (end, command) in {OURS: own(address, model), BARE: bare(address, model)}.items():
            stack.enter_context(process(end, *command))
            ends[name] = end
        for name, kind in PEERS.items():
            python = python_of(kind)
            if python is None:
                continue
            end = End(free_port(), *ASKED[kind])
            command = (
                python, "-P", str(HOME / "benchmarks" / "foreign.py"), kind, str(folder), str(end.port)
            )  # fmt: skip
            alone = {"PYTHONPATH": "", "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"}
            stack.enter_context(process(end, *command, env=alone))
            ends[name] = end
        yield ends
