"""What every request passes: an id, who may, limits, times, a refusal, a line in the log."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

import msgspec

from saver.serve.body import Bodies, Body
from saver.serve.limits import Limits
from saver.serve.metrics import Metrics
from saver.serve.plain import Plain
from saver.serve.refusals import Refusal
from saver.serve.sending import send_answer
from saver.serve.tokens import Gate, Right, Token
from saver.serve.tracing import Tracing

logger = logging.getLogger("saver.serve")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_IDS = random.Random()
"""Ids need not be secret."""
_PORT = re.compile(r":[0-9]+$")
LINGER = 2.0
"""Seconds for which the rest of a refused body is read and thrown away: the client then sees the answer."""

Json = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True):
    """What a request is answered."""

    body: bytes = b"{}"
    type: str = "application/json"
    headers: dict[str, str] = {}  # msgspec copies it
    status: int = 200
    pieces: AsyncIterator[bytes] | None = None
    """Instead of `body`, where not all of it should be in memory; they have `length` bytes together."""
    length: int = 0


class Ask:
    """One request: what it says, and what becomes known of it for the log. One that came whole is `plain`."""

    def __init__(
        self, scope: Any, receive: Any, house: House, body: Body, plain: Plain | None = None
    ) -> None:
        self.scope, self._receive, self._house, self._body = scope, receive, house, body
        self._plain = plain
        self.headers = plain.headers if plain is not None else _headers(scope)
        given = self.headers.get("x-request-id")
        self.id = given if given and _ID.fullmatch(given) else f"{_IDS.getrandbits(64):016x}"
        self.params: dict[str, str] = scope.get("path_params", {})
        self.token: Token | None = None
        self.terse = False
        self.model = self.version = ""
        self.rows = self.batch = 0
        self.whole = False
        self.stages: dict[str, float] = {}

    async def body(self) -> bytes:
        """The whole body, decompressed. Raises Refusal. While it comes, the request is not among those
        that are answered: clients that are slow keep nobody out."""
        begin, house = time.perf_counter(), self._house
        if self._plain is not None:
            found = self._body.whole(self._plain.body)
        else:
            house.requests -= 1
            try:
                found = await self._body.read(self._receive, self.headers, house.limits.body_seconds)
            finally:
                house.requests += 1
        self.whole = True
        house.check_room()
        self.stages["read"] = time.perf_counter() - begin
        return found

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body in pieces, as they come. Raises Refusal if the next one does not come in time, and
        ConnectionError if the client has gone. Meanwhile it counts as `body` says."""
        house = self._house
        house.requests -= 1
        try:
            while True:
                async with asyncio.timeout(house.limits.body_seconds):
                    message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError("the client has gone")
                self.whole = not message.get("more_body")
                yield message.get("body", b"")
                if self.whole:
                    break
        except TimeoutError:
            seconds = house.limits.body_seconds
            raise Refusal("slow-body", f"nothing more of the body came for {seconds:g} seconds") from None
        finally:
            house.requests += 1
        house.check_room()

    def query(self, name: str) -> list[str]:
        """The values of a parameter of the address."""
        text = self.scope.get("query_string", b"")
        return _parameters(text).get(name, []) if text else []

    async def rest(self) -> None:
        """Read what is left of the body, and throw it away, for a short time."""
        async with asyncio.timeout(LINGER):
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return


def _headers(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


COOKIE = "saver-token"
"""In which a browser keeps the token that somebody signed in with on a page."""


def cookie_token(headers: dict[str, str]) -> str | None:
    """What would be the header `authorization`, from the cookie of a browser."""
    for piece in headers.get("cookie", "").split(";"):
        name, _, value = piece.strip().partition("=")
        if name == COOKIE and value:
            return f"Bearer {value}"
    return None


@lru_cache(256)
def _parameters(text: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(text.decode("latin-1"), max_num_fields=32)
    except ValueError:
        raise Refusal("bad-request", "the address has too many parameters") from None


Act = Callable[[Ask], Awaitable[Answer]]


class House:
    """What the doors of one server share."""

    def __init__(
        self, limits: Limits, gate: Gate, metrics: Metrics, *, terse: bool, hosts: frozenset[str] | None
    ) -> None:
        self.limits, self.gate, self.metrics, self.terse, self.hosts = limits, gate, metrics, terse, hosts
        self.bodies = Bodies(limits)
        self.requests = 0
        self.ending = False
        """Whether the server closes each connection after its next answer."""
        self.farewells: list[Callable[[], object]] = []
        """Are called when the server begins to end: they end what has no end of its own."""
        self.tracing = Tracing()

    def end(self) -> None:
        """The server begins to end."""
        self.ending = True
        for each in self.farewells:
            each()

    def check_room(self) -> None:
        """Raises Refusal if too many requests are being answered."""
        if self.requests > self.limits.requests:
            raise Refusal("overloaded", "the server answers as many requests as it can; try again")

    def check_host(self, headers: dict[str, str]) -> None:
        """A page of a stranger in a browser here must not reach a server that trusts everybody here: neither
        under a name that now leads here (`hosts`), nor from another origin."""
        host = headers.get("host", "")
        if self.hosts is not None and _PORT.sub("", host).lower() not in self.hosts:
            raise Refusal("forbidden", "this server answers under the names of this machine only")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise Refusal("forbidden", "a page of another origin may not ask this server")


class Door:
    """An ASGI application for one address: lets a request in, or refuses it."""

    def __init__(
        self, house: House, act: Act, right: Right | None, *methods: str, route: str = "", model: bool = False
    ) -> None:
        self._house, self._act, self._right, self._methods = house, act, right, methods
        self._route, self._about_model = route, model

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            ask, answer, reason = await self.answered(scope, receive)
        except ConnectionError:
            return  # the client has gone: nobody is left to answer
        self.note(ask, answer, reason)
        await send_answer(send, ask, answer, self._house.ending)

    async def answered(self, scope: Any, receive: Any, plain: Plain | None = None) -> tuple[Ask, Answer, str]:
        """The answer to a request, and the reason if it is a refusal. Raises ConnectionError if the client
        has gone."""
        house, begin = self._house, time.perf_counter()
        house.requests += 1
        try:
            with Body(house.bodies) as body:  # its bytes are given back before anything is sent
                ask = Ask(scope, receive, house, body, plain)
                with house.tracing.span(self._route, ask.headers) as span:
                    answer, reason = await self._answer(ask)
                    span(ask, answer.status)
        finally:
            house.requests -= 1
        ask.stages["all"] = time.perf_counter() - begin
        return ask, answer, reason

    async def _answer(self, ask: Ask) -> tuple[Answer, str]:
        try:
            self._let_in(ask)
            return await self._act(ask), ""
        except Refusal as refusal:
            terse = ask.terse and ask.token is None
            headers = refusal.headers()
            if refusal.reason == "bad-method":
                headers["allow"] = ", ".join(self._methods)
            return Answer(refusal.body(ask.id, terse), "application/json", headers, refusal.status), (
                refusal.reason
            )
        except ConnectionError:
            raise
        except Exception:
            logger.exception("request %s failed; this is a defect of Saver", ask.id)
            own = Refusal("failed", "the server failed; its log says more")
            return Answer(own.body(ask.id, False), status=500), "failed"

    def _let_in(self, ask: Ask) -> None:
        house = self._house
        ask.terse = house.terse
        if ask.scope["method"] not in self._methods:
            raise Refusal("bad-method", f"{', '.join(self._methods)} is answered here")
        if "\n" in ask.scope["path"]:  # one at the end would be ignored
            raise Refusal("not-found", "no address has a line break")
        if self._right is not None:
            house.check_host(ask.headers)
            client = ask.scope.get("client")
            model = ask.params.get("name") if self._about_model else None
            header = ask.headers.get("authorization")
            if header is None and self._right == "predict":  # the form of a page, of the same origin
                header = cookie_token(ask.headers)
            ask.token = house.gate.admit(header, self._right, model, client[0] if client else "")
            house.check_room()

    def note(self, ask: Ask, answer: Answer, reason: str) -> None:
        """Count a request, and write its line in the log."""
        metrics = self._house.metrics
        metrics.count(
            "saver_requests_total", model=ask.model, version=ask.version, route=self._route,
            status=str(answer.status),
        )  # fmt: skip
        if reason:
            metrics.count("saver_refusals_total", reason=reason, model=ask.model)
        if ask.rows and not reason:
            metrics.count("saver_rows_total", ask.rows, model=ask.model)
            for stage, seconds in ask.stages.items():
                metrics.time("saver_stage_seconds", seconds, stage=stage, model=ask.model)
        if logger.isEnabledFor(logging.INFO):
            logger.info(_line(ask, answer, reason, self._route))


def _line(ask: Ask, answer: Answer, reason: str, route: str) -> str:
    """One line of JSON about a request: never its inputs, its address, or its token."""
    return Json(
        {
            "time": round(time.time(), 3),
            "id": ask.id,
            "method": ask.scope["method"],
            "route": route,
            "model": ask.model,
            "version": ask.version,
            "status": answer.status,
            "refused": reason,
            "rows": ask.rows,
            "batch": ask.batch,
            "bytes": len(answer.body) + answer.length,
            "token": ask.token.name if ask.token is not None else "",
            "ms": {stage: round(1000 * seconds, 3) for stage, seconds in ask.stages.items()},
        }
    ).decode()
