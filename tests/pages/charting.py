"""A server of pages in this process, and visits to it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import saver
from saver.pages.server import Pages


class Visitor:
    """Asks one server."""

    def __init__(self, address: str) -> None:
        self.host, self.port = urlsplit(address).hostname or "", urlsplit(address).port or 0

    def get(self, path: str, kind: str = "text/html") -> tuple[int, str, dict[str, str]]:
        """Status, body and headers of a page."""
        connection = HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"accept": kind})
            found = connection.getresponse()
            return found.status, found.read().decode(), {k.lower(): v for k, v in found.getheaders()}
        finally:
            connection.close()

    def document(self, path: str) -> Any:
        """The same page as JSON."""
        status, body, _ = self.get(path, "application/json")
        assert status == 200, body
        return json.loads(body)

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
        """The events of a stream, each with its name; leaving ends the connection."""
        connection = HTTPConnection(self.host, self.port, timeout=20)
        connection.request("GET", path)
        taken = connection.sock
        answer = connection.getresponse()
        try:
            assert answer.status == 200, answer.read()
            assert answer.getheader("content-type") == "text/event-stream"
            yield events(answer)
        finally:
            with suppress(OSError):  # the server has closed it
                taken.shutdown(socket.SHUT_RDWR)
            answer.close()
            connection.close()


def events(answer: Any) -> Iterator[tuple[str, Any]]:
    """The events in an answer, without comments."""
    name = ""
    while line := answer.readline().decode():
        if line.startswith("event: "):
            name = line.removeprefix("event: ").strip()
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


@contextmanager
def visiting(store: saver.Saver) -> Iterator[Visitor]:
    """A server of the pages of a store, until the block is left."""
    pages, ready = Pages(store), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def begun(_: Pages) -> None:
        loops.append(asyncio.get_running_loop())
        ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(pages.run(begun)), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield Visitor(pages.address)
    finally:
        loops[0].call_soon_threadsafe(pages.stop)
        thread.join(20)
        assert not thread.is_alive()
