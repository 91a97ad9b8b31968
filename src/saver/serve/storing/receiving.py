"""Takes an object that is sent: small ones in memory, others in a file without a name, within limits."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import IO

from saver.disk.mapped import MappedFile
from saver.serve.body import Bodies
from saver.serve.door import Ask
from saver.serve.limits import Limits
from saver.serve.refusals import Refusal
from saver.storage import Blob, Content
from saver.storages.memory import MemoryBlob

HELD = 1 << 20
"""Up to this size, an object is held in memory."""
PIECE = 1 << 20
SLOWEST = 16 << 10
"""Bytes per second that a sender must send on average, after the first `body_seconds`."""


class Spool:
    """Where objects are held until they are examined. The files have no name: nothing is left of them,
    however the server ends."""

    def __init__(self, limits: Limits, bodies: Bodies) -> None:
        self.limits, self.bodies, self.held = limits, bodies, 0

    def file(self) -> IO[bytes]:
        """A new file without a name, in the folder of temporary files (`TMPDIR`)."""
        return tempfile.TemporaryFile(prefix="saver-", buffering=0)


class Received:
    """An object that has come whole, or comes: in memory, or in a file. `close` gives back what it takes."""

    def __init__(self, spool: Spool, most: int) -> None:
        self._spool, self._most = spool, most
        self._memory = io.BytesIO()
        self._file: IO[bytes] | None = None
        self._waiting = bytearray()
        self.size = 0

    def close(self) -> None:
        """Give back memory and space."""
        if self._file is not None:
            self._spool.held -= self.size
            self._file.close()
        else:
            self._spool.bodies.held -= self.size
        self._memory, self._waiting, self.size, self._file = io.BytesIO(), bytearray(), 0, None

    def demand(self, size: int) -> None:
        """Raises Refusal if so many bytes are too many."""
        if size > self._most:
            raise Refusal("too-large", f"an object of this kind has at most {self._most:,} bytes")

    def account(self, count: int) -> None:
        """Take so many bytes more into account; from some size on, they belong into a file. Raises Refusal,
        before they are kept."""
        self.demand(self.size + count)
        spool = self._spool
        into_file = self.size + count > HELD
        if not into_file:
            spool.bodies.reserve(count)
            self.size += count
            return
        fresh = count if self._file is not None else self.size + count
        if spool.held + fresh > spool.limits.spool_bytes:
            raise Refusal("overloaded", "the server receives as many objects as it has room for; try again")
        spool.held += fresh
        if self._file is None:
            spool.bodies.held -= self.size
            self._file = spool.file()
            self._waiting += self._memory.getvalue()
            self._memory = io.BytesIO()
        self.size += count

    def add(self, data: bytes) -> bool:
        """Keep bytes that were taken into account. Returns whether `flush` should be called."""
        if self._file is None:
            self._memory.write(data)
            return False
        self._waiting += data
        return len(self._waiting) >= PIECE

    def flush(self) -> None:
        """Write what waits to the file."""
        if self._file is not None:
            view = memoryview(bytes(self._waiting))
            self._waiting.clear()
            try:
                while view:
                    view = view[self._file.write(view) or 0 :]
            except OSError as error:
                raise Refusal(
                    "overloaded", f"the server has no room for what comes ({error.strerror}); try again"
                ) from None

    def blob(self, name: str) -> Blob:
        """All of it, to be read."""
        if self._file is None:
            return MemoryBlob(name, self._memory.getvalue())
        return MappedFile(os.dup(self._file.fileno()), name)

    def data(self) -> bytes:
        """All of it, in memory."""
        return self.blob("what was received").read()

    def content(self) -> Content:
        """All of it, to be stored."""
        return _Held(self.blob("what was received"))


class _Held(Content):
    def __init__(self, blob: Blob) -> None:
        self.size, self._blob = blob.size, blob

    def pieces(self) -> Iterator[bytes]:
        for at in range(0, self.size, PIECE):
            yield self._blob.read(at, at + PIECE)


async def receive(ask: Ask, received: Received, limits: Limits, threads: Executor) -> None:
    """Take the whole body of a request. Raises Refusal if it is too large or too slow, ConnectionError if the
    client has gone."""
    if ask.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise Refusal("bad-type", "objects are sent as they are, without a content-encoding")
    length = ask.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20:
        received.demand(int(length))
    loop, begun = asyncio.get_running_loop(), time.monotonic()
    async with aclosing(ask.pieces()) as pieces:
        async for piece in pieces:
            if time.monotonic() - begun > limits.body_seconds + received.size / SLOWEST:
                raise Refusal("slow-body", f"an object must come with {SLOWEST} bytes per second")
            received.account(len(piece))
            if received.add(piece):
                await loop.run_in_executor(threads, received.flush)
    await loop.run_in_executor(threads, received.flush)
