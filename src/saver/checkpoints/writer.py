"""The thread that writes snapshots, one at a time, while training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Condition, Thread
from typing import TypeAlias

from saver import forks

_Job: TypeAlias = Callable[[], None]


class Writer:
    """Does one job at a time in its own thread. An error is kept until `raise_failure` has raised it.

    If the system cannot start a thread, `begin` does the job itself, and training waits for it. An exception
    may arrive between any two lines of the caller (Ctrl-C): a job is there, or not, by one assignment. In a
    forked child there is neither thread nor job.
    """

    def __init__(self, name: str) -> None:
        self._changed = Condition()
        self._job: _Job | None = None
        """What is being done, or comes next."""
        self._closed = False
        self._failure: BaseException | None = None
        self._thread: Thread | None = Thread(target=self._serve, name=f"saver-{name}", daemon=True)
        forks.begin_anew(self, Writer._in_child)
        try:
            self._thread.start()
        except RuntimeError:  # "can't start new thread"
            self._thread = None

    def _in_child(self) -> None:
        self._changed = Condition()
        self._job, self._failure, self._thread = None, None, None

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._job is not None

    @property
    def failed(self) -> bool:
        """Whether there is an error that has not been raised yet."""
        return self._failure is not None

    def begin(self, job: _Job) -> None:
        """Do `job` in the background; the previous one must have ended."""
        if self._thread is None:
            self._do(job)
            return
        with self._changed:
            self._job = job
            self._changed.notify_all()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until no job is running; False if that takes longer than `seconds`."""
        end = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            self._changed.notify_all()  # `begin` may have been interrupted before it did
            while self._job is not None:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def taken(self) -> BaseException | None:
        """The error of a job, for the caller to raise; once."""
        failure, self._failure = self._failure, None
        return failure

    def raise_failure(self) -> None:
        """Raise the error of a job, once."""
        failure = self.taken()
        if failure is not None:
            raise failure

    def keep(self, failure: BaseException | None) -> None:
        """An earlier error, which `raise_failure` is to raise first."""
        self._failure = failure or self._failure

    def close(self) -> None:
        """End the thread, after the running job."""
        if self._thread is not None:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
            self._thread.join()

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            self._do(job)
            del job  # it holds the snapshot
            with self._changed:
                self._job = None
                self._changed.notify_all()

    def _next(self) -> _Job | None:
        """The next job, once there is one; None if there will be none."""
        with self._changed:
            while self._job is None and not self._closed:
                self._changed.wait()
            return self._job

    def _do(self, job: _Job) -> None:
        try:
            job()
        except BaseException as error:  # raised by raise_failure, where it cannot be missed
            self._failure = error
