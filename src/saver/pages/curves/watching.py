"""One watcher of a store for all pages that are open: it looks whether the store has a new record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from saver.errors import SaverError
from saver.repo.repository import Repository
from saver.threads import Threads

INTERVAL = 0.25
"""Seconds between two looks. A look asks a storage whether there is an object: in a folder, some 20 µs."""

REST = 4
"""Where a look takes long, the next one comes after so many times as long."""


class Watch:
    """Watches a store while somebody has joined, and only then."""

    def __init__(self, repo: Repository, interval: float = INTERVAL) -> None:
        self._repo, self._interval = repo, interval
        self._joined: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        self._thread: Threads | None = None
        self.turn = 0
        """Changes with each change of the store that was seen, and whenever the watch begins anew."""
        self.looks = 0
        """How often it looked."""

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the store has changed, or cannot be read; who waits clears it."""
        event = asyncio.Event()
        self._joined.add(event)
        if self._task is None:
            self.turn += 1
            self._thread = Threads(1)  # its own: the others may all be busy with pages
            self._task = asyncio.ensure_future(self._watch(self._thread))
        try:
            yield event
        finally:
            self._joined.discard(event)
            if not self._joined and self._task is not None:
                task, self._task = self._task, None
                task.cancel()
                if self._thread is not None:
                    self._thread.shutdown(wait=False)
                with suppress(asyncio.CancelledError):
                    await task

    async def _watch(self, thread: Threads) -> None:
        seen, well, took = self._repo.state.head, True, 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(self._interval, REST * took))
            begun = time.monotonic()
            try:
                head, now_well = await loop.run_in_executor(thread, self._look, seen), True
            except (SaverError, OSError):
                head, now_well = seen, False
            took = time.monotonic() - begun
            self.looks += 1
            if head != seen or well != now_well:
                self.turn += 1
                for event in self._joined:
                    event.set()
            seen, well = head, now_well

    def _look(self, seen: int) -> int:
        """The number of the newest record, as far as it is known."""
        state = self._repo.state
        while state.log.stat(seen + 1) is not None:
            seen += 1
        return max(seen, state.head)
