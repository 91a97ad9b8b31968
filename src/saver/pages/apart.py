"""Runs acts in threads for which no end of the server waits: those of an executor would be joined first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")

AT_ONCE = 32
"""Acts that run at the same time; others wait."""


class Apart:
    """Threads for the acts of one server."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    async def run(self, act: Callable[[], R]) -> R:
        """What an act returns or raises."""
        async with self._free:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[R] = loop.create_future()
            threading.Thread(target=_run, args=(act, loop, done), daemon=True).start()
            return await done


def _run(act: Callable[[], R], loop: asyncio.AbstractEventLoop, done: asyncio.Future[R]) -> None:
    found: R | None = None
    raised: BaseException | None = None
    try:
        found = act()
    except BaseException as error:
        raised = error

    def say() -> None:
        if done.done():  # the client has gone
            return
        if raised is None:
            done.set_result(found)  # type: ignore[arg-type]
        else:
            done.set_exception(raised)

    try:
        loop.call_soon_threadsafe(say)
    except RuntimeError:
        pass  # the server has ended
