"""Answers without an end: sent as they come, closed when the reader has gone and when the server ends."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from http.client import HTTPException
from pathlib import Path

import pytest
from nets import Running, filled, running

from saver.pages import app
from saver.pages import streaming as streams
from saver.pages.page import Address, File, Stream, Visit
from saver.serve.refusals import Refusal
from saver.serve.server import Server
from saver.serve.settings import Settings


@pytest.fixture
def closed() -> threading.Event:
    """Set when the stream was closed."""
    return threading.Event()


@pytest.fixture
def streaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: threading.Event) -> Iterator[Running]:
    """Pages with an address that sends an event again and again, and one that takes very long."""

    async def events() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: again\n\n"
                await asyncio.sleep(0.02)
        finally:
            closed.set()

    def slow(visit: Visit) -> File:
        closed.set()
        time.sleep(60)
        return File(b"", "text/plain")

    def fails(visit: Visit) -> File:
        raise Refusal("not-found", "there is nothing here")

    more = (
        Address("/again", lambda visit: Stream(events()), stream=True),
        Address("/slow", slow),
        Address("/fails", fails, stream=True),
    )
    found = (*app.addresses(), *more)
    monkeypatch.setattr(app, "addresses", lambda: found)
    with running(filled(tmp_path / "store")) as one:
        yield one


def test_a_stream_ends_when_its_reader_goes(streaming: Running, closed: threading.Event) -> None:
    with urllib.request.urlopen(f"{streaming.pages.address}again", timeout=20) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.readline() == b"data: again\n"
        assert not closed.is_set()
    assert closed.wait(20)


def test_a_visitor_has_so_many_streams_and_then_no_more(
    streaming: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "EACH", 2)
    address = f"{streaming.pages.address}again"
    first, second = (urllib.request.urlopen(address, timeout=20) for _ in range(2))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address, timeout=20)
    assert refused.value.code == 503
    assert refused.value.headers["retry-after"] == "1"
    refused.value.close()
    with urllib.request.urlopen(streaming.pages.address, timeout=20) as page:
        assert page.status == 200, "other pages are answered"
    first.close()
    end = time.monotonic() + 20
    while len(streaming.pages.site.streams._seats) == 2 and time.monotonic() < end:
        time.sleep(0.01)
    with urllib.request.urlopen(address, timeout=20) as again:
        assert again.readline() == b"data: again\n"
    second.close()


def test_seats() -> None:
    found = streams.Streams()
    seats = [found.seat(f"v{n // streams.EACH}") for n in range(streams.ALL)]
    for visitor in ("v0", "another"):
        with pytest.raises(Refusal, match="live pages"):
            found.seat(visitor)
    seats[0].leave()
    seats[0].leave()
    with pytest.raises(Refusal, match="close one"):
        found.seat("v1")
    assert found.seat("v0").ending.is_set() is False
    found.end()
    assert all(each.ending.is_set() for each in seats[1:])
    for each in (*seats, *found._seats.copy()):
        each.leave()
    assert not found._of


def test_a_page_that_fails_leaves_its_seat(streaming: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(streams.EACH + 1):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{streaming.pages.address}fails", timeout=20)
        assert refused.value.code == 404
        refused.value.close()
    assert not streaming.pages.site.streams._of


def test_a_server_that_ends_reports_nothing_wrong(
    streaming: Running, closed: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    def ask() -> None:
        with pytest.raises((OSError, HTTPException)):
            urllib.request.urlopen(f"{streaming.pages.address}slow", timeout=50)

    asking = threading.Thread(target=ask)
    with urllib.request.urlopen(f"{streaming.pages.address}again", timeout=20) as answer:
        answer.readline()
        asking.start()
        assert closed.wait(20)
        streaming.stop()
        assert answer.read().endswith(b"\n"), "it ends as answers do"
    asking.join(20)
    assert not [each for each in caplog.records if each.exc_info]


def test_a_server_that_drains_waits_for_no_stream(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    settings = Settings(store=str(tmp_path / "store"), names={}, port=0, share="read", drain=60)
    runner, ready, server = asyncio.Runner(), threading.Event(), Server(settings, app.beside)

    def run() -> None:
        with runner:
            runner.run(server.run(lambda _: ready.set()))

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    live = f"{server.address}/curves-live/tuned?have=-"
    with urllib.request.urlopen(live, timeout=20) as answer:
        answer.readline()
        runner.get_loop().call_soon_threadsafe(server.stop)
        answer.read()
        thread.join(20)
        assert not thread.is_alive()


def test_the_server_ends_at_once_while_streams_are_open(streaming: Running, closed: threading.Event) -> None:
    with urllib.request.urlopen(f"{streaming.pages.address}again", timeout=20) as answer:
        answer.readline()
        streaming.stop()
        assert closed.is_set()


def test_the_server_waits_for_no_page(streaming: Running, closed: threading.Event) -> None:
    def ask() -> None:
        with pytest.raises((OSError, HTTPException)):
            urllib.request.urlopen(f"{streaming.pages.address}slow", timeout=50)

    asking = threading.Thread(target=ask)
    asking.start()
    assert closed.wait(20)
    streaming.stop()
    asking.join(20)
    assert not asking.is_alive()
