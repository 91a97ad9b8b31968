"""Requests for predictions in their plainest form: one that came whole, with nothing in its header that needs
thought, is answered without h11, ASGI and a task, which cost more than most models do. Everything else goes
the long way, through the same doors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeAlias

from uvicorn.protocols.http.h11_impl import STATUS_PHRASES

from saver.serve.batching import Outcome
from saver.serve.door import Answer, Ask, Door, House
from saver.serve.plain import Plain

Doors: TypeAlias = Mapping[bytes, tuple[Door, dict[str, str]]]
"""The addresses that are answered so, each with its door and what the address names."""

_ADDRESS = re.compile(r"[A-Za-z0-9._/-]+")


def is_plain(name: str) -> bool:
    """Whether a name stands in an address as it is."""
    return _ADDRESS.fullmatch(name) is not None


class Errand:
    """Runs a coroutine at once, and not in the next turn of the event loop as a task does: until it waits for
    a future, and on from there when that is done. What it awaits must not ask for the current task.
    `failed` is called with what it raises, which is a defect."""

    def __init__(self, work: Coroutine[Any, None, None], failed: Callable[[Exception], None]) -> None:
        self._work, self._failed = work, failed
        self.step()

    def step(self, done: object = None) -> None:
        """Go on: what it waited for is done."""
        try:
            waits = self._work.send(None)
        except StopIteration:
            return
        except Exception as error:
            self._failed(error)
            return
        waits._asyncio_future_blocking = False  # as a task says to a future that it has heard
        if isinstance(waits, Outcome):
            waits.at_once = self.step
        else:
            waits.add_done_callback(self.step)


class Straight:
    """One such request while it is answered: in the place of a cycle of uvicorn, which asks it the same."""

    more_body = False

    def __init__(self) -> None:
        self.message_event = asyncio.Event()
        self.keep_alive = True
        self.response_complete = self.disconnected = False
        self.behind = bytearray()
        """What came after it, and waits."""

    def answer(
        self, door: tuple[Door, dict[str, str]], request: Plain, client: Any, house: House,
        send: Callable[[Ask, Answer, bool], None], failed: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        """Answer the request through its door. `send` is called with the answer, and whether it is the last
        one of its connection; `failed` with what no answer says."""
        path, _, query = request.target.partition(b"?")
        scope = {
            "type": "http", "method": "POST", "path": path.decode("ascii"), "query_string": query,
            "client": client, "path_params": door[1],
        }  # fmt: skip
        Errand(self._answered(door[0], scope, request, house, send), failed)

    async def _answered(
        self, door: Door, scope: dict[str, Any], request: Plain, house: House,
        send: Callable[[Ask, Answer, bool], None],
    ) -> None:  # fmt: skip
        ask, answer, reason = await door.answered(scope, None, request)
        last = house.ending or not self.keep_alive or not ask.whole or "connection" in answer.headers
        self.response_complete = True
        send(ask, answer, last)
        door.note(ask, answer, reason)


def written(ask: Ask, answer: Answer, first: Iterable[tuple[bytes, bytes]], last: bool) -> bytes:
    """An answer as it goes over the line, with these headers before its own."""
    pieces = [b"HTTP/1.1 %d %s\r\n" % (answer.status, STATUS_PHRASES[answer.status])]
    pieces += [b"%s: %s\r\n" % each for each in first]
    own = f"content-type: {answer.type}\r\ncontent-length: {len(answer.body)}\r\nx-request-id: {ask.id}\r\n"
    pieces.append(own.encode("latin-1"))
    pieces += [f"{name}: {value}\r\n".encode("latin-1") for name, value in answer.headers.items()]
    if last and "connection" not in answer.headers:
        pieces.append(b"connection: close\r\n")
    pieces += (b"\r\n", answer.body)
    return b"".join(pieces)
