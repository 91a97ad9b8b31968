"""Which version answers: the one that an address names, or nobody; without a name, the current one answers
what others cannot."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from irises import X, parts
from visits import PATIENCE, Running, Serve, until

import saver
from saver.serve.refusals import Refusal

pytestmark = pytest.mark.slow

ROWS = {"rows": X[:1].tolist()}
WIDE = {"rows": [[*X[0].tolist(), 1.0]]}
TENSORS = {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP64", "data": X[0].tolist()}]}
PINNED = ["/predict/iris?version=2", "/v2/models/iris/versions/2/infer"]
FREE = ["/predict/iris", "/v2/models/iris/infer"]


@pytest.fixture
def running(store: saver.Saver, serve: Serve) -> Running:
    """A server with a canary, version 2, that answers every request."""
    one = serve(store)
    assert one.ask("/admin/models/iris/canary", {"version": 2, "percent": 100}).status == 200
    return one


def asked(running: Running, path: str) -> Any:
    return running.ask(path, ROWS if path.startswith("/predict") else TENSORS)


def number(found: Any) -> int:
    return int(found.json.get("version") or found.json["model_version"])


def failing(running: Running, reason: str) -> None:
    """Have the canary refuse everything."""
    canary = running.server.models["iris"].canary
    assert canary is not None

    def submit(*_: object) -> Any:
        raise Refusal(reason, "the model failed: on purpose")

    canary.queue.submit = submit  # type: ignore[method-assign]


@pytest.mark.parametrize("reason", ["failed", "unavailable", "overloaded"])
def test_a_version_that_is_named_answers_or_nobody_does(running: Running, reason: str) -> None:
    assert [number(asked(running, path)) for path in (*PINNED, *FREE)] == [2, 2, 2, 2]
    failing(running, reason)
    for path in PINNED:
        found = asked(running, path)
        assert found.status == (500 if reason == "failed" else 503), found
        assert "on purpose" in found.json["error"]
    assert [number(asked(running, path)) for path in FREE] == [1, 1]


class Slow:
    """A request of which half the body is sent."""

    def __init__(self, running: Running, path: str, body: Any) -> None:
        data = json.dumps(body).encode()
        self._rest = data[5:]
        self._line = socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE)
        head = (
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(data)}\r\n"
        )
        self._line.sendall(head.encode() + b"\r\n" + data[:5])
        until(lambda: running.server.house.bodies.held)

    def end(self) -> tuple[int, Any]:
        """Send the rest; what comes back."""
        self._line.sendall(self._rest)
        found = b""
        while got := self._line.recv(65536):
            found += got
        self._line.close()
        head, _, body = found.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


def retired(running: Running) -> None:
    """Wait until what was replaced has ended."""
    served = running.server.models["iris"]
    until(lambda: not served._retiring)


@pytest.mark.parametrize("path", FREE)
def test_a_body_that_comes_after_its_version_has_gone_is_answered_by_the_current_one(
    running: Running, path: str
) -> None:
    body = ROWS if path.startswith("/predict") else TENSORS
    slow, named = Slow(running, path, body), Slow(running, PINNED[FREE.index(path)], body)
    assert running.ask("/admin/models/iris/canary", {"percent": 0}).status == 200
    retired(running)
    status, answer = slow.end()
    assert (status, int(answer.get("version") or answer["model_version"])) == (200, 1)
    assert named.end()[0] == 503
    slow = Slow(running, path, body)
    for each in (2, 3):
        assert running.ask("/admin/models/iris/change", {"version": each}).status == 200
    retired(running)
    status, answer = slow.end()
    assert (status, int(answer.get("version") or answer["model_version"])) == (200, 3)


def test_what_does_not_fit_a_canary_is_held_against_the_schema_of_the_current_version(
    store: saver.Saver, serve: Serve, tmp_path: Path
) -> None:
    import numpy as np

    wide = np.column_stack([X, X[:, 0]])
    both = parts(1.0)
    scaler = both["scaler"].fit(wide)  # type: ignore[attr-defined]
    model = both["model"].fit(scaler.transform(wide), (X[:, 0] > 0).astype(int))  # type: ignore[attr-defined]
    store.save("iris", {"scaler": scaler, "model": model}, example=wide[:40], pipeline="scaler | model")
    running = serve(store)
    assert running.ask("/admin/models/iris/canary", {"version": 4, "percent": 100}).status == 200
    assert [number(asked(running, path)) for path in FREE] == [1, 1]
    assert running.ask("/predict/iris", WIDE).json["version"] == 4
    assert running.ask("/predict/iris?version=4", ROWS).status == 422
    found = running.ask("/predict/iris", {"rows": [[1, 2]]})
    assert found.status == 422
    assert "4" in found.json["error"]
