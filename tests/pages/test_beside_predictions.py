"""The pages of `saver serve`: behind its tokens, with a form for the model that is served."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from browsing import found_by
from sklearn.linear_model import LogisticRegression

import saver
from saver.pages.app import beside
from saver.serve.server import Server
from saver.serve.settings import Settings
from saver.serve.tokens import add_token


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a server, and a token that reads and predicts."""
    folder = tmp_path_factory.mktemp("beside")
    rows = np.random.default_rng(1).normal(size=(40, 3))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    saver.Saver(folder / "models").save("iris", {"model": model}, example=rows[:10])
    token, _ = add_token(folder / "tokens", "ann", ("read", "predict"))
    settings = Settings(
        store=str(folder / "models"), names={"iris": "iris"}, port=0, tokens=str(folder / "tokens")
    )
    runner, ready, server = asyncio.Runner(), threading.Event(), Server(settings, beside)

    def run() -> None:
        with runner:
            runner.run(server.run(lambda _: ready.set()))

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    yield server.address, token
    runner.get_loop().call_soon_threadsafe(server.stop)
    thread.join(30)


def answer(request: urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(request, timeout=60) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_pages_and_predictions_take_the_same_token(served: tuple[str, str], tmp_path: Path) -> None:
    address, token = served
    cookie = {"cookie": f"saver-token={token}"}
    assert answer(urllib.request.Request(f"{address}/"))[0] == 401
    assert answer(urllib.request.Request(f"{address}/", headers=cookie))[0] == 200
    status, page = answer(urllib.request.Request(f"{address}/version/iris@1", headers=cookie))
    assert status == 200
    assert 'data-try="/predict/iris"' in page
    assert 'action="/tag/' not in page, "the token only reads and predicts"
    body = json.dumps({"rows": [[0.1, 0.2, 0.3]]}).encode()
    headers = {"content-type": "application/json", **cookie}
    request = urllib.request.Request(f"{address}/predict/iris", body, headers)
    assert answer(request)[0] == 200
    foreign = urllib.request.Request(
        f"{address}/predict/iris", body, {**headers, "origin": "http://evil.example"}
    )
    assert answer(foreign)[0] == 403


def test_a_cookie_gives_no_orders(served: tuple[str, str]) -> None:
    """Only what pages do, and predictions: everything else needs the header."""
    address, token = served
    cookie = {"cookie": f"saver-token={token}"}
    for path, data in (("/admin/models/iris/back", b""), ("/metrics", None), ("/models", None)):
        request = urllib.request.Request(f"{address}{path}", data, cookie)
        assert answer(request)[0] == 401
    assert answer(urllib.request.Request(f"{address}/nothing", headers=cookie))[0] == 401


@pytest.mark.slow
def test_people_sign_in_and_try_the_model(served: tuple[str, str]) -> None:
    address, token = served
    found = found_by("browse_trying.py", address, {"version": "/version/iris@1"}, token=token)
    assert found["troubles"] == []
    (row,) = found["right"]["predictions"]
    assert "prediction" in row
    assert "error" in found["wrong"], "what is not a number is refused, and the page says why"
