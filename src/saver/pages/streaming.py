"""Answers without an end: so many at the same time, and each until it, its reader or the server ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import Any

from saver.pages.page import Seat, Stream
from saver.pages.security import SECURITY
from saver.serve.refusals import Refusal

EACH = 32
"""Streams of one token, or of one address without tokens. A page has one."""

ALL = 256
"""Streams of one server, so that it keeps room for everything else."""


class Streams:
    """The streams that are open. Belongs to the thread of the event loop."""

    def __init__(self) -> None:
        self._seats: set[_Seat] = set()
        self._of: Counter[str] = Counter()

    def seat(self, visitor: str) -> Seat:
        """Room for one more stream of a visitor. Raises Refusal if there is not."""
        if self._of[visitor] >= EACH:
            raise Refusal("overloaded", f"{EACH} live pages are open already; close one, and try again")
        if len(self._seats) >= ALL:
            raise Refusal("overloaded", "the server shows as many live pages as it can; try again")
        found = _Seat(self, visitor)
        self._seats.add(found)
        self._of[visitor] += 1
        return found

    def end(self) -> None:
        """End them all."""
        for each in self._seats:
            each.ending.set()

    def _left(self, seat: _Seat) -> None:
        if seat in self._seats:
            self._seats.remove(seat)
            self._of[seat.visitor] -= 1
            self._of += Counter()  # without those who have none


class _Seat(Seat):
    def __init__(self, streams: Streams, visitor: str) -> None:
        self._streams, self.visitor, self.ending = streams, visitor, asyncio.Event()

    def leave(self) -> None:
        self._streams._left(self)


async def send_stream(found: Stream, receive: Any, send: Any) -> None:
    """Send events until there are no more, or the reader has gone, or the server ends."""
    fixed = {**SECURITY, "content-type": found.type, "cache-control": "no-store", "connection": "close"}
    headers = [(name.encode(), value.encode()) for name, value in fixed.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def sent() -> None:
        async with aclosing(found.events) as events:  # type: ignore[type-var]
            async for piece in events:
                await send({"type": "http.response.body", "body": piece, "more_body": True})

    tasks = [asyncio.ensure_future(gone()), asyncio.ensure_future(sent())]
    if found.seat is not None:
        tasks.append(asyncio.ensure_future(found.seat.ending.wait()))  # type: ignore[arg-type]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await send({"type": "http.response.body", "body": b""})
