"""A transport that sends in one system call what is written in one turn of the event loop."""

from __future__ import annotations

import asyncio
from typing import Any


class Corked:
    """uvicorn writes the header and the body of an answer one by one: each would be a packet of its own, and
    wake the client, which then waits for the rest."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not data:  # the end of an answer, of which nothing is left to say
            self._flush()
            return
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def _flush(self) -> None:
        if self._waiting:
            data, self._waiting = b"".join(self._waiting), []
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else is that of the transport."""
        return getattr(self._transport, name)
