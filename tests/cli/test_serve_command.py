"""`saver serve`, `saver rollout` and `saver token`, as one types them."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from running import document_of, error_of, run, run_json

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression

import saver
from saver import documents
from saver.serve.tokens import FORM

X = np.random.default_rng(3).normal(size=(50, 3))


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    found = saver.Saver(tmp_path / "models")
    for strength in (1.0, 0.1):
        model = LogisticRegression(C=strength).fit(X, X[:, 0] > 0)
        found.save("iris", {"model": model}, example=X[:10])
    found.save("notes", {"text": "without an example"})
    found.tag("iris@1", "production")
    return found


@pytest.fixture
def process(store: saver.Saver) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "saver", "serve", "iris@production", "--port", "0", "--json"]
    if importlib.util.find_spec("grpc") is not None:
        command += ["--grpc-port", "0"]
    begun = subprocess.Popen(
        [*command, "--store", str(store.storage), "--log-requests"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield begun
    begun.kill()
    begun.communicate()


def started(process: subprocess.Popen[str]) -> documents.Serving:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            return msgspec.json.decode(text, type=documents.Serving)
    raise AssertionError(process.communicate())


def test_served_changed_and_ended(process: subprocess.Popen[str], store: saver.Saver) -> None:
    serving = started(process)
    assert [(each.name, each.versions[0].number) for each in serving.models] == [("iris", 1)]
    body = json.dumps({"rows": X[:2].tolist()}).encode()
    request = urllib.request.Request(
        f"{serving.address}/predict/iris", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert len(json.load(answer)["predictions"]) == 2
    if serving.grpc:
        import grpc

        with grpc.insecure_channel(serving.grpc) as line:
            live = line.unary_unary("/inference.GRPCInferenceService/ServerLive")
            assert live(b"", timeout=60) == b"\x08\x01"
    at = ["--server", serving.address]
    done = run("rollout", "iris", "--to", "2", "--json", *at)
    changed = document_of(done)
    assert isinstance(changed, documents.Serving)
    assert [(each.state, each.number) for each in changed.models[0].versions] == [
        ("current", 2), ("previous", 1),
    ]  # fmt: skip
    assert "iris@1" in run("rollout", "iris", "--back", *at).stdout
    assert "iris@9" in error_of(run("rollout", "iris", "--to", "9", *at), 4)
    now = document_of(run("rollout", "--json", *at))
    assert isinstance(now, documents.Serving)
    assert now.models[0].trouble == ""
    assert run("rollout", "iris", "--canary", "2", *at).exit_code == 2
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert lines[0]["status"] == 200
    assert lines[0]["rows"] == 2
    assert str(X[0, 0]) not in printed


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_ended_while_it_starts(store: saver.Saver, number: signal.Signals, code: int) -> None:
    """The signal reaches all processes of a terminal; the template is there, and loads."""
    command = [sys.executable, "-m", "saver", "serve", "iris", "--port", "0", "--store", str(store.storage)]
    begun = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    children = Path(f"/proc/{begun.pid}/task/{begun.pid}/children")
    end = time.monotonic() + 60
    while not children.read_text() and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(begun.pid, number)
    printed, complaints = begun.communicate(timeout=60)
    assert begun.returncode == code, complaints
    assert not printed
    assert "Traceback" not in complaints


def test_rollout_without_a_server() -> None:
    assert "saver serve" in error_of(run("rollout", "--server", "http://127.0.0.1:9"), 3)
    assert "http" in error_of(run("rollout", "--server", "ftp://127.0.0.1"), 2)
    assert "one change" in error_of(run("rollout", "iris", "--back", "--to", "2"), 2)
    assert "one model" in error_of(run("rollout", "--back"), 2)


def test_what_serve_refuses(store: saver.Saver, tmp_path: Path) -> None:
    at = ["--store", str(store.storage)]
    assert "saver token new" in error_of(run("serve", "iris", "--host", "0.0.0.0", *at), 2)
    assert "rows" in error_of(run("serve", "iris", "--limit", "row=5", *at), 2)
    assert "twice" in error_of(run("serve", "iris", "iris@1", *at), 2)
    assert "nothing" in error_of(run("serve", "nothing", *at), 3)
    assert "there is no store" in error_of(run("serve", "--store", str(tmp_path / "none")), 3)
    only = saver.Saver(tmp_path / "only")
    only.save("notes", {"text": "x"})
    assert "example" in error_of(run("serve", "--store", str(only.storage)), 3)


def test_tokens(tmp_path: Path) -> None:
    at = ["--tokens", str(tmp_path / "t.json")]
    made = run_json("token", "new", "ann", "--scope", "predict:iris", "--days", "1", "--rate", "5", *at)
    assert made["token"].startswith(f"saver_{made['id']}_")
    assert made["schema"] == "saver.token.1"
    printed = run("token", "new", "bob", "--scope", "read", *at).stdout
    assert FORM.fullmatch(printed.strip()), "a shell takes it over as it is printed"
    listed = run("token", "list", *at).stdout
    assert "ann" in listed
    assert printed.strip() not in listed
    assert [each["name"] for each in run_json("token", "list", *at)["tokens"]] == ["ann", "bob"]
    assert [each["name"] for each in run_json("token", "revoke", "ann", *at)["tokens"]] == ["bob"]
    assert "there are: bob (" in error_of(run("token", "revoke", "ann", *at), 3)
    again = run("token", "new", "bob", "--scope", "read", *at)
    assert "revoke one by its id" in again.stderr
    assert "2 tokens are named 'bob'" in error_of(run("token", "revoke", "bob", *at), 3)
    number = again.stdout.split("_")[1]
    assert run("token", "revoke", number, *at).exit_code == 0
    assert "scope" in error_of(run("token", "new", "eve", "--scope", "root", *at), 2)
    assert run("token", "revoke", "bob", *at).exit_code == 0
    assert "no tokens" in run("token", "list", *at).stdout
    assert os.stat(tmp_path / "t.json").st_mode & 0o077 == 0
