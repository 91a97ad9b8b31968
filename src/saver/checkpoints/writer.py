"""The thread that writes snapshots, one at a time, while training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Condition, Thread
from typing import TypeVar

T = TypeVar("T")


class Writer:
    """Does one job at a time in its own thread. An error is kept until `raise_failure` has raised it.

    If the system cannot start a thread, `begin` does the job itself, and training waits for it.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._changed = Condition()
        self._busy = False
        self._failure: BaseException | None = None
        self._thread: Thread | None = Thread(target=self._serve, name=f"saver-{name}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # "can't start new thread"
            self._thread = None

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._busy

    @property
    def failed(self) -> bool:
        """Whether there is an error that has not been raised yet."""
        return self._failure is not None

    def begin(self, job: Callable[[], None]) -> None:
        """Do `job` in the background; the previous one must have ended."""
        if self._thread is None:
            self._do(job)
            return
        with self._changed:
            self._busy = True
        self._jobs.put(job)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until no job is running; False if that takes longer than `seconds`."""
        end = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while self._busy:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def raise_failure(self) -> None:
        """Raise the error of a job, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the thread, after the running job."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._do(job)
            del job  # it holds the snapshot
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # raised by raise_failure, where it cannot be missed
            self._failure = error
