"""Connections to one server, which are used again. A request that gets no answer raises `UnansweredError`."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TypeAlias

import msgspec

CONNECT, ANSWER = 10.0, 60.0
"""Seconds for a connection, and for each step of an answer, at most. What was sent is checked
before: `SPEED` says for how long."""
SPEED = 4_000_000.0
"""Bytes per second that a server checks and writes at least."""
KEPT = 32
"""Connections that stay open."""

Body: TypeAlias = "bytes | Callable[[], Iterator[bytes]] | None"
"""What is sent: bytes, or what yields them in pieces, whose number is not known before."""


class UnansweredError(Exception):
    """There was no answer, or no whole one. `sent`: the server may have done what it was asked. `final`: a
    repetition would not help."""

    def __init__(self, reason: str, *, sent: bool, final: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.sent, self.final = reason, sent, final


class Answer(msgspec.Struct, frozen=True):
    """An answer; the names of `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    data: bytes


class Connections:
    """Connections to a server. Safe to use from several threads, and in a forked child."""

    def __init__(self, host: str, port: int | None, *, secure: bool, patience: float = ANSWER) -> None:
        self.host, self.port, self._secure = host, port, secure
        self._patience = min(patience, ANSWER)
        self._free: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close, self._free)
        self._owner = os.getpid()
        self.reached = False
        """Whether the server has ever answered."""

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # verifies certificate and name

    def _new(self) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(self.host, self.port, timeout=CONNECT, context=self._context)
        return http.client.HTTPConnection(self.host, self.port, timeout=CONNECT)

    def _taken(self) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it was used before."""
        if self._owner != os.getpid():  # those of the parent are the parent's
            self._owner = os.getpid()
            _close(self._free)
        with suppress(IndexError):
            return self._free.pop(), True
        return self._new(), False

    def ask(self, method: str, path: str, body: Body, headers: Mapping[str, str], most: int) -> Answer:
        """The answer to one request, with at most `most` bytes. Raises UnansweredError, and what `body`
        raises: then the server gets no whole request."""
        while True:
            line, used = self._taken()
            whole = False
            try:
                answer, reusable = _exchange(line, method, path, body, headers, most, self._patience)
                whole = reusable
                self.reached = True
                return answer
            except UnansweredError as error:
                if not used or not error.sent:
                    raise
                # The server had closed it before, and all others, most probably: a new one says.
                _close(self._free)
                if callable(body) or method not in ("GET", "POST"):
                    raise
            finally:
                if whole and len(self._free) < KEPT:
                    self._free.append(line)
                else:
                    line.close()


def _close(lines: list[http.client.HTTPConnection]) -> None:
    """Close connections. Where they are another process's, too, it keeps them."""
    while lines:
        lines.pop().close()


def _exchange(
    line: http.client.HTTPConnection, method: str, path: str, body: Body, headers: Mapping[str, str],
    most: int, patience: float,
) -> tuple[Answer, bool]:  # fmt: skip
    """An answer, and whether the connection can be used again."""
    _connect(line)
    sock = line.sock
    sock.settimeout(patience)
    try:
        sent = _send(line, method, path, body, headers)
        sock.settimeout(patience + sent / SPEED)
        answer = line.getresponse()
        length = answer.length
        data = answer.read(most + 1)
        if len(data) > most:
            raise UnansweredError("the answer is longer than any of Saver's", sent=True, final=True)
        if length is not None and len(data) < length:  # which `read` does not say
            raise http.client.IncompleteRead(data, length - len(data))
    except (OSError, http.client.HTTPException) as error:
        raise UnansweredError(_said(error), sent=True) from None
    found = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, found, data), not answer.will_close


def _connect(line: http.client.HTTPConnection) -> None:
    if line.sock is not None:
        return
    line.timeout = CONNECT
    try:
        line.connect()
    except ssl.SSLCertVerificationError as error:
        raise UnansweredError(
            f"its certificate cannot be trusted ({error.verify_message}); if it is one of your own, name the "
            "file of its authority in SSL_CERT_FILE", sent=False, final=True,
        ) from None  # fmt: skip
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise UnansweredError(
            f"no TLS ({reason}); is it a server for https://?", sent=False, final=True
        ) from None
    except socket.gaierror as error:
        again = error.errno == socket.EAI_AGAIN
        raise UnansweredError(f"no such host ({error.strerror})", sent=False, final=not again) from None
    except (OSError, http.client.HTTPException) as error:
        raise UnansweredError(_said(error), sent=False) from None


def _send(
    line: http.client.HTTPConnection, method: str, path: str, body: Body, headers: Mapping[str, str]
) -> int:
    """Send a request; returns how many bytes of a body were sent. If the server closes its side meanwhile, it
    has answered: that is read next."""
    line.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        line.putheader(name, value)
    if not callable(body):
        if body is not None:
            line.putheader("content-length", str(len(body)))
        line.endheaders()
        return _send_piece(line, body or b"")
    line.putheader("transfer-encoding", "chunked")
    line.endheaders()
    sent = 0
    for piece in body():
        if piece:
            size = _send_piece(line, b"%x\r\n" % len(piece), piece, b"\r\n")
            if not size:
                return sent
            sent += size
    _send_piece(line, b"0\r\n\r\n")
    return sent


def _send_piece(line: http.client.HTTPConnection, *pieces: bytes) -> int:
    """The number of bytes sent; 0 if the server takes no more."""
    try:
        for piece in pieces:
            line.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    return sum(map(len, pieces))


def _said(error: BaseException) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | http.client.IncompleteRead):
        return "it closed the connection before its answer was whole"
    if isinstance(error, http.client.HTTPException):
        return f"what answers does not speak HTTP ({type(error).__name__})"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
