"""What the proxies of Ray Serve ask: a door reads a request within limits, and has a replica answer it. If
that one dies meanwhile, another one answers: a prediction changes nothing, so it can be made again."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve
from ray.exceptions import ObjectLostError, RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from starlette.applications import Starlette
from starlette.routing import Route

from saver.logger import logger
from saver.loopback import is_loopback
from saver.serve.door import Answer, Ask, Door, House
from saver.serve.metrics import Metrics
from saver.serve.refusals import Refusal
from saver.serve.settings import Settings
from saver.serve.tokens import Gate
from saver.serve.within import Reply

EVERY = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
ADDRESSES = ("/predict/", "/v2/", "/v2", "/openapi.json", "/models")
"""What all replicas answer alike. Metrics and orders are of one server: here Ray counts, and a tag orders."""
REPLACED = {"content-length", "content-encoding", "transfer-encoding", "x-request-id"}
OWN = {"content-type", "content-length", "x-request-id", "connection"}
PAUSE, LONGEST = 0.02, 0.5
"""Seconds before another replica is asked: at first, and at most."""
GRACE = 1.0
"""Seconds after its time for which a replica may still say itself that it is late."""


class Doors:
    """A deployment that asks the replicas behind `handle`."""

    def __init__(self, settings: Settings, handle: Any) -> None:
        self._settings, self._handle = settings, handle
        self._house = House(settings.limits, Gate(None, ()), Metrics(), terse=settings.terse, hosts=None)

    def __serve_build_asgi_app__(self) -> Starlette:
        door = Door(self._house, self._passed, None, *EVERY, route="/")
        return Starlette(routes=[Route("/{rest:path}", door, methods=None)])

    async def _passed(self, ask: Ask) -> Answer:
        """What a replica answers. Without tokens, only clients on the machine of the proxy are served."""
        scope = ask.scope
        client = scope.get("client")
        if self._settings.tokens is None and not (client and is_loopback(client[0])):
            raise Refusal("forbidden", "without tokens, only the machine itself is served; pass tokens=FILE")
        path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
        if not path.startswith(ADDRESSES):
            raise Refusal("not-found", "there is nothing here; /openapi.json lists the addresses")
        body = await ask.body()
        headers = [pair for pair in scope["headers"] if pair[0].decode("latin-1") not in REPLACED]
        headers += [(b"x-request-id", ask.id.encode()), (b"content-length", str(len(body)).encode())]
        query = scope.get("query_string", b"")
        given = (scope["method"], path, query, headers, tuple(client) if client else None, body)
        try:
            async with asyncio.timeout(self._settings.limits.seconds + GRACE):
                status, found, data = await self._answered(ask.id, given)
        except TimeoutError:
            raise Refusal("timeout", "no replica answered in time") from None
        more = {name: value for name, value in found.items() if name not in OWN}
        unsent = int(found["content-length"]) - len(data)  # of an answer to HEAD
        return Answer(data, found["content-type"], more, status, length=unsent)

    async def _answered(self, id: str, given: tuple[Any, ...]) -> Reply:
        pause = PAUSE
        while True:
            try:
                reply: Reply = await self._handle.answer.remote(*given)
            except DeploymentUnavailableError:
                raise Refusal("unavailable", "no replica can be started; the log of Ray says why") from None
            except (RayActorError, ObjectLostError) as error:
                logger.warning("request %s: %s; another replica is asked", id, type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST)
            else:
                return reply


Entrance = serve.ingress()(Doors)
