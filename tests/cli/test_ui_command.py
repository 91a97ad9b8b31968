"""`saver ui` as a process: says where, opens the browser, and ends at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from running import error_of, run

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

import saver
from saver import documents


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes of a test, which end with it."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for each in running:
        each.kill()
        each.communicate()


def started(
    begun: list[subprocess.Popen[str]], *given: str, **environment: str
) -> tuple[str, subprocess.Popen[str]]:
    """The address of the pages, and the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "saver", "ui", *given, "--json"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment},
    )  # fmt: skip
    begun.append(process)
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            return msgspec.json.decode(text, type=documents.Showing).address, process
    raise AssertionError(process.communicate())


def text_at(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return str(answer.read().decode())


def test_says_where_and_ends_at_once(tmp_path: Path, begun: list[subprocess.Popen[str]]) -> None:
    saver.Saver(tmp_path / "models").save("iris", 1)
    address, process = started(begun, str(tmp_path / "models"), "--no-browser")
    assert address.startswith("http://127.0.0.1:")
    assert "iris" in text_at(address)
    connection = urllib.request.urlopen(address, timeout=60)  # which stays open
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    connection.close()


def test_opens_the_browser(tmp_path: Path, begun: list[subprocess.Popen[str]]) -> None:
    saver.Saver(tmp_path / "models").save("iris", 1)
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}.new && mv {seen}.new {seen}\n')
    browser.chmod(0o755)
    address, _ = started(begun, "--store", str(tmp_path / "models"), BROWSER=f"{browser} %s")
    end = time.monotonic() + 30
    while not seen.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert seen.read_text().strip() == address


def test_a_sealed_store_needs_its_key(tmp_path: Path, begun: list[subprocess.Popen[str]]) -> None:
    pytest.importorskip("pyrage")
    pytest.importorskip("cryptography")
    key = str(tmp_path / "key")
    assert run("key", "new", key).exit_code == 0
    saver.Saver(tmp_path / "sealed", key=key).save("secret", 1)
    refused = run("ui", str(tmp_path / "sealed"), "--no-browser")
    assert refused.exit_code == 4
    assert "key" in error_of(refused)
    address, _ = started(begun, str(tmp_path / "sealed"), "--no-browser", "--key", key)
    assert "secret" in text_at(address)
    assert '"sealed":true' in text_at(f"{address}health?format=json")


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    assert run("ui", str(tmp_path / "none"), "--no-browser").exit_code == 3
    assert run("ui", "", "--no-browser").exit_code == 2
    saver.Saver(tmp_path / "models").save("iris", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = run("ui", str(tmp_path / "models"), "--no-browser", "--port", port)
        assert refused.exit_code == 4
        assert "choose another --port" in error_of(refused)
