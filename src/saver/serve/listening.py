"""uvicorn, ended by a signal with exit code 0."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from saver.serve.door import House


class Listening(uvicorn.Server):
    """A server that ends `farewell` seconds after the first signal: meanwhile it says in each answer that it
    is the last of its connection, and then lets requests finish. It waits for nothing after a second signal,
    or if `farewell` is 0."""

    def __init__(self, config: uvicorn.Config, house: House, farewell: float = 0) -> None:
        super().__init__(config)
        self._house, self._farewell = house, farewell

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread, or on Windows
            for number in numbers:
                loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                for number in numbers:
                    loop.remove_signal_handler(number)

    def _signalled(self) -> None:
        if self._house.ending:
            self.force_exit = self.should_exit = True
        else:
            self.end()

    def end(self) -> None:
        """End as the first signal does; from the thread of the event loop."""
        self._house.end()
        if self._farewell:
            asyncio.get_running_loop().call_later(self._farewell, self._exit)
        else:
            self.force_exit = self.should_exit = True

    def _exit(self) -> None:
        self.should_exit = True
