"""Reads bodies within limits: of one after decompression, of all together, and of the time that one takes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from saver.serve.limits import Limits
from saver.serve.refusals import Refusal, shown

PIECE = 256 * 1024
"""Bytes that are decompressed at a time."""


class Bodies:
    """The bytes of all bodies that are held now."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.held = limits, 0

    def reserve(self, count: int) -> None:
        """Raises Refusal if so many bytes more are too many, before they are there."""
        if self.held + count > self.limits.bodies_bytes:
            raise Refusal("overloaded", "the server holds as many requests as it has memory for; try again")
        self.held += count


class Body:
    """One body. `release` gives its bytes back."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies, self._reserved = bodies, 0

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._bodies.held -= self._reserved
        self._reserved = 0

    def _demand(self, size: int) -> None:
        limit = self._bodies.limits.body_bytes
        if size > limit:
            raise Refusal("too-large", f"the body is larger than {limit} bytes; send fewer rows at a time")

    def _grow(self, size: int) -> None:
        """Reserve what has come, not what a header promises: that would cost its sender nothing."""
        self._demand(size)
        if size > self._reserved:
            self._bodies.reserve(size - self._reserved)
            self._reserved = size

    def whole(self, data: bytes) -> bytes:
        """The body, if it is there already, as it is. Raises Refusal."""
        self._grow(len(data))
        return data

    async def read(
        self, receive: Callable[[], Awaitable[Any]], headers: Mapping[str, str], seconds: float
    ) -> bytes:
        """The whole body, decompressed. Raises Refusal; ConnectionError if the client has gone."""
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip", "deflate", ""):
            raise Refusal(
                "bad-type", f"content-encoding: gzip, deflate or identity is read, not {shown(coding)}"
            )
        length = headers.get("content-length")
        if length is not None and length.isdecimal() and len(length) < 20:
            self._demand(int(length))
        try:
            async with asyncio.timeout(seconds):
                return await self._pieces(receive, coding)
        except TimeoutError:
            raise Refusal("slow-body", f"the body did not arrive within {seconds:g} seconds") from None

    async def _pieces(self, receive: Callable[[], Awaitable[Any]], coding: str) -> bytes:
        plain = coding in ("identity", "")
        inflate = None if plain else zlib.decompressobj(31 if coding == "gzip" else 15)
        message = await receive()
        if plain and message["type"] == "http.request" and not message.get("more_body"):
            return self.whole(bytes(message["body"]))
        found = bytearray()
        while message["type"] != "http.disconnect":
            data = message.get("body", b"")
            if inflate is None:
                self._grow(len(found) + len(data))
                found += data
            else:
                self._inflate(inflate, data, found)
            if not message.get("more_body"):
                if inflate is not None and not inflate.eof:
                    raise Refusal("bad-request", f"the body is not whole {coding}")
                return bytes(found)
            message = await receive()
        raise ConnectionError("the client has gone")

    def _inflate(self, inflate: Any, data: bytes, found: bytearray) -> None:
        try:
            while data and not inflate.eof:
                piece = inflate.decompress(data, PIECE)
                self._grow(len(found) + len(piece))
                found += piece
                data = inflate.unconsumed_tail
        except zlib.error:
            raise Refusal("bad-request", "the body is not what its content-encoding says") from None
        if inflate.unused_data or (inflate.eof and data):
            raise Refusal("bad-request", "something follows the compressed body")
