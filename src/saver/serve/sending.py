"""Sends an answer through ASGI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saver.serve.door import Answer, Ask


async def send_answer(send: Any, ask: Ask, answer: Answer, last: bool) -> None:
    """Send an answer; if it is the last one of its connection, say so."""
    headers = [
        (b"content-type", answer.type.encode()),
        (b"content-length", str(len(answer.body) + answer.length).encode()),
        (b"x-request-id", ask.id.encode()),
        *((name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()),
    ]
    method = ask.scope["method"]
    unread = not ask.whole and ("content-length" in ask.headers or "transfer-encoding" in ask.headers)
    unread = unread and ask.headers.get("content-length") != "0"
    twofold = (
        "content-length" in ask.headers and "transfer-encoding" in ask.headers
    )  # where it ends is in doubt
    if (unread or last or twofold) and "connection" not in answer.headers:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if method == "HEAD" else answer.body
    if answer.pieces is not None and method != "HEAD":
        async for piece in answer.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    if unread:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        try:
            await ask.rest()
        except TimeoutError:
            pass  # it is closed below, whatever else comes
        body = b""
    await send({"type": "http.response.body", "body": body})
