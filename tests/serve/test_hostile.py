"""Clients that mean harm: what they send is refused within bounds, and others are answered meanwhile."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
import zlib
from typing import Any

import pytest
from irises import X
from visits import PATIENCE, Running, Serve

import saver
from saver.serve.limits import Limits

ROWS = {"rows": X[:1].tolist()}
HEAD = b"POST /predict/iris HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def healthy(running: Running) -> None:
    found = running.ask("/predict/iris", ROWS)
    assert found.status == 200, found


def test_a_header_that_never_ends(narrow: Running) -> None:
    for start in (b"", b"POST /predict", HEAD, HEAD + b"x: y"):
        found = narrow.raw(start)
        assert found.startswith(b"HTTP/1.1 408"), found
    healthy(narrow)


def test_a_slow_header_between_requests_of_one_connection(narrow: Running) -> None:
    body = json.dumps(ROWS).encode()
    whole = HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body
    found = narrow.raw(whole, b"POST /pred")
    assert found.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in found


def test_a_header_without_bounds(shared: Running) -> None:
    for long in (b"GET /" + b"a" * 100_000, HEAD + b"x: " + b"y" * 100_000, HEAD + b"x: y\r\n" * 20_000):
        found = shared.raw(long)
        assert found.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400")) or found == b""
    healthy(shared)


def test_a_header_that_is_too_long_is_refused_in_however_many_pieces(shared: Running) -> None:
    body = json.dumps(ROWS).encode()
    end = f"\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    most = Limits().header_bytes
    for filler in (b"x: " + b"y" * most, b"x:" + b" " * most + b"y", b"\r\n".join([b"x: y"] * (most // 6))):
        whole = HEAD + filler + end
        for pieces in ([whole], [whole[:9], whole[9:]], [whole[:most], whole[most:]]):
            found = shared.raw(*pieces)
            assert found.startswith(b"HTTP/1.1 431"), found
            assert found.count(b"HTTP/1.1") == 1
    line = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    found = shared.raw(line + HEAD + b"x: " + b"y" * most + end)
    assert b"HTTP/1.1 431" in found or found.count(b"HTTP/1.1 200") == 1
    fits = HEAD + b"connection: close\r\nx: " + b"y" * (most - len(HEAD) - 60) + end
    assert shared.raw(fits).startswith(b"HTTP/1.1 200")
    assert not any(each.transport.is_closing() for each in connections(shared))
    healthy(shared)


def connections(running: Running) -> list[Any]:
    listening = running.server._listening
    assert listening is not None
    return list(listening.config.http_protocol_class.waiting)  # type: ignore[attr-defined]


def test_a_request_with_two_lengths_is_the_last_of_its_connection(shared: Running) -> None:
    body = json.dumps(ROWS).encode()
    chunked = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    head = HEAD + b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n" % len(chunked)
    found = shared.raw(head + chunked + HEAD + b"content-length: 0\r\n\r\n")
    assert found.count(b"HTTP/1.1") == 1
    assert b"connection: close" in found.lower()


@pytest.mark.parametrize(
    "line",
    [
        b"\0\0\0\0\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
        HEAD + b"content-length: 1\r\ntransfer-encoding: gzip\r\n\r\n",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_http(shared: Running, line: bytes) -> None:
    found = shared.raw(line, half=True)
    assert found == b"" or found.split()[1] in (b"400", b"501", b"403", b"413"), found
    healthy(shared)


def test_a_body_that_stops(narrow: Running) -> None:
    found = narrow.raw(HEAD + b"content-length: 1000\r\n\r\n{")
    assert found.startswith(b"HTTP/1.1 408"), found
    assert narrow.server.house.bodies.held == 0
    healthy(narrow)


def test_a_body_that_trickles(narrow: Running) -> None:
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=PATIENCE) as line:
        line.sendall(HEAD + b"content-length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                line.sendall(b"[")
                time.sleep(0.02)
        with contextlib.suppress(ConnectionError):
            assert line.recv(100).startswith(b"HTTP/1.1 408")


def test_a_length_that_is_too_large_is_refused_before_the_body(shared: Running) -> None:
    found = shared.raw(HEAD + b"content-length: 99999999999\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 413"), found
    assert b"connection: close" in found.lower()


def test_a_body_in_pieces_that_is_too_large(narrow: Running) -> None:
    piece = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    found = narrow.raw(HEAD + b"transfer-encoding: chunked\r\n\r\n", *[piece] * 300)
    assert found.startswith(b"HTTP/1.1 413"), found
    assert narrow.server.house.bodies.held == 0


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_not_unpacked(shared: Running, coding: str) -> None:
    many = b" " * 200_000_000
    bomb = gzip.compress(many, 1) if coding == "gzip" else zlib.compress(many, 1)
    assert len(bomb) < 1_000_000
    found = shared.ask("/predict/iris", bomb, {"content-encoding": coding})
    assert found.status == 413, found
    assert shared.server.house.bodies.held == 0


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[[[[", b"nul", b'{"rows": [[1,2,3,NaN]]}', b'{"rows": [[1,2,3,Infinity]]}', b"\xff\xfe",
        b'{"rows": 1, "rows": [[1,2,3,4]]}', b'{"rows": [{"a": 1, "a": 2}]}', b'"rows"', b"12", b"null",
        b"[" * 100_000, b'{"a":' * 100_000, b"[" * 50 + b"]" * 50,
        b'{"rows": [[1,2,3,' + b"9" * 5000 + b"]]}",
        b'{"rows": []}', b'{"rows": {}}', b'{"rows": [[]]}', b'{"rows": [[[1,2,3,4]]]}', b'{"rows": [null]}',
        b'{"rows": [[1,2,3]]}', b'{"rows": [[1,2,3,4,5]]}', b'{"rows": [[1,2,3,"4"]]}',
        b'{"rows": [[1,2,3,true]]}',
        b'{"rows": [[1,2,3,1e999]]}', b'{"rows": [[1,2,3,null]]}', b'{"rows": [{"\\ud800": 1}]}',
        b'{"\\u0000": 1}',
        b'{"__proto__": {}, "rows": []}', b'{"rows": [["__class__", 1, 2, 3]]}',
    ],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_malformed_json(shared: Running, data: bytes) -> None:
    found = shared.ask("/predict/iris", data)
    assert found.status in (400, 413, 422), found
    assert found.json["error"]
    assert len(found.data) < 20_000
    healthy(shared)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"a,b\n1", b'"1,2', b"1,2,3,4\n1,2", b"a,a,a,a\n1,2,3,4", b"1,2,3,x", b"1\0,2,3,4",
        b"," * 9999,
    ],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_malformed_csv(shared: Running, data: bytes) -> None:
    found = shared.ask("/predict/iris", data, {"content-type": "text/csv"})
    assert found.status in (400, 413, 422), found
    healthy(shared)


def test_more_rows_than_are_served(shared: Running) -> None:
    many = Limits().rows + 1
    assert shared.ask("/predict/iris", {"rows": [[1, 2, 3, 4]] * many}).status == 413
    csv = b"1,2,3,4\n" * (many + 1)
    assert shared.ask("/predict/iris", csv, {"content-type": "text/csv"}).status == 413


@pytest.mark.parametrize(
    "path",
    [
        "/predict/../etc/passwd", "/predict/%2e%2e/iris", "/predict/iris/../../admin", "/predict/iris%00",
        "/predict/", "/predict//iris", "/predict/iris;x", "/predict/IRIS",
        "/v2/models/iris/versions/-1/infer",
        "/v2/models/iris/versions/99999999999999999999999/infer", "/v2/models/iris/versions/1.0/infer",
        "/v2/models/iris/versions/٣/infer", "/predict/iris@3", "/predict/store.json", "/static/../x", "//",
    ],
)  # fmt: skip
def test_path_tricks(shared: Running, path: str) -> None:
    from urllib.parse import quote

    found = shared.ask(quote(path, safe="/%;@"), ROWS)
    assert found.status in (400, 404, 405), found
    assert b"Traceback" not in found.data


def test_other_methods(shared: Running) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"):
        found = shared.ask("/predict/iris", method=method)
        assert found.status == 405, (method, found)
        assert found.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "target", ["*", "x", "http://localhost/predict/iris", "localhost:80", "/a%0Ab", "/%0A", "//"]
)
def test_what_fits_no_pattern_passes_the_door_too(shared: Running, target: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "FOO"):
        head = f"{method} {target} HTTP/1.1\r\nhost: localhost\r\nx-request-id: mine\r\n\r\n"
        found = shared.raw(head.encode(), half=True)
        assert found.startswith(b"HTTP/1.1 405" if method == "FOO" else b"HTTP/1.1 404"), found
        assert b"x-request-id: mine" in found
        assert b'"request_id":"mine"' in found


def test_a_half_closed_client_still_gets_its_answer(shared: Running) -> None:
    body = json.dumps(ROWS).encode()
    found = shared.raw(HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body, half=True)
    assert found.startswith(b"HTTP/1.1 200"), found
    assert found.endswith(b"]}]}") or b"predictions" in found


def test_clients_that_leave_at_every_byte(shared: Running) -> None:
    body = json.dumps(ROWS).encode()
    whole = HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body
    for end in range(0, len(whole), 7):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE) as line:
            line.sendall(whole[:end])
    healthy(shared)
    for _ in range(200):
        if shared.server.house.bodies.held == 0:
            break
        time.sleep(0.05)
    assert shared.server.house.bodies.held == 0


def test_a_page_of_a_stranger_reaches_nothing(shared: Running) -> None:
    for headers in (
        {"host": "evil.example"},
        {"host": "evil.example:80"},
        {"origin": "https://evil.example"},
    ):
        assert shared.ask("/predict/iris", ROWS, headers).status == 403
    same = f"127.0.0.1:{shared.port}"
    assert shared.ask("/predict/iris", ROWS, {"host": same, "origin": f"http://{same}"}).status == 200


def test_idle_connections_do_not_keep_others_out(ready_store: saver.Saver, serve: Serve) -> None:
    running = serve(ready_store, limits=Limits(connections=20))
    place = ("127.0.0.1", running.port)
    held = [socket.create_connection(place, timeout=PATIENCE) for _ in range(60)]
    try:
        for _ in range(5):
            healthy(running)
        listening = running.server._listening
        assert listening is not None
        assert len(listening.server_state.connections) <= 21
    finally:
        for line in held:
            line.close()


def test_a_client_that_does_not_read_its_answer(narrow: Running) -> None:
    body = json.dumps({"rows": [X[0].tolist()] * 10_000}).encode()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.settimeout(PATIENCE)
        line.connect(("127.0.0.1", narrow.port))
        whole = HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body
        with contextlib.suppress(ConnectionError):
            line.sendall(whole * 20)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not narrow.server.metrics.value(
            "saver_refusals_total", reason="slow-reader", model=""
        ):
            time.sleep(0.05)
    assert narrow.server.metrics.value("saver_refusals_total", reason="slow-reader", model="")
    healthy(narrow)


def test_all_bodies_together_are_bounded(ready_store: saver.Saver, serve: Serve) -> None:
    """By what has come: a length that is only promised keeps nobody out."""
    running = serve(ready_store, limits=Limits(body_bytes=1000, bodies_bytes=2500, requests=3))
    place = ("127.0.0.1", running.port)
    lines = [socket.create_connection(place, timeout=PATIENCE) for _ in range(20)]
    try:
        for line in lines:
            line.sendall(HEAD + b"content-length: 1000\r\n\r\n{")
        while running.server.house.bodies.held < 20:
            time.sleep(0.01)
        healthy(running)
        for line in lines[:2]:
            line.sendall(b" " * 998)
        while running.server.house.bodies.held < 2000:
            time.sleep(0.01)
        found = running.raw(HEAD + b"content-length: 1000\r\n\r\n" + b" " * 900)
        assert found.startswith(b"HTTP/1.1 503"), found
        assert b"retry-after" in found.lower()
        assert running.server.house.requests == 0
        healthy(running)
    finally:
        for line in lines:
            line.close()


def test_connections_that_wait_after_an_answer_or_in_a_body_keep_nobody_out(
    ready_store: saver.Saver, serve: Serve
) -> None:
    running = serve(ready_store, limits=Limits(connections=10))
    place = ("127.0.0.1", running.port)
    lines = [socket.create_connection(place, timeout=PATIENCE) for _ in range(10)]
    try:
        for at, line in enumerate(lines):
            live = b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
            line.sendall(live if at % 2 else HEAD + b"content-length: 9\r\n\r\n{")
            if at % 2:
                assert line.recv(1000).startswith(b"HTTP/1.1 200")
        for _ in range(20):
            healthy(running)
    finally:
        for line in lines:
            line.close()
