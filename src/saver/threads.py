"""Threads that share work, as many as the system allows."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST = 8


def processors() -> int:
    """How many threads can work at the same time, `MOST` at most."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST, there)


_Job: TypeAlias = Callable[[], None]


class Threads(Executor):
    """Up to `count` threads, which start jobs in the order in which they were submitted.

    If the system starts fewer threads (it is out of memory, or the user has reached a limit), those do all of
    the work; if it starts none, `submit` does the work itself before it returns.
    """

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[tuple[Future[object], _Job] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        with suppress(RuntimeError):  # "can't start new thread"; also once the interpreter ends
            for _ in range(count):
                thread = Thread(target=self._serve, name="saver", daemon=True)
                thread.start()
                self._threads.append(thread)

    @property
    def count(self) -> int:
        """How many jobs run at the same time; 1 if there are no threads, since `submit` then runs them."""
        return max(1, len(self._threads))

    def submit(self, act: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(act(*args, **options))
            except BaseException as error:  # raised by `future.result`
                future.set_exception(error)

        if self._threads:
            self._jobs.put((future, job))  # type: ignore[arg-type]
        else:
            job()
        return future

    def _serve(self) -> None:
        while (found := self._jobs.get()) is not None:
            future, job = found
            if future.set_running_or_notify_cancel():
                job()
            del found, future, job  # they hold the data

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with suppress(Empty):
            while cancel_futures:
                found = self._jobs.get_nowait()
                if found is not None:
                    found[0].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads if wait else ():
            thread.join()
