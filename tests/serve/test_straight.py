"""Requests that are answered without h11, ASGI and a task: read as h11 reads them, and answered the same."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import time
from typing import Any

import h11
import numpy as np
import pytest
from irises import X
from visits import PATIENCE, Running, until

import saver
from saver.serve import protocol
from saver.serve.generation import Worker
from saver.serve.plain import plain
from saver.serve.straight import Straight

ROWS = json.dumps({"rows": X[:1].tolist()}).encode()
TENSOR = {"name": "input", "shape": [2, 4], "datatype": "FP64", "data": X[:2].ravel().tolist()}
MOST = 1000


def request(
    body: bytes = ROWS, path: str = "/predict/iris", type: str = "application/json", more: str = ""
) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {type}\r\n{more}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def by_h11(data: bytes) -> tuple[bytes, dict[str, str], bytes] | None:
    """What h11 makes of all of `data`; None unless that is one whole request."""
    line = h11.Connection(h11.SERVER)
    line.receive_data(data)
    body, head = b"", None
    while True:
        try:
            event = line.next_event()
        except h11.RemoteProtocolError:
            return None
        if isinstance(event, h11.Request):
            assert event.method == b"POST"
            assert event.http_version == b"1.1"
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            return None
    assert head is not None
    headers = {name.decode(): value.decode() for name, value in head.headers}
    if line.trailing_data[0] or len(headers) != len(head.headers):
        return None
    return head.target, headers, body


def test_what_is_plain_is_read_as_h11_reads_it() -> None:
    whole = request(b"{}", path="/predict/iris?a=b", more="Connection: keep-alive\r\nx-a:  b c  \r\n")
    assert plain(whole, MOST) is not None
    changes = [
        b"",
        b"\0",
        b"\t",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"0",
        b"9",
        b"~",
        b"\x7f",
        b"\xe9",
        b"\r\n",
        b"a: b\r\n",
    ]
    taken = 0
    for at in range(len(whole) + 1):
        for change in changes:
            for data in (whole[:at] + change + whole[at:], whole[:at] + change + whole[at + 1 :]):
                found = plain(data, MOST)
                if found is not None and not found.missing:
                    assert found[:3] == by_h11(data), data
                    taken += 1
    assert taken > 500  # most of them change a value, the address or the body


@pytest.mark.parametrize(
    "more",
    ["transfer-encoding: chunked\r\n", "content-encoding: gzip\r\n", "expect: 100-continue\r\n",
     "connection: close\r\n", "connection: upgrade\r\nupgrade: h2c\r\n", "content-length: 2\r\n", "te: a\r\n",
     "host: b\r\n", "x: a\r\nX: b\r\n", f"x: {'y' * MOST}\r\n"],
)  # fmt: skip
def test_what_needs_thought_is_not_plain(more: str) -> None:
    assert plain(request(b"{}"), MOST) is not None
    assert plain(request(b"{}", more=more), MOST) is None


def test_how_much_is_missing() -> None:
    whole = request()
    for end in range(len(whole)):
        found = plain(whole[:end], MOST)
        start = len(whole) - len(ROWS)
        assert (None if found is None else found.missing) == (None if end < start else len(whole) - end)
    assert plain(whole + b"x", MOST) is None


@pytest.fixture
def straight(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The addresses that were answered so."""
    found: list[bytes] = []
    real = Straight.answer

    def answer(self: Straight, door: Any, request: Any, *rest: Any) -> None:
        found.append(request.target)
        real(self, door, request, *rest)

    monkeypatch.setattr(Straight, "answer", answer)
    return found


def told(answer: bytes) -> bytes:
    """An answer without what is of one request or moment."""
    for pattern in (rb"x-request-id: [0-9a-f]{16}", rb'"request_id":"[0-9a-f]{16}"', rb"date: [^\r]*"):
        answer = re.sub(pattern, b"", answer)
    return answer


def answered(line: socket.socket) -> bytes:
    """One answer."""
    found = b""
    while not (ended := re.search(rb"content-length: (\d+)\r\n(?:[^\r]+\r\n)*\r\n", found)) or (
        len(found) < ended.end() + int(ended[1])
    ):
        found += (got := line.recv(65536))
        assert got
    return found


V2 = "/v2/models/iris/infer"
REQUESTS = {
    "rows": request(), "output": request(path="/predict/iris?outputs=prediction"),
    "csv": request(b"1,2,3,4\n5,6,7,8\n", type="text/csv"), "form": request(type="text/x-unknown"),
    "v2": request(json.dumps({"inputs": [TENSOR]}).encode(), V2), "v2 bad": request(b'{"inputs": []}', V2),
    "no output": request(path="/predict/iris?outputs=x"),
    "no version": request(path="/predict/iris?version=9"),
    "bad version": request(path="/predict/iris?version=x"), "bad json": request(b"{"),
    "bad rows": request(b'{"rows": [[1, 2, 3, "four"]]}'), "no rows": request(b'{"rows": []}'),
    "empty": request(b""), "deep": request(b"[" * 100 + b"]" * 100),
    "not there": request(path="/predict/none"),
    "id": request(more="x-request-id: mine\r\n"),
    "other host": request(more="").replace(b"localhost", b"evil"),
    "other origin": request(more="origin: https://evil\r\n"),
    "fields": request(path="/predict/iris?" + "a=b&" * 40),
}  # fmt: skip


@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
def test_answers_are_those_of_the_long_way(shared: Running, straight: list[bytes], data: bytes) -> None:
    asked = len(straight)
    with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as line:
        line.sendall(data)
        short = answered(line)
    assert len(straight) == asked + (b"/none" not in data)
    with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as line:
        line.sendall(data.replace(b"\r\nhost:", b"\r\nx-long:way\r\nhost:"))  # which is not plain
        long = answered(line)
    assert len(straight) == asked + (b"/none" not in data)
    assert told(short) == told(long)
    assert shared.server.house.requests == shared.server.house.bodies.held == 0


def lines(running: Running) -> list[Any]:
    """The connections of a server."""
    listening = running.server._listening
    assert listening is not None
    return list(listening.server_state.connections)


def test_a_body_that_follows_its_header(
    shared: Running, straight: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "SOON", PATIENCE)
    data = request()
    end = len(data) - len(ROWS)
    for pieces in ((data[:end], data[end:]), (data[: end + 5], data[end + 5 :])):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(3):
                for piece in pieces:
                    line.sendall(piece)
                    time.sleep(0.002)
                assert answered(line).startswith(b"HTTP/1.1 200")
    assert len(straight) == 6


def test_a_body_that_comes_later(
    shared: Running, straight: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "SOON", 0.0)
    data = request()
    with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as line:
        for _ in range(2):
            line.sendall(data[:-5])
            until(lambda: any(each.conn.their_state is h11.SEND_BODY for each in lines(shared)))
            line.sendall(data[-5:])
            assert line.recv(65536).startswith(b"HTTP/1.1 200")
        assert not straight
        line.sendall(data)  # and then the plainest form again
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
    assert straight


def test_a_header_whose_body_never_comes(shared: Running) -> None:
    assert shared.raw(request()[:-5], half=True) == b""
    assert shared.raw(request(), half=True).startswith(b"HTTP/1.1 200")
    assert shared.server.house.requests == shared.server.house.bodies.held == 0


def test_requests_that_follow_each_other_are_answered_in_order(
    shared: Running, straight: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Worker.run

    def late(self: Worker, *batch: Any) -> None:
        asyncio.get_running_loop().call_later(0.05, real, self, *batch)

    monkeypatch.setattr(Worker, "run", late)
    asked = [request(json.dumps({"rows": X[:many].tolist()}).encode()) for many in (1, 3, 2, 5, 4)]
    for pieces in (
        [b"".join(asked)],
        asked,
        [asked[0], b"".join(asked[1:])],
        [asked[0] + asked[1][:50], b"".join(asked)[len(asked[0]) + 50 :]],
    ):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as line:
            for piece in pieces:
                line.sendall(piece)
                if piece == asked[0]:
                    until(lambda: straight)
            found = b""
            straight.clear()
            while found.count(b"]}]}") < len(asked):
                found += (got := line.recv(65536))
                assert got
        counts = [
            len(json.loads(each)["predictions"]) for each in re.findall(rb"\r\n\r\n({.*?\]}\]})", found)
        ]
        assert counts == [1, 3, 2, 5, 4], found


LONG = request().replace(b"\r\nhost:", b"\r\nx-long:way\r\nhost:")


@pytest.mark.parametrize("asked", [[*each] for each in itertools.product([request(), LONG], repeat=3)])
def test_all_that_a_half_closed_client_has_asked_is_answered(shared: Running, asked: list[bytes]) -> None:
    whole = b"".join(asked)
    for end, answers in ((len(whole), 3), (len(whole) - 1, 2), (len(whole) - len(asked[-1]) + 2, 2)):
        for cut in (0, 9, len(asked[0])):
            found = shared.raw(*filter(None, (whole[:cut], whole[cut:end])), half=True)
            assert found.count(b"HTTP/1.1 200") == found.count(b"HTTP/1.1 ") == answers, (end, cut, found)
    assert shared.server.house.requests == shared.server.house.bodies.held == 0


def test_an_end_lets_what_has_begun_finish(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    data = request()
    monkeypatch.setattr(shared.server.house, "ending", True)
    monkeypatch.setattr(protocol, "SOON", PATIENCE)
    with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as line:
        line.sendall(data[:-5])  # kept, as its body is likely to come
        shared.call(_shut_down(shared))
        line.sendall(data[-5:])
        answer = answered(line)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert line.recv(10) == b""


async def _shut_down(running: Running) -> None:
    """What the server does to each connection when it ends."""
    while not any(each._begun for each in lines(running)):
        await asyncio.sleep(0)
    for each in lines(running):
        each.shutdown()


def test_a_defect_closes_the_line_and_no_more(
    shared: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> bytes:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(protocol, "written", broken)
        assert shared.raw(request()) == b""
    assert "ZeroDivisionError" in caplog.text
    assert shared.raw(request(), half=True).startswith(b"HTTP/1.1 200")


def test_answers_are_those_of_the_version(shared: Running, ready_store: saver.Saver) -> None:
    rows = json.dumps({"rows": X.tolist()}).encode()
    answer = json.loads(shared.raw(request(rows), half=True).partition(b"\r\n\r\n")[2])
    predictor = ready_store.predictor("iris@production")
    wanted = predictor.predict(predictor.from_rows(X.tolist()))
    for name, column in wanted.items():
        assert np.array_equal([row[name] for row in answer["predictions"]], column)
