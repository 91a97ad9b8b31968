"""HTTP/1.1 as uvicorn speaks it with h11, and the limits that it lacks: a time for the header, a number of
connections, and a time in which an answer must be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from saver.serve.corked import Corked
from saver.serve.door import Answer, Ask, House
from saver.serve.limits import Limits
from saver.serve.plain import plain
from saver.serve.straight import Doors, Straight, written

TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

SOON = 0.02
"""Seconds in which the body that follows a header is likely to come."""

CONFIRMING = 1.0
"""Seconds in which a client confirms the end of TLS."""

Seen = Callable[[str], None]
"""Is called with the reason when a connection is refused before there is a request."""


class _Bounded(h11.Connection):
    """As h11, which counts a header only while it is not whole: one that comes in one piece counts, too."""

    def __init__(self, most: int) -> None:
        super().__init__(h11.SERVER, most)
        self._most = most
        self.too_large = False

    def next_event(self) -> Any:
        """The next event. Raises RemoteProtocolError."""
        if self.their_state is not h11.IDLE:
            return super().next_event()
        before = len(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request) and before - len(self.trailing_data[0]) > self._most:
            self.too_large = True
            raise h11.RemoteProtocolError("the header is too large", error_status_hint=431)
        return event


class LimitedProtocol(H11Protocol):
    """One connection. A class is made for each server by `protocol_with`."""

    limits = Limits()
    seen: Seen = staticmethod(lambda reason: None)
    waiting: dict[LimitedProtocol, None] = {}  # noqa: RUF012  # not being answered, the oldest first
    house: House | None = None
    doors: Doors = {}  # noqa: RUF012  # of `house`, that answer requests in their plainest form

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        most = self.config.h11_max_incomplete_event_size or self.limits.header_bytes
        self.conn: _Bounded = _Bounded(most)
        self._header_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._straight: Straight | None = None
        self._begun = b""
        self._begun_timer: asyncio.TimerHandle | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]
        if len(self.connections) > self.limits.connections:
            self._make_room()
        if not self.transport.is_closing():
            self.waiting[self] = None
            self._wait_for_header()

    def _make_room(self) -> None:
        """One too many: the oldest that is not being answered is closed; this one, if all are."""
        oldest = next(iter(self.waiting), self)
        self.seen("connections")
        oldest._end_with(TOO_MANY)

    def _end_with(self, answer: bytes) -> None:
        self._stop_waiting()
        self.waiting.pop(self, None)
        self.connections.discard(self)
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def _wait_for_header(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self.limits.header_seconds, self._header_is_late)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _header_is_late(self) -> None:
        self.seen("slow-header")
        self._end_with(TOO_SLOW)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._straight is not None:  # what follows the request that is being answered
            self._straight.behind += data
            self.flow.pause_reading()
            return
        before = self._end_of_begun()
        if not (self.doors and self._goes_straight(before + data, not before)):
            self._goes_long(before + data)

    def _goes_long(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_header()

    def _end_of_begun(self) -> bytes:
        if self._begun_timer is not None:
            self._begun_timer.cancel()
            self._begun_timer = None
        begun, self._begun = self._begun, b""
        return begun

    def _begun_goes_long(self) -> None:
        """Nothing more came soon, or the line ends: what is there is for h11."""
        if begun := self._end_of_begun():
            self._goes_long(begun)

    def _goes_straight(self, data: bytes, waits: bool) -> bool:
        """Answer a request in its plainest form, if that is what came, and nothing is before it. Many clients
        send a header and then its body: if it `waits`, the header is kept for a moment."""
        conn, house = self.conn, self.house
        if (
            house is None or house.tracing.on or self.flow.write_paused or conn.our_state is not h11.IDLE
            or conn.their_state is not h11.IDLE or conn.trailing_data[0]
        ):  # fmt: skip
            return False
        most = self.config.h11_max_incomplete_event_size or self.limits.header_bytes
        found = plain(data, most)
        door = self.doors.get(found.target.partition(b"?")[0]) if found is not None else None
        if found is None or door is None or (found.missing and (not waits or len(data) > most)):
            return False
        self._unset_keepalive_if_required()
        if found.missing:
            self._begun = data
            self._begun_timer = self.loop.call_later(SOON, self._begun_goes_long)
            return True
        self._stop_waiting()
        self.waiting.pop(self, None)
        self.cycle = self._straight = Straight()  # type: ignore[assignment]
        self._straight.answer(door, found, self.client, house, self._answered_straight, self._failed)
        return True

    def _answered_straight(self, ask: Ask, answer: Answer, last: bool) -> None:
        behind = self._straight.behind if self._straight is not None else b""
        self._straight = None
        if not self.transport.is_closing():
            self.transport.write(written(ask, answer, self.server_state.default_headers, last))
            self.transport.write(b"")  # now, and not at the end of the turn
        self.on_response_complete()
        if last:
            self.transport.close()
        elif not self.transport.is_closing():
            self.waiting.setdefault(self)
            if behind:
                self.data_received(bytes(behind))

    def _failed(self, error: Exception) -> None:
        self.logger.error("a request failed; this is a defect of Saver", exc_info=error)
        self.transport.close()

    def _watch_header(self) -> None:
        """A header that has begun must end in time; between two requests, the time to idle counts instead."""
        if self.transport.is_closing():
            return
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self.conn.trailing_data[0]:
            self._wait_for_header()
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.waiting.setdefault(self)
        else:
            self.waiting.pop(self, None)

    def handle_events(self) -> None:
        super().handle_events()
        self._watch_header()

    def send_400_response(self, msg: str) -> None:
        """h11 gave up: because the header is too long, or not HTTP at all."""
        too_large = self.conn.too_large or (
            self.conn.their_state is h11.ERROR
            and len(self.conn.trailing_data[0])
            >= (self.config.h11_max_incomplete_event_size or self.limits.header_bytes)
        )
        self.seen("headers-too-large" if too_large else "not-http")
        if self.cycle is not None and not self.cycle.response_complete:  # an answer has begun on this line
            self.transport.close()
        elif too_large:
            self._end_with(TOO_LARGE)
        else:
            super().send_400_response(msg)

    def shutdown(self) -> None:
        """The server ends, and this connection with it if it is idle. Over TLS, a client that is idle, too,
        does not confirm that: it is waited for so long, and not for the 30 seconds of asyncio."""
        self._begun_goes_long()
        super().shutdown()
        if self.transport.is_closing() and self.scheme == "https":
            self.loop.call_later(CONFIRMING, self.transport.abort)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more. If its requests are whole, it still gets their answers."""
        self._begun_goes_long()
        self._ended = True
        return self._has_to_answer() and self.scheme == "http"  # TLS cannot be half closed

    def _has_to_answer(self) -> bool:
        """Whether the client, which sends no more, still waits for an answer; the line ends with the last."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        cycle.keep_alive = bool(self.conn.trailing_data[0])
        return True

    def on_response_complete(self) -> None:
        super().on_response_complete()  # which begins the request that came next
        if self._ended and not self.transport.is_closing() and not self._has_to_answer():
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self.limits.send_seconds, self._answer_is_not_read)

    def _answer_is_not_read(self) -> None:
        self.seen("slow-reader")
        self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_sending()

    def _stop_sending(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_of_begun()
        self._stop_waiting()
        self.waiting.pop(self, None)
        self._stop_sending()
        super().connection_lost(exc)


def protocol_with(
    limits: Limits, seen: Seen, house: House | None = None, doors: Doors | None = None
) -> type[LimitedProtocol]:
    """The class of the connections of one server. `doors` of its `house` answer requests in their plainest
    form."""
    return type(
        "Connection", (LimitedProtocol,),
        {
            "limits": limits, "seen": staticmethod(seen), "waiting": {}, "house": house,
            "doors": dict(doors or {}),
        },
    )  # fmt: skip
