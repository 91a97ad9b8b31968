"""A server in a thread of this process, and ways to ask it: as clients do, and byte by byte."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from saver.serve.server import Server
from saver.serve.settings import Settings

PATIENCE = 60
JSON = {"content-type": "application/json"}


def until(true: Callable[[], Any]) -> None:
    """Wait for something."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Running:
    """A server that answers until `stop`."""

    def __init__(self, settings: Settings) -> None:
        self.server = Server(settings)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        if self.failure is not None:
            self._thread.join(PATIENCE)
            raise self.failure

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            await self.server.run(lambda _: self._ready.set())

        try:
            asyncio.run(main())
        except BaseException as error:
            self.failure = error
        finally:
            self._ready.set()

    @property
    def port(self) -> int:
        return int(self.server.address.rpartition(":")[2])

    def stop(self) -> None:
        if self._thread.is_alive() and self._loop is not None:
            self._loop.call_soon_threadsafe(self.server.stop)
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive()

    def call(self, act: Any) -> Any:
        """Run a coroutine in the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(PATIENCE)

    def ask(
        self, path: str, data: Any = None, headers: dict[str, str] | None = None, method: str | None = None
    ) -> Asked:
        """One request on a connection of its own. What is not bytes is sent as JSON."""
        body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            given = {**(JSON if body is not None else {}), **(headers or {})}
            line.request(method or ("GET" if body is None else "POST"), path, body, given)
            answer = line.getresponse()
            return Asked(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            line.close()

    def raw(self, *pieces: bytes, half: bool = False) -> bytes:
        """What comes back for these bytes, until the server closes; with `half`, nothing more is sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as line:
            try:
                for piece in pieces:
                    line.sendall(piece)
                if half:
                    line.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server has answered and closed already: what it said is read below
            found = b""
            try:
                while got := line.recv(65536):
                    found += got
            except ConnectionResetError:
                pass
            return found


class Asked:
    """An answer."""

    def __init__(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.status, self.data = status, data
        self.headers = {name.lower(): value for name, value in headers.items()}

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    def __repr__(self) -> str:
        return f"{self.status} {self.data[:300]!r}"


Serve = Callable[..., Running]
"""Starts a server for a store, refs, and settings."""
