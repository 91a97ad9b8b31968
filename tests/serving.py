"""What fake servers of tests share: a loop in a thread, the requests that came, and when they hang up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, TypeVar

PATIENCE = 30.0


class Server(ThreadingHTTPServer):
    """`calls` are the requests that it got; from the request `down_from` on, it hangs up. `instead` may
    answer a request otherwise, by writing to the handler and returning True."""

    daemon_threads = True

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.calls: list[str] = []
        self.down_from: int | None = None
        self.instead: Callable[[Any], bool] = lambda handler: False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is not worth a line."""


class Handler(BaseHTTPRequestHandler):
    """Answers requests with `act`."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):
                self.wfile.write(body)

    def act(self, body: bytes) -> None:
        raise NotImplementedError

    def handled(self) -> None:
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append(f"{self.command} {self.path}")
        if self.server.down_from is not None and len(self.server.calls) >= self.server.down_from:
            self.close_connection = True
        elif not self.server.instead(self):
            self.act(body)

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handled


S = TypeVar("S", bound=Server)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """The server, which serves as long as the context lasts."""
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)
