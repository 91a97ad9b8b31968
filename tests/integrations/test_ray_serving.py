"""Ray Serve: answers and refusals are those of `saver serve`, also while replicas and a node are killed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
pytest.importorskip("ray.serve")
pytest.importorskip("starlette")
pytest.importorskip("sklearn")

from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError
from ray.serve.exceptions import DeploymentUnavailableError

from saver.errors import CannotReadError
from saver.integrations.ray import application
from saver.integrations.ray.doors import Doors
from saver.integrations.ray.replicas import Replica
from saver.serve.limits import Limits
from saver.serve.settings import Settings
from saver.serve.within import Reply, asked, scope_of

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `ray_serving.py` prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(__file__).parent
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "300",  # of a machine that does other things too
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(folder)]),
    }
    done = subprocess.run(
        [sys.executable, folder / "ray_serving.py", tmp_path_factory.mktemp("serving"), str(port)],
        env=environment, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


def test_answers_and_refusals_are_those_of_saver_serve(found: dict[str, Any]) -> None:
    assert len(found["answers"]) == len(found["beside"])
    for here, beside in zip(found["answers"], found["beside"], strict=True):
        assert here == beside
    assert {status for status, _, _ in found["answers"]} == {200, 400, 403, 404, 405, 413, 415, 422}


def test_orders_to_one_replica_and_its_metrics_are_not_passed_on(found: dict[str, Any]) -> None:
    assert found["orders"] == [404, 404]


def test_no_answer_fails_while_a_tag_moves_and_a_replica_and_a_node_are_killed(found: dict[str, Any]) -> None:
    seen = found["seen"]
    assert seen.keys() == {"200", "version 1", "version 2"}
    assert seen["200"] == seen["version 1"] + seen["version 2"]


def test_a_replica_that_starts_while_the_tag_names_a_bad_version_begins_as_the_others(
    found: dict[str, Any],
) -> None:
    (model,) = found["models"]["models"]
    assert [(each["number"], each["state"]) for each in model["versions"]] == [(2, "current")]


LIVE = (200, {"content-type": "application/json", "content-length": "2"}, b"{}")


class Handle:
    """Behind a door, in the place of replicas: it answers, or raises, what it is given, one after another."""

    def __init__(self, *replies: Any) -> None:
        self.replies, self.asked = list(replies), list[tuple[Any, ...]]()
        self.answer = self

    async def remote(self, *given: Any) -> Reply:
        self.asked.append(given)
        reply = self.replies.pop(0) if self.replies else asyncio.sleep(60)
        if isinstance(reply, Exception):
            raise reply
        return await reply if asyncio.iscoroutine(reply) else reply


def through(
    handle: Handle, client: str = "127.0.0.1", tokens: str | None = None, path: str = "/v2", root: str = ""
) -> tuple[int, Any]:
    """What a door answers."""
    settings = Settings(store="x", names={"m": "m@1"}, tokens=tokens, limits=Limits(seconds=0.1))
    door = Doors(settings, handle).__serve_build_asgi_app__()
    scope = scope_of("POST", root + path, b"a=1", [(b"host", b"x"), (b"x-a", b"1")], (client, 1))
    status, _, body = asyncio.run(asked(door, scope | {"root_path": root}, b"body"))
    return status, json.loads(body)


def test_a_request_whose_replica_dies_is_answered_by_another_one() -> None:
    lost = [ActorDiedError(), ActorUnavailableError("gone", None), ObjectLostError("00", None, "")]
    handle = Handle(*lost, LIVE)
    assert through(handle) == (200, {})
    assert len(handle.asked) == 4
    assert len({id(each[5]) for each in handle.asked}) == 1, "the same body"


def test_no_replica_or_none_in_time_is_said() -> None:
    assert through(Handle(DeploymentUnavailableError(None)))[0] == 503
    status, body = through(Handle())
    assert (status, body["code"]) == (503, "timeout")


def test_without_tokens_only_the_machine_itself_is_served() -> None:
    status, body = through(Handle(LIVE), client="192.0.2.7")
    assert (status, body["code"]) == (403, "forbidden")
    handle = Handle(LIVE)
    assert through(handle, client="192.0.2.7", tokens="tokens.json") == (200, {}), "replicas ask for one"
    assert handle.asked[0][4] == ("192.0.2.7", 1)


def test_replicas_get_the_path_behind_the_prefix() -> None:
    handle = Handle(LIVE)
    assert through(handle, path="/predict/a/b", root="/models") == (200, {})
    method, path, query, headers, _, body = handle.asked[0]
    assert (method, path, query, body) == ("POST", "/predict/a/b", b"a=1", b"body")
    assert dict(headers) | {b"x-request-id": b""} == {
        b"host": b"x", b"x-a": b"1", b"content-length": b"4", b"x-request-id": b"",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/admin/models/m/back", "/metrics", "/", "/store/x", "//v2"])
def test_what_one_replica_alone_could_answer_is_not_there(path: str) -> None:
    handle = Handle(LIVE)
    assert through(handle, path=path)[0] == 404
    assert not handle.asked


def test_what_cannot_be_is_refused_before_anything_is_deployed(tmp_path: Path) -> None:
    for given, text in (
        ({"replicas": (2, 1)}, "replicas: "),
        ({"replicas": (1, 2, 3)}, "replicas: "),
        ({"replicas": 0}, "replicas: "),
        ({"doors": 0}, "doors: "),
        ({"workers": 0}, "workers: "),
        ({"poll": -1}, "poll: "),
        ({"limits": {"row": 3}}, "the limits are"),
        ({"limits": {"rows": 0}}, "rows: "),
        ({"public": ["predict"]}, "without tokens"),
    ):
        with pytest.raises(ValueError, match=text):
            application(tmp_path, "iris@1", **given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one model"):
        application(tmp_path)
    assert application(tmp_path, "iris@1", replicas=(1, 8)) is not None


def test_a_replica_that_can_answer_no_longer_is_replaced(tmp_path: Path) -> None:
    replica = Replica.__new__(Replica)
    from saver.serve.serving import Serving

    replica._serving = Serving(Settings(store=str(tmp_path), names={"iris": "iris@1"}))
    with pytest.raises(CannotReadError, match="iris: no process is left"):
        asyncio.run(replica.check_health())
