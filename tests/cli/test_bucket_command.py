"""Commands with the address of a bucket, or what is not one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from running import run


@pytest.mark.parametrize(
    "address", ["s3://", "s3://key:secret@b", "gs://b?secret=1", "local://x", "az://b?deadline=0"]
)
@pytest.mark.parametrize("command", [("ls",), ("doctor",), ("show", "m"), ("check",), ("gc",)])
def test_what_is_not_an_address_is_misuse(address: str, command: tuple[str, ...]) -> None:
    if not address.startswith("local"):
        pytest.importorskip("obstore")
    done = run(*command, "--store", address)
    assert done.exit_code == 2
    assert "Error: Invalid value for '--store'" in done.stderr
    assert "address" in done.stderr or "deadline" in done.stderr
    assert "secret@" not in done.stderr


def test_doctor_says_what_it_found_and_what_a_server_does_not_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "visible")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        done = run("doctor", "--store", f"s3://bucket/x?endpoint=http://127.0.0.1:{port}&deadline=0.3")
    assert done.exit_code == 1
    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in done.stdout
    assert "did not answer in 0.3 s" in " ".join(done.stdout.split())
    assert "hidden" not in done.stdout
    assert "visible" not in done.stdout


def test_an_address_without_tls_in_the_environment_is_not_said_to_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("obstore")
    for name, value in (("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    done = run("ls", "--store", "s3://bucket/x?deadline=0.3")
    said = " ".join(done.stderr.split())
    assert "the service is at an http:// address, where anyone on the way reads all that is sent" in said
    assert "or allow this one with ?endpoint=http://HOST:PORT" in said
