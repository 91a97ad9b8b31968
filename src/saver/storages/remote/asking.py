"""Asks a server, again where that may help, and says what went wrong otherwise."""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from saver.errors import (
    CannotReadError,
    CannotWriteError,
    CommitUnknownError,
    DamagedError,
    IncompatibleError,
    SaverError,
    printable,
)
from saver.storages.remote.connections import Answer, Body, Connections, UnansweredError
from saver.storages.remote.token import Token

E = TypeVar("E", CannotReadError, CannotWriteError)

PROTOCOL = "1"
HEADER = "saver-store"
"""The header with the number of the protocol, in each request and each answer of a store."""

PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds until a request is repeated: doubled each time."""
HOPELESS = 3
"""Tries if the server never answered at all."""
JSON_BYTES = 16 << 20
"""Of an answer in JSON, at most."""

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
"""Answers after which a request is repeated."""
DONE_PERHAPS = (500, 502, 504)
"""Those of a proxy, or of a server in trouble, that do not say whether it was done."""


class _Refused(msgspec.Struct):
    error: str = ""
    code: str = ""


class Given(msgspec.Struct, frozen=True):
    """An answer. `doubtful`: an earlier try of the same request may have been done already."""

    status: int
    headers: dict[str, str]
    data: bytes
    doubtful: bool
    refused: _Refused


class Asking:
    """Requests to the store that a server shares at `path`. `name` is what messages call it."""

    def __init__(self, name: str, path: str, connections: Connections, token: Token, deadline: float) -> None:
        self.name, self.deadline = name, deadline
        self._path, self._connections, self._token = path, connections, token

    def ask(
        self, kind: type[E], method: str, path: str, body: Body = None, *, most: int = JSON_BYTES,
        headers: Mapping[str, str] = {}, where: str = "",
    ) -> Given:  # fmt: skip
        """The answer to a request: one that says that it was done, 404, or 412. Everything else is raised, as
        an error of this kind, or one that the server names. CommitUnknownError if a request that writes may
        have been done."""
        end, pause, tries, doubtful = time.monotonic() + self.deadline, PAUSE, 0, False
        where = where or self.name
        while True:
            tries += 1
            try:
                found = self._once(method, path, body, headers, most)
            except UnansweredError as error:
                reason, wait = error.reason, pause
                doubtful = doubtful or error.sent
                final = error.final or (tries >= HOPELESS and not self._connections.reached)
            else:
                refused = self._refusal(found, where)
                if found.status not in AGAIN:
                    return self._taken(kind, found, refused, doubtful, where)
                reason, final = _reason(found, refused), False
                wait = max(pause, _asked_to_wait(found))
                doubtful = doubtful or found.status in DONE_PERHAPS
            if final or time.monotonic() + wait > end:
                raise self._gave_up(kind, reason, where, doubtful)
            time.sleep(wait * random.uniform(0.8, 1.2))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(self, method: str, path: str, body: Body, headers: Mapping[str, str], most: int) -> Answer:
        own = {HEADER: PROTOCOL, "user-agent": "saver", **self._token.headers(), **headers}
        return self._connections.ask(method, self._path + path, body, own, max(most, 64 << 10))

    def _refusal(self, found: Answer, where: str) -> _Refused:
        """What a server of Saver says of what it refuses. Raises an error if it is another server."""
        if found.status < 400 and found.headers.get(HEADER) == PROTOCOL:
            return _Refused()
        try:
            refused = msgspec.json.decode(found.data, type=_Refused)
        except (msgspec.DecodeError, UnicodeError):
            refused = _Refused()
        version = found.headers.get(HEADER, PROTOCOL)
        if version != PROTOCOL or refused.code == "other-protocol":
            raise IncompatibleError(
                f"{where}: the server shares its store in another way (protocol {version[:20]!r}, and this "
                f"Saver knows {PROTOCOL}); install the same version of Saver here and there"
            )
        if found.status in AGAIN or refused.code:
            return refused
        raise CannotReadError(f"{where}: {self._stranger(found)}")

    def _stranger(self, found: Answer) -> str:
        kind = found.headers.get("content-type", "").partition(";")[0][:40]
        if found.status in (301, 302, 303, 307, 308):
            to = printable(found.headers.get("location", "elsewhere"))[:200]
            return (
                f"the server points elsewhere ({found.status}, {to}); the token was not sent there; use the "
                "right address"
            )
        what = f"{found.status}, {kind or 'of no type'}"
        return (
            f"what answers is not `saver serve` ({what}): a proxy, or another server; check the address, and "
            "that the server shares its store (`saver serve --share checked`)"
        )

    def _taken(self, kind: type[E], found: Answer, refused: _Refused, doubtful: bool, where: str) -> Given:
        if found.status < 300 or found.status == 412 or refused.code == "no-object":
            return Given(found.status, found.headers, found.data, doubtful, refused)
        said = self._token.hidden(printable(refused.error))[:500]
        raise _error(kind, found.status, refused.code, said, where, bool(self._token.source))

    def _gave_up(self, kind: type[E], reason: str, where: str, doubtful: bool) -> SaverError:
        text = f"{where}: {self._token.hidden(reason)}"
        if kind is CannotWriteError and doubtful:
            return CommitUnknownError(f"{text}; it is unknown whether it was written; look, and try again")
        if self._connections.reached:
            return kind(f"{text}; try again, or wait longer with ?deadline=SECONDS")
        return kind(f"{text}; check the address, the network, and that the server runs")


def _reason(found: Answer, refused: _Refused) -> str:
    if found.status == 429:
        return f"the server was asked too often ({printable(refused.error)[:200]})"
    what = printable(refused.error)[:200] or found.headers.get("content-type", "")[:40]
    return f"the server answered {found.status}" + (f" ({what})" if what else "")


def _asked_to_wait(found: Answer) -> float:
    """Seconds that the server asks for, at most a minute."""
    text = found.headers.get("retry-after", "")
    return min(float(text), 60.0) if text.isdecimal() and len(text) < 6 else 0.0


def _error(kind: type[E], status: int, code: str, said: str, where: str, shown: bool) -> SaverError:
    """The error for what the server refuses."""
    if code in ("unauthorized", "forbidden", "kept"):
        found = kind(_denied(code, said, where, shown))
        found.__cause__ = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return found
    if code == "not-found":
        return kind(f"{where}: this server shares no store here; it does with `saver serve --share checked`")
    if code == "too-large":
        return kind(f"{where}: {said}; who runs the server may allow more (--limit object_bytes=N)")
    named = {"damaged": DamagedError, "incompatible": IncompatibleError}.get(code)
    if named is not None:
        return named(f"{where}: {said}")
    return kind(f"{where}: the server refused it ({status}): {said}")


def _denied(code: str, said: str, where: str, shown: bool) -> str:
    if code == "unauthorized":
        if shown:
            return (
                f"{where}: the server does not take this token: it is wrong, expired, or was revoked; ask "
                "for another one (`saver token new`, where the server runs)"
            )
        return f"{where}: a token is needed; pass token=, or set SAVER_TOKEN or SAVER_TOKEN_FILE"
    if code == "kept":
        return f"{where}: {said}"
    return f"{where}: {said}; ask who runs the server for a token that may do this"
