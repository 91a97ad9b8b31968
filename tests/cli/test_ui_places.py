"""`saver ui` as a process, on stores that are not just a folder that one may write: in a bucket,
sealed, read-only, or being written meanwhile."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import run

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

import saver

for each in ("storages", "faults", "pages"):
    sys.path.append(str(Path(__file__).parents[1] / each))

import servers  # noqa: E402
from browsing import browse  # noqa: E402
from mounting import mounted  # noqa: E402
from nets import filled  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="terminals are those of POSIX")]

PAGES = "", "model/iris", "version/iris@1", "card/iris@1", "log", "health", "curves", "compare"


class Terminal:
    """`saver ui` on a terminal of its own, as a person starts it."""

    def __init__(self, *given: str, **environment: str) -> None:
        self.text = ""
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background shell ignores
            os.environ.update(environment)
            os.execv(sys.executable, [sys.executable, "-m", "saver", "ui", *given, "--no-browser"])

    def until(self, pattern: str, seconds: float = 300) -> str:
        """What is on the screen once it has this. Raises AssertionError."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self._screen], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"never said {pattern}: {self.text}"
            try:
                self.text += os.read(self._screen, 4096).decode()
            except OSError:  # it has ended
                raise AssertionError(f"it ended before it said {pattern}: {self.text}") from None
        return self.text

    def type(self, text: str) -> None:
        """Type a line, or a control character."""
        os.write(self._screen, text.encode())

    @property
    def address(self) -> str:
        """Where the pages are, once it says so."""
        self.until("Ctrl-C ends it")
        return re.findall(r"http://127\.0\.0\.1:\d+/", self.text)[0]

    def end(self) -> int:
        """Press Ctrl-C; its exit code."""
        self.type("\x03")
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


@contextmanager
def terminal(*given: str, **environment: str) -> Iterator[Terminal]:
    one = Terminal(*given, **environment)
    try:
        yield one
    finally:
        if one.pid:
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)


def text_at(address: str) -> str:
    with urllib.request.urlopen(address, timeout=300) as answer:
        return str(answer.read().decode())


def every_page(address: str) -> None:
    for path in PAGES:
        assert "Saver" in text_at(address + path)


def tagged(address: str) -> int:
    """The status of an attempt to tag, with the token of a page."""
    (token, *_) = re.findall(r'name="page_token" value="(\w+)"', text_at(f"{address}version/iris@1"))
    form = urllib.parse.urlencode({"page_token": token, "tag": "seen"}).encode()
    try:
        with urllib.request.urlopen(f"{address}tag/iris@1", form, timeout=300) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_store_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    for name, value in servers.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    try:
        with servers.moto(tmp_path) as endpoint:
            place = servers.make_bucket("moto", endpoint, "bucket")
            saver.Saver(place).save("iris", {"w": [1.0] * 2000}, metrics={"auc": 0.9})
            with terminal(place) as one:
                every_page(one.address)
                assert tagged(one.address) == 200
                assert "<bdi>seen</bdi>" in text_at(f"{one.address}version/iris@1")
                live = urllib.request.urlopen(f"{one.address}curves-live/iris?have=-", timeout=300)
                live.readline()
                assert one.end() == 0, "Ctrl-C ends it, with a stream open"
                live.close()
    except servers.Missing as error:
        pytest.skip(str(error))


def test_a_sealed_store_asks_for_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyrage")
    pytest.importorskip("cryptography")
    monkeypatch.delenv("SAVER_KEY", raising=False)
    key, sealed = tmp_path / "key", str(tmp_path / "sealed")
    assert run("key", "new", str(key)).exit_code == 0
    saver.Saver(sealed, key=str(key)).save("iris", {"secret": [1.0]})
    (typed,) = re.findall(r"AGE-SECRET-KEY-1\w+", key.read_text())
    with terminal(sealed) as one:
        one.until(f"Key or passphrase of {sealed}: ")
        one.type(f"{typed}\n")
        every_page(one.address)
        assert typed not in one.until("Ctrl-C"), "it is not echoed"
        assert json.loads(text_at(f"{one.address}health?format=json"))["sealed"] is True
        assert one.end() == 0
    with terminal(sealed) as one:
        one.until(f"Key or passphrase of {sealed}: ")
        one.type("wrong\n")
        one.until("key")
        _, status = os.waitpid(one.pid, 0)
        one.pid = 0
        assert os.waitstatus_to_exitcode(status) == 4


def test_a_store_that_can_only_be_read(tmp_path: Path) -> None:
    place = tmp_path / "models"
    saver.Saver(place).save("iris", {"w": [1.0]})
    mount = ["mount", "-o", "bind,ro", str(place)]
    with mounted(tmp_path / "read", mount) as read, terminal(str(read)) as one:
        every_page(one.address)
        assert tagged(one.address) == 409
        assert one.end() == 0
    assert saver.Saver(place).version("iris@1").tags == ()


WRITING = """
import sys, time, saver
store = saver.Saver(sys.argv[1])
while True:
    time.sleep(0.05)
    version = store.save("iris", {"w": [1.0] * 100})
    if version.number % 5 == 0:
        store.delete(f"iris@{version.number - 1}")
        store.gc(dry_run=False)
"""


def test_a_store_that_is_being_written(tmp_path: Path) -> None:
    place = str(tmp_path / "models")
    saver.Saver(place).save("iris", {"w": [1.0]})
    with terminal(place) as one:
        address = one.address
        writer = subprocess.Popen([sys.executable, "-c", WRITING, place])
        try:
            seen, end = set[int](), time.monotonic() + 600
            while len(seen) < 3 and time.monotonic() < end:
                every_page(address)
                (model,) = json.loads(text_at(f"{address}?format=json"))["models"]
                seen.add(model["newest"]["number"])
                assert writer.poll() is None
        finally:
            writer.kill()
            writer.wait()
        assert len(seen) == 3, "each look shows what is new"
        assert one.end() == 0


SEEN = {
    "models": "/", "model": "/model/team/net", "version": "/version/team/net@3", "card": "/card/team/net@3",
    "history": "/log", "health": "/health", "delete": "/delete/team/net@3",
    "compare": "/compare/team/net@1?with=team/net@3",
}  # fmt: skip


def in_a_browser(address: str, acts: bool) -> None:
    """Each page in Chromium; with `acts`, also searching, tagging, notes and a deletion, by keyboard."""
    found = browse(address, SEEN, act=acts, once=True)
    assert found["troubles"] == []


def test_people_use_a_store_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    for name, value in servers.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    try:
        with servers.moto(tmp_path) as endpoint:
            place = servers.make_bucket("moto", endpoint, "bucket")
            store = filled(place)
            with terminal(place) as one:
                in_a_browser(one.address, acts=True)
                assert one.end() == 0
            assert [each.number for each in store.versions("team/net")] == [1, 2, 3]
    except servers.Missing as error:
        pytest.skip(str(error))


def test_people_use_a_sealed_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyrage")
    pytest.importorskip("cryptography")
    monkeypatch.delenv("SAVER_KEY", raising=False)
    key, sealed = tmp_path / "key", str(tmp_path / "sealed")
    assert run("key", "new", str(key)).exit_code == 0
    store = filled(sealed, key=str(key))
    (typed,) = re.findall(r"AGE-SECRET-KEY-1\w+", key.read_text())
    with terminal(sealed) as one:
        one.until(f"Key or passphrase of {sealed}: ")
        one.type(f"{typed}\n")
        in_a_browser(one.address, acts=True)
        assert one.end() == 0
    assert [each.number for each in store.versions("team/net")] == [1, 2, 3]


def test_people_look_at_a_store_that_can_only_be_read(tmp_path: Path) -> None:
    place = tmp_path / "models"
    filled(place)
    mount = ["mount", "-o", "bind,ro", str(place)]
    with mounted(tmp_path / "read", mount) as read, terminal(str(read)) as one:
        in_a_browser(one.address, acts=False)
        assert one.end() == 0


def test_people_look_at_a_store_that_is_being_written(tmp_path: Path) -> None:
    place = str(tmp_path / "models")
    store = filled(place)
    with terminal(place) as one:
        writer = subprocess.Popen([sys.executable, "-c", WRITING, place])
        try:
            in_a_browser(one.address, acts=True)
            assert writer.poll() is None
            assert store.version("iris").number > 1
        finally:
            writer.kill()
            writer.wait()
        assert one.end() == 0
    assert [each.number for each in store.versions("team/net")] == [1, 2, 3]
