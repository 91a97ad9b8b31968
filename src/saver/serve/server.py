"""A running server: loads what it serves, listens, follows refs, and ends without a failed request."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from saver.errors import CannotReadError
from saver.serve.encrypted import encrypted
from saver.serve.listening import Listening
from saver.serve.protocol import protocol_with
from saver.serve.serving import Serving
from saver.serve.settings import Settings
from saver.serve.storing.addresses import Sharing
from saver.serve.storing.keeper import Keeper

if TYPE_CHECKING:
    from saver.serve.rpc import Gateway

BACKLOG = 2048
FAREWELL = 0.3
"""Seconds from the signal to end until connections are closed: a client that asks meanwhile learns it from
the answer, and does not find its connection closed."""
FILES = 65_536


class Server(Serving):
    """One server. `run` returns when a signal or `stop` has ended it. `more` makes the addresses that it has
    beside those of predictions."""

    def __init__(self, settings: Settings, more: More = lambda server: ()) -> None:
        super().__init__(settings)
        self._more = more
        self._sharing = self._shared()
        self._listening: Listening | None = None
        self.address = self.grpc_address = ""

    def _shared(self) -> Sharing | None:
        settings = self.settings
        if settings.share is None:
            return None
        keeper = Keeper(self.store.storage, settings.share, settings.limits, settings.grace)
        return Sharing(self.house, keeper)

    async def run(self, ready: Callable[[Server], object] = lambda server: None) -> None:
        """Load, listen, and answer; `ready` is called once it does. Raises SaverError if a version is
        refused, CannotReadError if the address is taken."""
        listener = self._bind()
        try:
            if await self._loaded():
                await self._serve(listener, ready)
        finally:
            listener.close()
            await asyncio.gather(*(each.close() for each in self.models.values()))
            if self._sharing is not None:
                await asyncio.to_thread(self._sharing.close)
            await asyncio.sleep(0.01)  # transports close in the next turn of the loop

    def _bind(self) -> socket.socket:
        host, port = self.settings.host, self.settings.port
        listener: socket.socket | None = None
        try:
            family, kind, number, _, place = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, number)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
        except OSError as error:
            if listener is not None:
                listener.close()
            raise CannotReadError(
                f"{host}:{port}: {error.strerror or error}; choose another --host or --port"
            ) from error
        scheme = "https" if self.settings.certificate is not None else "http"
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{scheme}://{shown}:{listener.getsockname()[1]}"
        return listener

    async def _loaded(self) -> bool:
        """Load; False if SIGTERM ended that. Ctrl-C raises KeyboardInterrupt, as asyncio has it."""
        loop, loading = asyncio.get_running_loop(), asyncio.ensure_future(self.load())
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread, or on Windows
            loop.add_signal_handler(signal.SIGTERM, loading.cancel)
        try:
            await asyncio.wait([loading])
        finally:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(signal.SIGTERM)
            loading.cancel()
            await asyncio.wait([loading])
        if loading.cancelled():
            return False
        loading.result()
        return True

    async def _serve(self, listener: socket.socket, ready: Callable[[Server], object]) -> None:
        settings, limits = self.settings, self.settings.limits
        stored = self._sharing.routes() if self._sharing is not None else ()
        application = self.application([*stored, *self._more(self)])
        config = uvicorn.Config(
            application, http=protocol_with(limits, self._refused, self.house, self.service.doors()),
            ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
            proxy_headers=False, backlog=BACKLOG, timeout_keep_alive=int(limits.idle_seconds),
            h11_max_incomplete_event_size=limits.header_bytes,
            timeout_graceful_shutdown=int(settings.drain),
        )  # fmt: skip
        config.load()
        if settings.certificate is not None:
            config.ssl = encrypted(settings.certificate, settings.private_key, settings.authorities)
        self._listening = Listening(config, self.house, FAREWELL)
        gateway = self._gateway(application)
        following = self.following()
        starting = asyncio.ensure_future(self._say_ready(ready))
        try:
            await self._listening.serve(sockets=[listener])
        finally:
            for task in [*following, starting]:
                task.cancel()
            await asyncio.gather(*following, starting, return_exceptions=True)
            if gateway is not None:
                await gateway.stop()

    def _gateway(self, application: Starlette) -> Gateway | None:
        """What listens for gRPC, if the settings have a port for it."""
        if self.settings.grpc_port is None:
            return None
        from saver.serve.rpc import Gateway

        gateway = Gateway(application, self.house)
        gateway.start(self.settings)
        self.grpc_address = gateway.address
        return gateway

    async def _say_ready(self, ready: Callable[[Server], object]) -> None:
        while self._listening is not None and not self._listening.started:
            await asyncio.sleep(0.005)
        gc.collect()
        gc.freeze()  # what is there now stays: later collections need not look at it
        ready(self)

    def _refused(self, reason: str) -> None:
        self.metrics.count("saver_refusals_total", reason=reason, model="")

    def stop(self) -> None:
        """End the server as SIGTERM does; from the thread of its event loop."""
        if self._listening is not None:
            self._listening.end()


def _allow_files() -> None:
    """A connection is a file, and many systems allow a process 1,024 of them unless it asks for more."""
    try:
        from resource import RLIMIT_NOFILE, getrlimit, setrlimit
    except ImportError:  # not on Windows
        return
    soft, hard = getrlimit(RLIMIT_NOFILE)
    if soft < FILES:
        setrlimit(RLIMIT_NOFILE, (min(FILES, hard) if hard >= 0 else FILES, hard))


More: TypeAlias = Callable[[Server], Iterable[Route]]


def run(
    settings: Settings, ready: Callable[[Server], object] = lambda server: None,
    more: More = lambda server: (),
) -> None:  # fmt: skip
    """Run a server until a signal ends it."""
    _allow_files()
    asyncio.run(Server(settings, more).run(ready))
