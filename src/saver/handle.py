"""A save that goes on after `save` has returned."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

from saver import forks
from saver.callers import warn
from saver.errors import printable, quoted
from saver.repo.version import Version

_Write: TypeAlias = Callable[[], Version]


class Handle:
    """A save in progress: `result()` waits for it and returns the version, `done()` says whether it has
    ended, and `await handle` waits without blocking an asyncio loop.

    `result` and `await` raise the error of a failed save. If a handle is dropped, or the program ends,
    before anyone asked for the result, a failure becomes a warning. The program ends only once the save has
    ended. A forked child does not own the parent's save: asking for it there raises RuntimeError.
    """

    def __init__(self, outcome: _Outcome) -> None:
        self._outcome = outcome
        forks.begin_anew(self, Handle._forked)
        weakref.finalize(self, outcome.drop)  # also at exit, when the save has ended

    def __repr__(self) -> str:
        state = "finished" if self.done() else "in progress"
        return f"<save of {self._outcome.model}: {state}>"

    def done(self) -> bool:
        """Whether the save has ended, successfully or not."""
        return self._outcome.future.done()

    def result(self, timeout: float | None = None) -> Version:
        """The version, once it is on disk. Raises what `save` raises, or TimeoutError if the save is still
        running after `timeout` seconds; it then goes on."""
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, Real)):
            raise TypeError(f"timeout: {quoted(timeout)} is not a number; pass seconds, or None")
        future = self._outcome.future
        if not wait([future], timeout).done:
            raise TimeoutError(
                f"{self._outcome.model}: the save is still running after {timeout:g} s; call result() again"
            )
        self._outcome.report()
        return future.result()

    def __await__(self) -> Generator[Any, None, Version]:
        import asyncio  # slow to import, and rarely needed

        try:
            version = yield from asyncio.wrap_future(self._outcome.future).__await__()
        except asyncio.CancelledError:  # the task no longer waits; the save goes on
            raise
        except BaseException:
            self._outcome.report()
            raise
        self._outcome.report()
        return version

    def _forked(self) -> None:
        self._outcome.report()
        self._outcome = _Outcome(self._outcome.model)
        self._outcome.report()
        self._outcome.future.set_exception(
            RuntimeError(
                f"{self._outcome.model}: this save goes on in the process that started it; ask there"
            )
        )


class _Outcome:
    """The outcome of a save, and whether it was reported to anyone."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.future: Future[Version] = Future()
        self.future.set_running_or_notify_cancel()  # so that no one can cancel it
        self._unreported = [True]
        self._begun: dict[str, int] = {}
        self._dropped = False

    def report(self) -> bool:
        """Mark the outcome as reported; returns False if it was reported before. Atomic, for any thread or
        finalizer."""
        try:
            return self._unreported.pop()
        except IndexError:
            return False

    def drop(self) -> None:
        """The handle is gone: no one can ask any more."""
        self._dropped = True
        if self.future.done():
            self._warn()

    def _is_mine(self) -> bool:
        """Whether this thread does the save: the first one that asks. Atomic."""
        return self._begun.setdefault("thread", threading.get_ident()) == threading.get_ident()

    def abandon(self, error: BaseException) -> None:
        """An exception, such as that of Ctrl-C, interrupted the start. Unless another thread does the save
        already, none does it, and this is its outcome."""
        if self._is_mine() and not self.future.done():
            self.report()  # the caller gets the exception
            self.future.set_exception(error)

    def run(self, write: _Write) -> None:
        """Do the save. `result` raises whatever error it meets."""
        if not self._is_mine():
            return
        try:
            version = write()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(version)
        if self._dropped:
            self._warn()

    def _warn(self) -> None:
        error = self.future.exception()
        if self.report() and error is not None:
            warn(
                printable(
                    f"{self.model}: a save that nobody waited for failed: {type(error).__name__}: {error}; "
                    "keep the handle, and call its result()"
                ),
            )


class Job(NamedTuple):
    """The work of a save. Unless it is `detached` from the caller's objects, it must end before the caller
    goes on."""

    write: _Write
    detached: bool


class Background:
    """The saves of one store that go on after `save` has returned: one at a time, in the order of the
    calls."""

    def __init__(self) -> None:
        self._begin()
        forks.begin_anew(self, Background._begin)

    def _begin(self) -> None:
        self._turn = threading.Lock()
        self._last: Future[Version] | None = None

    def wait(self) -> None:
        """Wait until the save that was started last has ended, successfully or not."""
        last = self._last
        if last is not None:
            last.exception()

    def begin(self, model: str, prepare: Callable[[], Job]) -> Handle:
        """Once the previous save has ended, start the job that `prepare` returns. What `prepare` raises is
        raised here."""
        with self._turn:
            self.wait()
            job = prepare()
            outcome = _Outcome(model)
            handle = Handle(outcome)
            try:
                self._last = outcome.future  # before the start: the next save must wait for this one
                if not (job.detached and _start(outcome.run, job.write)):
                    outcome.run(job.write)
            except BaseException as error:
                outcome.abandon(error)
                raise
            return handle


def _start(run: Callable[[_Write], None], write: _Write) -> bool:
    """Start a thread, which the interpreter waits for at exit. False if the system has no more threads."""
    try:
        threading.Thread(target=run, args=(write,), name="saver-save", daemon=False).start()
    except RuntimeError:  # "can't start new thread"
        return False
    return True
