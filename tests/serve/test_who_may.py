"""Tokens: who gets in, to what, how often, and what is kept of them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from irises import X
from visits import Running, Serve

import saver
from saver.errors import IncompatibleError, NotFoundError
from saver.loopback import is_loopback
from saver.serve import tokens
from saver.serve.refusals import Refusal
from saver.serve.settings import BadSettingsError, Settings, limits_of, names_of
from saver.serve.tokens import Bucket, Gate, Token, add_token, read_tokens, revoke_token

ROWS = {"rows": X[:1].tolist()}


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def refused(gate: Gate, header: str | None, right: Any = "predict", model: str | None = "iris") -> str:
    with pytest.raises(Refusal) as caught:
        gate.admit(header, right, model, "1.2.3.4")
    return caught.value.reason


def test_a_file_keeps_hashes_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    text, token = add_token(path, "ann", ["predict:iris"], days=1, rate=5)
    assert text.rpartition("_")[2] not in path.read_text()
    assert text.partition("_")[2].partition("_")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_tokens(path) == (token,)
    assert token.expires is not None
    assert token.expires > time.time()


def test_scopes(tmp_path: Path) -> None:
    held = {right: Token(id="", name="", hash="", scopes=(right,), made=0) for right in tokens.RIGHTS}
    for given, token in held.items():
        for right in tokens.RIGHTS:
            for model in (None, "iris"):
                assert token.may(right, model) == (given in (right, "admin"))
    some = Token(id="", name="", hash="", scopes=("predict:team/*", "read:iris", "admin:rose"), made=0)
    assert some.may("predict", "team/bert")
    assert not some.may("predict", "iris")
    assert not some.may("predict", None)
    assert some.may("read", "iris")
    assert not some.may("read", None)
    assert some.may("predict", "rose")
    assert not some.may("admin", "iris")
    for wrong in ("", "predict:", "root", "predict iris", ":iris"):
        with pytest.raises(ValueError, match="scope"):
            add_token(tmp_path / "t", "x", [wrong])


def test_what_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens.json"
    text, token = add_token(path, "ann", ["predict:iris"], days=1)
    monkeypatch.setattr(Gate, "LOOK", -1)
    monkeypatch.setattr(tokens, "FAILURES", 10_000.0)
    gate = Gate(path)
    assert gate.admit(f"Bearer {text}", "predict", "iris", "") == token
    assert gate.admit(f"bearer  {text} ", "predict", "iris", "") == token
    assert refused(gate, f"Bearer {text}", "predict", "rose") == "forbidden"
    assert refused(gate, f"Bearer {text}", "admin", "iris") == "forbidden"
    number, secret = text.split("_", 2)[1:]
    for wrong in (
        None, "", text, f"Basic {text}", "Bearer", f"Bearer {text}x", f"Bearer {text[:-1]}",
        f"Bearer saver_{number}_{'A' * 43}", f"Bearer saver_{'0' * 12}_{secret}", f"Bearer {token.hash}",
        f"Bearer saver_{number}_{token.hash[:43]}", f"Bearer {text}\0", "Bearer " + "a" * 10_000,
    ):  # fmt: skip
        assert refused(gate, wrong) == "unauthorized", wrong
    monkeypatch.setattr(time, "time", lambda: token.made + 2 * 86400)
    assert refused(gate, f"Bearer {text}") == "unauthorized"


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "LOOK", -1)
    path = tmp_path / "tokens.json"
    gate = Gate(path)
    assert refused(gate, "Bearer x") == "unauthorized"
    text, _ = add_token(path, "ann", ["predict"])
    assert gate.admit(f"Bearer {text}", "predict", "iris", "") is not None
    add_token(path, "bob", ["predict"])
    revoke_token(path, "ann")
    assert refused(gate, f"Bearer {text}") == "unauthorized"
    os.remove(path)
    assert refused(gate, f"Bearer {text}") == "unauthorized"
    with pytest.raises(NotFoundError):
        revoke_token(path, "ann")


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"tokens": 1}', b'{"tokens": [{}]}', b'{"other": []}', b"\xff"]
)
def test_a_file_that_is_not_one_of_tokens(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "tokens.json").write_bytes(data)
    with pytest.raises(IncompatibleError, match="tokens"):
        Gate(tmp_path / "tokens.json")


def test_a_file_that_breaks_lets_nobody_new_in_and_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is half written by an editor must neither open the door nor end the server."""
    monkeypatch.setattr(Gate, "LOOK", -1)
    path = tmp_path / "tokens.json"
    text, _ = add_token(path, "ann", ["predict"])
    gate = Gate(path)
    path.write_bytes(b"{")
    assert gate.admit(f"Bearer {text}", "predict", "iris", "") is not None
    assert refused(gate, "Bearer x") == "unauthorized"


def test_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    bucket = Bucket(2.0)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.5]
    now += 0.5
    assert [bucket.take(), bucket.take()] == [0, 0.5]
    now += 1000
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.5]


def test_guessing_is_slowed_down_for_the_guesser_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    text, token = add_token(path, "ann", ["predict"])
    gate = Gate(path)
    found = [refused(gate, f"Bearer {at}") for at in range(30)]
    assert found[:10] == ["unauthorized"] * 10
    assert set(found[10:]) == {"too-many-requests"}
    assert gate.admit(f"Bearer {text}", "predict", "iris", "1.2.3.4") == token
    for at in range(2 * tokens.FORGOTTEN):
        with pytest.raises(Refusal):
            gate.admit(None, "predict", "iris", f"address {at}")
    assert len(gate._failures) <= tokens.FORGOTTEN


def test_a_server_with_tokens(ready_store: saver.Saver, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    ann, _ = add_token(path, "ann", ["predict:iris"])
    eve, _ = add_token(path, "eve", ["predict:rose"], rate=1000)
    bob, _ = add_token(path, "bob", ["read"], rate=1)
    running = serve(ready_store, tokens=str(path), terse=True, host="127.0.0.1")
    assert running.ask("/v2/health/live").status == 200
    for address in ("/models", "/metrics", "/openapi.json", "/v2", "/v2/models/iris", "/nothing"):
        found = running.ask(address)
        assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer"), address
    assert running.ask("/predict/iris", {"rows": [[1, 2, 3, "x"]]}).json["error"] == "a token is needed"
    assert running.ask("/predict/iris", ROWS, bearer(ann)).status == 200
    assert running.ask("/predict/iris", {"rows": [1]}, bearer(ann)).json["problems"]
    assert running.ask("/predict/iris", ROWS, bearer(eve)).status == 403
    assert running.ask("/predict/rose", ROWS, bearer(eve)).status == 404
    assert running.ask("/admin/models/iris/back", {}, bearer(ann)).status == 403
    assert running.ask("/models", headers=bearer(bob)).status == 200
    again = running.ask("/models", headers=bearer(bob))
    assert again.status == 429
    assert int(again.headers["retry-after"]) >= 1


def test_what_is_public_and_what_strangers_learn(
    ready_store: saver.Saver, serve: Serve, tmp_path: Path
) -> None:
    running = serve(ready_store, tokens=str(tmp_path / "none.json"), public=("predict:iris",), terse=True)
    assert running.ask("/predict/iris", ROWS).status == 200
    found = running.ask("/predict/iris", {"rows": [[1, 2, 3, "x"]]})
    assert found.status == 422
    assert found.json.keys() == {"error", "code", "request_id"}
    assert found.json["error"] == "the rows do not fit the model"
    assert running.ask("/models").status == 401
    assert running.ask("/predict/iris", ROWS, bearer("saver_x")).status == 401


@pytest.mark.slow
def test_an_admin_of_some_models_learns_nothing_of_others(
    store: saver.Saver, serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.json"
    ann, _ = add_token(path, "ann", ["admin:ro*"])
    running = serve(store, "iris@production", "rose=iris@2", tokens=str(path))
    assert running.ask("/models", headers=bearer(ann)).status == 403
    orders = {
        "canary": {"percent": 0}, "shadow": {"version": None}, "change": {"version": 3}, "back": {},
    }  # fmt: skip
    for act, order in orders.items():
        found = running.ask(f"/admin/models/rose/{act}", order, bearer(ann))
        assert found.status == 200, found
        assert [each["name"] for each in found.json["models"]] == ["rose"]
        assert running.ask(f"/admin/models/iris/{act}", order, bearer(ann)).status == 403


def test_a_token_allows_no_less_than_none(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    ann, token = add_token(path, "ann", ["predict:rose"])
    bob, _ = add_token(path, "bob", ["read"], rate=1)
    gate = Gate(path, ("predict:iris",))
    for model in ("iris", "rose"):
        assert gate.admit(f"Bearer {ann}", "predict", model, "") == token
    assert gate.admit(None, "predict", "iris", "") is None
    assert refused(gate, f"Bearer {ann}", model="lily") == "forbidden"
    assert refused(gate, None, model="rose") == "unauthorized"
    assert refused(gate, "Bearer x") == "unauthorized"
    assert gate.admit(f"Bearer {bob}", "predict", "iris", "") is not None
    assert refused(gate, f"Bearer {bob}") == "too-many-requests"


def test_settings_that_cannot_be() -> None:
    whole: dict[str, Any] = {"store": "models", "names": {"iris": "iris"}}
    for wrong in (
        {"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.168.0.1"}, {"host": "example.org"},
        {"public": ("predict",)}, {"certificate": "c.pem"}, {"private_key": "k.pem"}, {"workers": 0},
        {"names": {}}, {"authorities": "nowhere.pem"},
    ):  # fmt: skip
        with pytest.raises(BadSettingsError):
            Settings(**whole | wrong)
    assert Settings(**whole, host="0.0.0.0", tokens="t").tokens == "t"
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "1.1.1.1")] == [
        True, True, True, True, False,
    ]  # fmt: skip
    assert names_of(["iris@production", "new=iris@4", "team/bert"]) == {
        "iris": "iris@production", "new": "iris@4", "team/bert": "team/bert",
    }  # fmt: skip
    assert names_of(["iris@step=1000", "iris2@best:auc"]) == {
        "iris": "iris@step=1000", "iris2": "iris2@best:auc",
    }  # fmt: skip
    for refs in (["iris@1", "iris@2"], ["=iris"], ["x="], ["@3"]):
        with pytest.raises(BadSettingsError):
            names_of(refs)
    assert limits_of(["rows=5", "seconds=1.5"]).rows == 5
    for text in ("rows", "rows=x", "rows=0", "rows=-1", "row=5", "seconds=nan", "seconds=inf", "rows=1.5"):
        with pytest.raises(BadSettingsError):
            limits_of([text])


def test_tls(ready_store: saver.Saver, serve: Serve, tmp_path: Path) -> None:
    import http.client
    import shutil
    import ssl

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    names = [tmp_path / "key.pem", tmp_path / "cert.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
         "1", "-keyout", names[0], "-out", names[1], "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    running: Running = serve(ready_store, certificate=str(names[1]), private_key=str(names[0]))
    assert running.server.address.startswith("https://")
    context = ssl.create_default_context(cafile=str(names[1]))
    line = http.client.HTTPSConnection("localhost", running.port, context=context, timeout=60)
    line.request("POST", "/predict/iris", json.dumps(ROWS), {"content-type": "application/json"})
    assert line.getresponse().status == 200
    line.close()
    for method in ("GET", "HEAD", "POST", "PUT"):  # those that OpenSSL tells from TLS
        plain = running.raw(f"{method} / HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(), half=True)
        head, _, body = plain.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert f"content-length: {len(body)}".encode() in head
        assert b"write https:// instead of http://" in body
        assert running.raw(f"{method} / HTTP/1.1\r\n".encode(), b"\r\n" * 9, half=True).count(b"400 Bad") == 1
    for other in (b"", b"GET", b"\0" * 100, b"nothing of the kind, and longer than a record\r\n\r\n"):
        assert b"HTTP/1.1" not in running.raw(other, half=True)
