"""Clients that mean harm. Each function is one visit, and returns what was answered; no visit may get 200 for
what is wrong, nor make the server fail."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

from irises import X

PATIENCE = 10.0
"""Seconds after which a visit ends by itself."""
_ADDRESSES = (f"127.0.{1 + number // 250 % 250}.{2 + number % 250}" for number in count())
"""Of which each visit has one of its own: what one address may guess in a minute is limited."""

Harm = Callable[["Stranger"], Awaitable[bytes]]
ROWS = json.dumps({"rows": X[:2].tolist()}).encode()


class Stranger:
    """One connection to the server, from an address of its own. It has a good `token`, as a customer who
    turned bad would: without one, everything ends at the door."""

    def __init__(self, port: int, token: str, random: random.Random) -> None:
        self.port, self.token, self.random = port, token, random

    async def __aenter__(self) -> Stranger:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(next(_ADDRESSES), 0)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def head(self, path: str = "/predict/iris", *more: str, token: str | None = None) -> bytes:
        lines = (
            f"POST {path} HTTP/1.1", "host: localhost", f"authorization: Bearer {token or self.token}",
            "content-type: application/json", *more,
        )  # fmt: skip
        return "\r\n".join(lines).encode() + b"\r\n"

    def whole(self, body: bytes, path: str = "/predict/iris", *more: str, token: str | None = None) -> bytes:
        head = self.head(path, f"content-length: {len(body)}", *more, "connection: close", token=token)
        return head + b"\r\n" + body

    async def say(self, *pieces: bytes, pause: float = 0) -> None:
        """Send; what the server does not want to hear any more is dropped."""
        with suppress(ConnectionError):
            for piece in pieces:
                if self.writer.transport.is_closing():
                    return
                self.writer.write(piece)
                await self.writer.drain()
                if pause:
                    await asyncio.sleep(pause)

    async def heard(self) -> bytes:
        """All that comes until the server closes."""
        found = b""
        with suppress(ConnectionError):
            while piece := await self.reader.read(65536):
                found += piece
        return found


async def slow_header(by: Stranger) -> bytes:
    head = by.head("/predict/iris", "x: y") * 3
    await by.say(*(head[at : at + 1] for at in range(len(head))), pause=0.2)
    return await by.heard()


async def slow_body(by: Stranger) -> bytes:
    await by.say(by.head("/predict/iris", f"content-length: {len(ROWS)}") + b"\r\n")
    await by.say(*(ROWS[at : at + 1] for at in range(len(ROWS))), pause=0.2)
    return await by.heard()


async def slow_reader(by: Stranger) -> bytes:
    body = json.dumps({"rows": X.tolist() * 20}).encode()
    request = by.head("/predict/iris", f"content-length: {len(body)}") + b"\r\n" + body
    with suppress(ConnectionError):
        by.writer.write(request * 10)
    await asyncio.sleep(by.random.uniform(0.5, 3))
    return b""


async def idle_crowd(by: Stranger) -> bytes:
    """Many connections on which nothing is asked."""
    lines: list[asyncio.StreamWriter] = []

    async def one() -> None:
        with suppress(ConnectionError):
            lines.append((await asyncio.open_connection("127.0.0.1", by.port))[1])

    try:
        await asyncio.gather(*(one() for _ in range(40)))
        await asyncio.sleep(by.random.uniform(0.2, 2))
    finally:
        for line in lines:
            line.transport.abort()
    return b""


async def huge_length(by: Stranger) -> bytes:
    await by.say(by.head("/predict/iris", "content-length: 99999999999", "connection: close") + b"\r\n")
    await by.say(*[b"x" * 65536] * 40)
    return await by.heard()


async def huge_chunks(by: Stranger) -> bytes:
    await by.say(by.head("/predict/iris", "transfer-encoding: chunked") + b"\r\n")
    await by.say(*[b"10000\r\n" + b"[" * 65536 + b"\r\n"] * 100)
    return await by.heard()


async def bomb(by: Stranger) -> bytes:
    body = gzip.compress(b"0" * 50_000_000, 1)
    await by.say(by.whole(body, "/predict/iris", "content-encoding: gzip"))
    return await by.heard()


async def huge_header(by: Stranger) -> bytes:
    await by.say(by.head("/predict/iris", "x: " + "y" * 200_000) + b"\r\n")
    return await by.heard()


async def half_closed(by: Stranger) -> bytes:
    """Half of a request, and then nothing more, though the client still listens."""
    whole = by.whole(ROWS)
    await by.say(whole[: by.random.randrange(1, len(whole) - 1)])
    with suppress(OSError):
        by.writer.write_eof()
    return await by.heard()


async def gone(by: Stranger) -> bytes:
    """A whole request, whose client does not wait for the answer."""
    await by.say(by.whole(json.dumps({"rows": X.tolist()}).encode()))
    await asyncio.sleep(by.random.uniform(0, 0.01))
    return b""


async def malformed(by: Stranger) -> bytes:
    """A text that was JSON until some of its bytes were lost."""
    at = by.random.randrange(1, len(ROWS) - 1)
    await by.say(by.whole(ROWS[:at] + by.random.choice([b"", b"\x00", b"\xff\xfe", b"}", b'"'])))
    return await by.heard()


async def noise(by: Stranger) -> bytes:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    await by.say(by.random.choice([os.urandom(500), hello, preface, b"\r\n" * 1000, b"GET\r\n\r\n"]))
    with suppress(OSError):
        by.writer.write_eof()
    return await by.heard()


async def deep(by: Stranger) -> bytes:
    opening = by.random.choice([b"[", b'{"rows":[', b'{"rows":{"a":'])
    await by.say(by.whole(opening * 100_000))
    return await by.heard()


WRONG = (
    '{"rows": [["a", "b", "c", "d"]]}', '{"rows": [[1, 2, 3]]}', '{"rows": [[1, 2, 3, 4, 5]]}',
    '{"rows": [[null, 1, 2, 3]]}', '{"rows": [[1e999, 1, 2, 3]]}', '{"rows": [[NaN, 1, 2, 3]]}',
    '{"rows": [[true, 1, 2, 3]]}', '{"rows": [[[1], 1, 2, 3]]}', '{"rows": [{"input": 1}]}',
    '{"rows": 7}', '{"rows": null}', "7", '"rows"', "null", '{"rows": [[1, 2, 3, 4]], "rows": []}',
    '{"rows": [[' + "9" * 5000 + ", 1, 2, 3]]}", '{"rows": "' + "\\u0000" * 100 + '"}',
)  # fmt: skip


async def wrong_types(by: Stranger) -> bytes:
    await by.say(by.whole(by.random.choice(WRONG).encode()))
    return await by.heard()


async def wrong_tensors(by: Stranger) -> bytes:
    tensor = {"name": "input", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 4]}
    wrong: dict[str, object] = by.random.choice([
        {"shape": [1 << 40, 1 << 40]}, {"shape": [-1, 4]}, {"shape": []}, {"datatype": "BYTES"},
        {"datatype": "FP65"}, {"data": [1]}, {"data": [[1, 2], [3]]}, {"name": "other"},
        {"parameters": {"binary_data_size": 1 << 50}}, {"data": "1234"},
    ])  # fmt: skip
    body = json.dumps({"inputs": [{**tensor, **wrong}]}).encode()
    await by.say(by.whole(body, "/v2/models/iris/infer"))
    return await by.heard()


PATHS = (
    "/predict/../../etc/passwd", "/predict/iris/../../tokens.json", "/predict/%2e%2e/%2e%2e/etc/passwd",
    "/predict/..%2f..%2fetc%2fpasswd", "/predict/iris%00", "/predict/iris%0a", "//predict/iris/x",
    "/v2/models/../../../etc/passwd", "/v2/models/iris/versions/-1/infer", "/predict/" + "a/" * 2000,
    "/v2/models/iris/versions/99999999999999999999/infer", "/predict/iris?version=0x1", "/static/../app.py",
    "/predict/iris?" + "a=1&" * 500 + "outputs=x", "/predict/iris?outputs=__class__", "/\\..\\..\\boot.ini",
    "/admin/models/iris/change", "/admin/models/iris/back", "/admin/models/other/canary", "/%ff%fe",
)  # fmt: skip


async def path_tricks(by: Stranger) -> bytes:
    await by.say(by.whole(ROWS, by.random.choice(PATHS)))
    return await by.heard()


async def guessing(by: Stranger) -> bytes:
    """Tokens that are nearly good, one after another, at one connection."""
    good, found = by.token, b""
    for _ in range(20):
        at = by.random.randrange(6, len(good))
        guess = good[:at] + ("0" if good[at] != "0" else "1") + good[at + 1 :]
        await by.say(by.head("/predict/iris", "content-length: 0", token=guess) + b"\r\n")
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            found += await by.reader.readuntil(b"\r\n\r\n")
    return found


HARMS: tuple[Harm, ...] = (
    slow_header, slow_body, slow_reader, idle_crowd, huge_length, huge_chunks, bomb, huge_header,
    half_closed, gone, malformed, noise, deep, wrong_types, wrong_tensors, path_tricks, guessing,
)  # fmt: skip


def statuses(answer: bytes) -> list[int]:
    """Those of all answers that are in what came."""
    found = [piece.lstrip()[:3] for piece in answer.split(b"HTTP/1.1")[1:]]
    return [int(each) for each in found]


async def visit(harm: Harm, port: int, token: str, seed: int) -> list[int]:
    """One visit; a server that lets nobody in at the moment may refuse even the connection."""
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(PATIENCE), Stranger(port, token, random.Random(seed)) as by:
            return statuses(await harm(by))
    return []
