"""A proxy between a program and a server, which spoils one request, or all of them."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

KINDS = ("lost", "refused", "cut", "late", "500", "503", "409")
"""The answer is lost after the server did it; the connection is closed before; the answer is cut off; it
comes late; or the proxy answers with an error in the server's place."""

LATE = 0.3
"""Seconds."""


class Proxy:
    """What a proxy does: nothing, or `kind` to request number `at` (from 0), or to every one if that is -1.

    `answer`, a status and a code, is what it says instead of asking the server.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.path = parts.path
        self.seen: list[str] = []
        self.at, self.kind = -2, ""
        self.answer: tuple[int, str] | None = None
        self.most = self._now = 0
        self.connections: set[socket.socket] = set()
        self._lock = Lock()

    def end(self) -> None:
        """Close what clients keep open for their next request; otherwise a thread waits for each."""
        for connection in [*self.connections]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def spoil(self, at: int, kind: str) -> None:
        with self._lock:
            self.seen, self.at, self.kind = [], at, kind

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts how many requests are served at the same time: `most`."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def next(self, line: str) -> str:
        """What to do to the next request."""
        with self._lock:
            self.seen.append(line)
            return self.kind if self.at in (-1, len(self.seen) - 1) else ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def setup(self) -> None:
        super().setup()
        self.proxy.connections.add(self.connection)

    def finish(self) -> None:
        self.proxy.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        with self.proxy.counted():
            self._answer()

    def _answer(self) -> None:
        body = self._body()
        proxy = self.proxy
        kind = proxy.next(f"{self.command} {self.path}")
        if proxy.answer is not None:
            return self._say(*proxy.answer)
        if kind == "refused":
            return self._close()
        if kind.isdigit():
            return self._say(int(kind), {"409": "ConditionalRequestConflict"}.get(kind, "Injected"))
        with closing(http.client.HTTPConnection(proxy.host, proxy.port, timeout=60)) as server:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "transfer-encoding":
                    server.putheader(name, value)
            if self.headers.get("Transfer-Encoding"):
                server.putheader("Content-Length", str(len(body)))
            server.endheaders(body)
            answer = server.getresponse()
            data = answer.read()
        if kind == "late":
            time.sleep(LATE)
        if kind == "lost":
            return self._close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if kind == "cut":
            self.wfile.write(data[: len(data) // 2])
            return self._close()
        self.wfile.write(data)
        return None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = []
        while size := int(self.rfile.readline(), 16):
            found.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(found)

    def _say(self, status: int, code: str) -> None:
        data = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>x</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _close(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve


@contextmanager
def between(target: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server at this address, and the proxy's own address."""
    proxy = Proxy(target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_address[1]}{proxy.path}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        proxy.end()
