"""One version takes over from another: without a failed request, only if it is sound, and back again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from irises import X, parts
from visits import PATIENCE, Running, Serve, until

import saver
from saver.errors import NotFoundError, SaverError

ROWS = {"rows": X[:2].tolist()}


def version(running: Running) -> int:
    found = running.ask("/predict/iris", ROWS)
    assert found.status == 200, found
    number: int = found.json["version"]
    return number


def states(running: Running) -> dict[str, int]:
    (model,) = running.ask("/models").json["models"]
    return {each["state"]: each["number"] for each in model["versions"]}


def deaths(running: Running) -> float:
    return running.server.metrics.value("saver_worker_deaths_total", model="iris")


class Asking:
    """Clients that ask all the time; counts statuses and versions."""

    def __init__(self, running: Running, clients: int = 4) -> None:
        self.running, self.found, self._end = running, Counter[tuple[int, int]](), threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._end.is_set():
            found = self.running.ask("/predict/iris", ROWS)
            self.found[found.status, found.json.get("version", 0)] += 1

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE)


@pytest.mark.slow
def test_a_tag_moves_under_load_and_back(store: saver.Saver, serve: Serve) -> None:
    running = serve(store)
    with Asking(running) as asking:
        until(lambda: asking.found[200, 1] > 5)
        store.tag("iris@2", "production")
        until(lambda: asking.found[200, 2] > 5)
        assert states(running) == {"current": 2, "previous": 1}
        store.tag("iris@3", "production")
        until(lambda: asking.found[200, 3] > 5)
        before = asking.found[200, 2]
        assert running.ask("/admin/models/iris/back", {}).status == 200
        until(lambda: asking.found[200, 2] > before + 5)
    assert {status for status, _ in asking.found} == {200}
    assert states(running) == {"current": 2, "previous": 3}


@pytest.mark.slow
def test_a_version_that_answers_otherwise_does_not_take_over(store: saver.Saver, serve: Serve) -> None:
    running = serve(store)
    store.save("iris", {"model": np.zeros(3)})  # without an example: it cannot answer
    store.tag("iris@4", "production")
    until(lambda: running.ask("/models").json["models"][0]["trouble"])
    assert version(running) == 1
    assert running.server.metrics.value("saver_changes_total", model="iris", outcome="refused") == 1
    store.tag("iris@2", "production")
    until(lambda: version(running) == 2)
    assert running.ask("/models").json["models"][0]["trouble"] == ""


@pytest.mark.slow
def test_canary_shadow_and_change(store: saver.Saver, serve: Serve) -> None:
    running = serve(store)
    assert running.ask("/admin/models/iris/canary", {"version": 2, "percent": 25}).status == 200
    assert Counter(version(running) for _ in range(40)) == {1: 30, 2: 10}
    assert running.ask("/predict/iris?version=2", ROWS).json["version"] == 2
    assert running.ask("/predict/iris?version=3", ROWS).status == 404
    assert running.ask("/admin/models/iris/canary", {"percent": 0}).status == 200
    assert {version(running) for _ in range(10)} == {1}
    assert running.ask("/admin/models/iris/shadow", {"version": 3}).status == 200
    until(lambda: version(running) and any(
        running.server.metrics.value("saver_shadow_total", model="iris", outcome=outcome)
        for outcome in ("same", "different")
    ))  # fmt: skip
    assert states(running) == {"current": 1, "shadow": 3}
    assert running.ask("/admin/models/iris/change", {"version": 3}).status == 200
    assert states(running) == {"current": 3, "previous": 1}
    for wrong in ({"version": 99}, {"version": "3"}, {"version": True}, {"ref": "other@1"}, {}):
        assert running.ask("/admin/models/iris/change", wrong).status == 400, wrong
    for wrong in (
        {"version": 2, "percent": 101},
        {"version": 2, "percent": "5"},
        {"version": 2, "percent": -1},
    ):
        assert running.ask("/admin/models/iris/canary", wrong).status == 400, wrong
    assert version(running) == 3


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_nobody_notices(store: saver.Saver, serve: Serve) -> None:
    running = serve(store, workers=2)
    generation = running.server.models["iris"].current
    assert generation is not None
    with Asking(running) as asking:
        for killed in range(1, 6):
            until(lambda: len(generation.workers) == 2 and all(each.pid for each in generation.workers))
            os.kill(generation.workers[0].pid, signal.SIGKILL)
            until(lambda killed=killed: deaths(running) == killed)  # type: ignore[misc]
            goal = asking.found.total() + 8  # so that none of them meets two kills
            until(lambda goal=goal: asking.found.total() >= goal)  # type: ignore[misc]
    assert {status for status, _ in asking.found} == {200}


@pytest.mark.slow
def test_a_server_that_stops_answers_what_it_has_begun(store: saver.Saver, serve: Serve) -> None:
    running = serve(store)
    answers: list[int] = []

    def ask() -> None:
        answers.append(running.ask("/predict/iris", {"rows": [X[0].tolist()] * 2000}).status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    listening = running.server._listening
    assert listening is not None
    until(lambda: len(listening.server_state.tasks) + len(answers) >= 4)
    running.stop()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == [200] * 4


@pytest.mark.slow
def test_a_server_that_ends_says_so_to_clients_that_keep_their_connections(
    store: saver.Saver, serve: Serve
) -> None:
    running, found = serve(store), Counter[str]()

    def ask() -> None:
        line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
        try:
            while True:
                line.request("POST", "/predict/iris", json.dumps(ROWS), {"content-type": "application/json"})
                answer = line.getresponse()
                answer.read()
                found[str(answer.status)] += 1
                if answer.getheader("connection") == "close":
                    found["closed"] += 1
                    return
        except (OSError, http.client.HTTPException) as error:
            found[repr(error)] += 1
        finally:
            line.close()

    clients = [threading.Thread(target=ask, daemon=True) for _ in range(6)]
    for each in clients:
        each.start()
    until(lambda: found["200"] > 50)
    running.stop()
    for each in clients:
        each.join(PATIENCE)
    assert found.keys() == {"200", "closed"}, found
    assert found["closed"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("workers", [False, True])
def test_a_template_that_is_killed_is_loaded_again(store: saver.Saver, serve: Serve, workers: bool) -> None:
    running = serve(store)
    generation = running.server.models["iris"].current
    assert generation is not None
    with Asking(running) as asking:
        os.kill(generation.described["pid"], signal.SIGKILL)
        for worker in list(generation.workers) if workers else ():
            worker.kill()
        until(lambda: running.server.models["iris"].current is not generation)
        goal = asking.found.total() + 4
        until(lambda: asking.found.total() >= goal)
    assert {status for status, _ in asking.found} == {200}


def test_what_cannot_be_served_is_refused_at_the_start(store: saver.Saver, serve: Serve) -> None:
    with pytest.raises(NotFoundError):
        serve(store, "iris@99")
    store.save("bare", parts(1.0))
    with pytest.raises(SaverError, match=r"bare@1 does not serve.*example"):
        serve(store, "bare")


def test_a_taken_port_is_named(shared: Running, ready_store: saver.Saver, serve: Serve) -> None:
    with pytest.raises(SaverError, match=rf"{shared.port}.*--port"):
        serve(ready_store, port=shared.port)


def test_no_process_is_left(store: saver.Saver, serve: Serve, tmp_path: Path) -> None:
    running = serve(store)
    generation = running.server.models["iris"].current
    assert generation is not None
    version(running)
    pids = [generation.described["pid"], *(each.pid for each in generation.workers)]
    running.stop()

    def gone(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(lambda: all(map(gone, pids)))
