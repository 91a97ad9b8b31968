"""Asks an application within this process, for what has come by another way than HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from saver.serve.refusals import Refusal

Application: TypeAlias = Callable[[Any, Any, Any], Any]
Reply: TypeAlias = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


def scope_of(
    method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]], client: tuple[str, int] | None
) -> dict[str, Any]:
    """What an application learns of a request."""
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "2", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": query, "root_path": "", "scheme": "http", "server": None,
        "client": client, "headers": headers,
    }  # fmt: skip


async def asked(application: Application, scope: dict[str, Any], body: bytes) -> Reply:
    """The answer of the application. Raises Refusal if there is none."""
    sent = list[dict[str, Any]]()
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return pending.pop() if pending else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    if not sent:  # as if the client had gone
        raise Refusal("failed", "the server failed; its log says more")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(each["body"] for each in sent[1:])
