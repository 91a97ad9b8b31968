"""`saver ui`: a server of the pages alone, which ends at once."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

import uvicorn

from saver import Saver, loopback
from saver.errors import CannotReadError
from saver.pages.app import application
from saver.pages.site import Site
from saver.serve.door import House
from saver.serve.limits import Limits
from saver.serve.listening import Listening
from saver.serve.metrics import Metrics
from saver.serve.protocol import protocol_with
from saver.serve.tokens import Gate

LIMITS = Limits(body_bytes=1024 * 1024, seconds=120)


class Pages:
    """One server of pages, on the loopback address."""

    def __init__(self, store: Saver, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host, self._port = host, port
        hosts = frozenset({*loopback.NAMES, host})
        self.house = House(LIMITS, Gate(None), Metrics(), terse=False, hosts=hosts)
        self.site = Site(store, self.house)
        self.address = ""
        self._listening: Listening | None = None

    def bind(self) -> socket.socket:
        """Take the address. Raises CannotReadError if it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
        except OSError as error:
            listener.close()
            raise CannotReadError(
                f"{self._host}:{self._port}: {error.strerror or error}; choose another --port"
            ) from error
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"http://{shown}:{listener.getsockname()[1]}/"
        return listener

    async def run(self, ready: Callable[[Pages], object] = lambda pages: None) -> None:
        """Answer until a signal or `stop` ends it; `ready` is called once the address is open."""
        with self.bind() as listener:
            config = uvicorn.Config(
                application(self.site), http=protocol_with(LIMITS, lambda reason: None), ws="none",
                lifespan="off", log_config=None, access_log=False, server_header=False,
                proxy_headers=False, timeout_keep_alive=int(LIMITS.idle_seconds),
                timeout_graceful_shutdown=1,
            )  # fmt: skip
            self._listening = Listening(config, self.house)
            serving = asyncio.ensure_future(self._listening.serve(sockets=[listener]))
            while not self._listening.started and not serving.done():
                await asyncio.sleep(0.005)
            threading.Thread(target=self.site.warm, daemon=True).start()
            ready(self)
            await serving

    def stop(self) -> None:
        """End the server; from the thread of its event loop."""
        if self._listening is not None:
            self._listening.end()


def run(pages: Pages, ready: Callable[[Pages], object]) -> None:
    """Run until Ctrl-C. Threads that are still reading are not waited for."""
    asyncio.run(pages.run(ready))
