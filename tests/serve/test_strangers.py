"""What a client says of wrong addresses, and of servers that are not, or no longer, those of Saver."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharings import shared

import saver
from saver.errors import CannotReadError, CannotWriteError, DamagedError, IncompatibleError
from saver.repo.log import Log
from saver.storages.object.blob import FIRST
from saver.storages.remote import open_storage
from saver.storages.remote.connections import Connections, UnansweredError
from serving import Handler, Server, serving

TOKEN = "saver_" + "0" * 12 + "_" + "s3cret" + "A" * 37


class Fake(Handler):
    """Answers everything with what the server says."""

    def act(self, body: bytes) -> None:
        status, headers, data = self.server.says
        self.server.shown.append(self.headers.get("Authorization"))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def fake() -> Iterator[Any]:
    server: Any = Server(Fake)
    server.shown = []
    with serving(server):
        yield server


def own(code: str, error: str = "no") -> bytes:
    return json.dumps({"error": error, "code": code, "request_id": "1"}).encode()


HTML = {"Content-Type": "text/html"}
OWN = {"saver-store": "1", "saver-size": "1"}


@pytest.mark.parametrize(
    ("says", "kind", "want"),
    [
        ((200, HTML, b"<html>Log in</html>"), CannotReadError, "not `saver serve` \\(200, text/html"),
        ((404, HTML, b"<html>nothing</html>"), CannotReadError, "not `saver serve`"),
        ((403, HTML, b"<html>denied</html>"), CannotReadError, "not `saver serve`"),
        ((302, {"Location": "https://evil.example/"}, b""), CannotReadError, "points elsewhere"),
        ((502, HTML, b"<html>bad gateway</html>"), CannotReadError, "answered 502"),
        ((503, {}, own("overloaded")), CannotReadError, "answered 503"),
        ((429, {"Retry-After": "1"}, own("too-many-requests", "slowly")), CannotReadError, "too often"),
        ((401, {}, own("unauthorized")), CannotReadError, "does not take this token"),
        ((403, {}, own("forbidden", "not you")), CannotReadError, "not you; ask who runs"),
        ((404, {}, own("not-found")), CannotReadError, "shares no store here"),
        ((413, {}, own("too-large", "at most 5")), CannotReadError, "at most 5"),
        ((418, {}, own("teapot", "short and stout")), CannotReadError, "418"),
        ((400, {}, own("other-protocol")), IncompatibleError, "same version of Saver"),
        ((200, {"saver-store": "9"}, b"{}"), IncompatibleError, "protocol '9'"),
        ((200, {"saver-store": "1"}, b"x"), IncompatibleError, "how large"),
        ((200, {**OWN, "saver-size": "9" * 30}, b"x"), IncompatibleError, "how large"),
        ((200, OWN, b"x" * (1 << 20)), CannotReadError, "longer than any"),
        ((206, {**OWN, "saver-size": "9" * 17}, b"{}"), IncompatibleError, "sent 2 of them"),
        ((206, {**OWN, "saver-size": "1"}, b""), IncompatibleError, "sent 0 of them"),
        (
            (200, {**OWN, "Content-Length": "100"}, b"x"),
            CannotReadError,
            "before its answer was whole|in time",
        ),
    ],
)
def test_what_answers_is_named(fake: Any, says: Any, kind: type[Exception], want: str) -> None:
    fake.says = says
    storage = open_storage(f"http://{fake.host}?deadline=0.4", TOKEN)
    with pytest.raises(kind, match=want) as found:
        storage.open("a")
    assert "s3cret" not in str(found.value)
    assert f"{fake.host}/a" in str(found.value)


def test_a_server_that_repeats_the_token_does_not_get_it_shown(fake: Any) -> None:
    fake.says = (403, {}, own("forbidden", f"the token {TOKEN} is bad\x1b[31m"))
    with pytest.raises(CannotReadError) as found:
        open_storage(f"http://{fake.host}", TOKEN).open("a")
    assert "s3cret" not in str(found.value)
    assert "\x1b" not in str(found.value)


@pytest.mark.parametrize(
    "data",
    [b"x", b"{}", b'{"found":[["../a",1,1]]}', b'{"found":[["b",1,1],["a",1,1]]}',
     b'{"found":[["a",1,1],["a",1,1]],"more":true}', b'{"found":[],"more":true}',
     json.dumps({"found": [[f"a{number:05}", 1, 1] for number in range(1001)]}).encode(),
     b'{"stats":[]}', b'{"stats":[[1]]}'],
)  # fmt: skip
def test_a_lying_server_is_found_out(fake: Any, data: bytes) -> None:
    fake.says = (200, {"saver-store": "1"}, data)
    storage = open_storage(f"http://{fake.host}")
    with pytest.raises(IncompatibleError):
        list(storage.list(""))
    with pytest.raises(IncompatibleError):
        list(storage.stats("a"))


def test_a_size_that_a_server_makes_up_costs_nothing(fake: Any) -> None:
    fake.says = (206, {**OWN, "saver-size": "9" * 17}, b"x" * FIRST)
    storage = open_storage(f"http://{fake.host}")
    for key in ("store.json", "log/1", "trees/a", "keys/a"):
        with pytest.raises(IncompatibleError, match="at most"):
            storage.read(key)
    blob = storage.open("packs/a")
    with pytest.raises(DamagedError, match="cut off"):
        blob.read()
    assert len(fake.shown) < 100


def test_records_that_a_server_makes_up_have_an_end(fake: Any) -> None:
    stats = json.dumps({"stats": [[10, 1.0]]}).encode()
    fake.says = (200, {"saver-store": "1"}, stats)
    with pytest.raises(DamagedError, match="no log has so many"):
        Log(open_storage(f"http://{fake.host}")).head()
    assert len(fake.shown) < 100


def test_a_connection_that_was_closed_is_not_tried_again_and_again() -> None:
    """A server that began anew has closed all that are kept: the next request finds it out once."""
    lines = Connections("127.0.0.1", 1, secure=False)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(40)
        lines.port = server.getsockname()[1]
        for _ in range(32):
            line = lines._new()
            line.connect()
            lines._free.append(line)
            server.accept()[0].close()
    with pytest.raises(UnansweredError) as found:
        lines.ask("PUT", "/", b"x", {}, 100)
    assert found.value.sent
    assert lines._free == []


def test_no_server_at_all() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(CannotReadError, match="check the address"):
        saver.Saver(f"http://127.0.0.1:{port}").models()
    with pytest.raises(CannotReadError, match="no such host"):
        saver.Saver("https://nothing.invalid").models()


@pytest.mark.parametrize(
    ("address", "want"),
    [
        ("http://example.com", "http:// is for this machine alone"),
        ("http://127.0.0.1.example.com", "this machine alone"),
        ("https://me:s3cret@example.com", "do not belong into an address"),
        ("https://s3cret@example.com", "do not belong into an address"),
        ("https://example.com?token=s3cret", "not the address of a server"),
        ("https://example.com#s3cret", "not the address of a server"),
        (f"https://example.com/{TOKEN}/", "do not belong into an address"),
        (f"https://example.com?deadline={TOKEN}", "do not belong into an address"),
        (f"https://example.com/{TOKEN.replace('_', '%5f')}", "do not belong into an address"),
        ("https://example.com?deadline=saver_s3cret", "not a number of seconds"),
        ("http://example.com/saver_s3cret", "this machine alone"),
        ("https://example.com?deadline=0", "not a number of seconds"),
        ("https://example.com:x", "not an address"),
        ("https://", "not the address of a server"),
    ],
)
def test_addresses_that_cannot_be(address: str, want: str) -> None:
    with pytest.raises(ValueError, match=want) as found:
        saver.Saver(address)
    assert "s3cret" not in str(found.value)


@pytest.mark.parametrize("given", ["s3cret\nX-Evil: 1", "saver_s3cret", 7, b"s3cret", "/no/such/s3cret"])
def test_tokens_that_cannot_be(given: Any, monkeypatch: Any) -> None:
    with pytest.raises(ValueError, match="token") as found:
        saver.Saver("https://example.com", token=given)
    assert "s3cret" not in str(found.value)
    with pytest.raises(ValueError, match="address of a server"):
        saver.Saver("models", token=TOKEN)
    monkeypatch.setenv("SAVER_TOKEN", "two words")
    with pytest.raises(ValueError, match="has not the form"):
        saver.Saver("https://example.com")


def test_https_verifies_whom_it_asks(tmp_path: Path, monkeypatch: Any) -> None:
    certificate, key = _certificate(tmp_path)
    with shared(str(tmp_path / "store"), certificate=certificate, private_key=key) as running:
        address = f"https://localhost:{running.port}"
        with pytest.raises(CannotReadError, match="cannot be trusted"):
            saver.Saver(address).models()
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        store = saver.Saver(address)
        store.save("iris", {"w": np.arange(2_000_000.0)})
        assert store.load("iris")["w"][5] == 5
        with pytest.raises(CannotReadError, match="cannot be trusted"):
            saver.Saver(f"https://127.0.0.1:{running.port}").models()  # not the name in the certificate
    with shared(str(tmp_path / "store")) as running, pytest.raises(CannotReadError, match="no TLS"):
        saver.Saver(f"https://localhost:{running.port}").models()


def test_a_server_with_tls_does_not_wait_for_idle_clients(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("asyncio.constants.SSL_SHUTDOWN_TIMEOUT", 1e6)
    certificate, key = _certificate(tmp_path)
    settings: dict[str, Any] = {"certificate": certificate, "private_key": key, "drain": 1e6}
    idle = []
    with shared(str(tmp_path / "store"), **settings) as running:  # which ends within `PATIENCE`
        trusted = ssl.create_default_context(cafile=certificate)
        for _ in range(3):
            idle.append(HTTPSConnection("localhost", running.port, context=trusted, timeout=50))
            idle[-1].request("GET", "/v2/health/live")
            assert idle[-1].getresponse().read()
    for each in idle:
        each.close()


def test_clients_without_a_certificate_of_an_authority_are_not_let_in(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    settings: dict[str, Any] = {"certificate": certificate, "private_key": key, "authorities": certificate}
    with shared(str(tmp_path / "store"), **settings) as running:
        trusted = ssl.create_default_context(cafile=certificate)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _alive(running.port, trusted)
        trusted.load_cert_chain(certificate, key)
        assert _alive(running.port, trusted) == 200


def _alive(port: int, trusted: ssl.SSLContext) -> int:
    line = HTTPSConnection("localhost", port, context=trusted, timeout=50)
    try:
        line.request("GET", "/v2/health/live")
        return line.getresponse().status
    finally:
        line.close()


def _certificate(folder: Path) -> tuple[str, str]:
    """A certificate for localhost, and its key."""
    pytest.importorskip("cryptography")
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(paths[0]), str(paths[1])


# Killed in the middle

SAVER = """
import sys, numpy as np, saver
store = saver.Saver(sys.argv[1])
for number in range(1000):
    store.save("iris", {"w": np.random.default_rng(number).random(400_000), "n": number})
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_killed_client_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with shared(str(tmp_path / "store")) as running:
        for wait in (0.0, 0.02, 0.05):
            client = subprocess.Popen(
                [sys.executable, "-c", SAVER, running.server.address], stdout=subprocess.PIPE, text=True
            )
            assert client.stdout is not None
            before = len(_numbers(tmp_path))
            for _ in range(2):
                client.stdout.readline()
            time.sleep(wait)
            client.kill()
            rest = client.stdout.read().split()
            client.stdout.close()
            client.wait()
            assert len(_numbers(tmp_path)) - before >= 2 + len(rest)
            store = saver.Saver(tmp_path / "store")
            assert store.check().sound
        _until_idle(running)
        sharing: Any = running.server._sharing
        assert (sharing._spool.held, running.server.house.bodies.held) == (0, 0)


def _numbers(folder: Path) -> list[int]:
    store = saver.Saver(folder / "store")
    return [each.number for each in store.versions("iris")] if store.exists() else []


def _until_idle(running: Any) -> None:
    end = time.monotonic() + 30
    while running.server.house.requests or running.server._sharing._spool.held:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_killed_server_leaves_nothing_half_written(tmp_path: Path) -> None:
    """It is killed while it receives and writes, and started again: savers go on with it."""
    store, port = tmp_path / "store", _free_port()
    saver.Saver(store).save("iris", {"w": 0, "n": -1})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    server = _started(store, port, temporary)
    client = subprocess.Popen(
        [sys.executable, "-c", SAVER, f"http://127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True
    )
    assert client.stdout is not None
    try:
        acknowledged = 0
        for wait in (0.0, 0.03):
            acknowledged = int(client.stdout.readline())
            time.sleep(wait)
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            assert [*temporary.iterdir()] == []
            server = _started(store, port, temporary)
        acknowledged = int(client.stdout.readline())
        assert acknowledged == 2
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
    local = saver.Saver(store)
    numbers = [local.load(each)["n"] for each in local.versions("iris")]
    assert {0, 1, 2} <= set(numbers)
    assert len(numbers) == len(set(numbers))
    assert local.check().sound


def _free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def _started(store: Path, port: int, temporary: Path) -> Any:
    line = [sys.executable, "-m", "saver", "serve", "--store", str(store), "--port", str(port)]
    server = subprocess.Popen(
        [*line, "--share", "checked"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert server.stdout is not None
    assert "is shared at" in server.stdout.readline()
    server.stdout.close()
    return server


def test_a_write_that_the_disk_refuses_is_an_error_at_once(tmp_path: Path) -> None:
    with shared(str(tmp_path / "store")) as running:
        store = saver.Saver(running.server.address)
        store.save("iris", 1)
        kept: Any = running.server._sharing
        broken = _Full(kept._keeper.outer)
        kept._keeper.outer = broken
        with pytest.raises(CannotWriteError, match="No space"):
            store.save("iris", 2)


class _Full:
    """A storage on a full disk."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def create(self, key: str, data: bytes) -> bool:
        raise CannotWriteError(f"{self._storage}/{key}: No space left on device; free some")
