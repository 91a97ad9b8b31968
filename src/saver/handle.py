"""A save that goes on after `save` has returned."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from typing import Any, NamedTuple, TypeAlias

from saver import forks
from saver.errors import printable
from saver.repo.version import Version

_Write: TypeAlias = Callable[[], Version]


class Handle:
    """A save under way: `result()` waits for it and gives the version, `done()` tells whether it is over, and
    `await handle` waits without blocking an asyncio loop.

    What goes wrong is raised by `result` and by `await`. A handle that is dropped, or left at the end of the
    program, without being asked warns of a failure. The program ends only once the save is over. In a forked
    child the save is the parent's: asking for it there raises RuntimeError.
    """

    def __init__(self, outcome: _Outcome) -> None:
        self._outcome = outcome
        forks.begin_anew(self, Handle._forked)
        weakref.finalize(self, outcome.drop)  # also at exit, when the save is over

    def __repr__(self) -> str:
        state = "over" if self.done() else "under way"
        return f"<save of {self._outcome.model}: {state}>"

    def done(self) -> bool:
        """Whether it is over, well or not."""
        return self._outcome.future.done()

    def result(self, timeout: float | None = None) -> Version:
        """The version, once it is on disk. Raises what `save` raises; TimeoutError when it is still under way
        after `timeout` seconds, which changes nothing."""
        future = self._outcome.future
        if not wait([future], timeout).done:
            raise TimeoutError(f"{self._outcome.model}: the save was not over after {timeout:g} s; ask again")
        self._outcome.told()
        return future.result()

    def __await__(self) -> Generator[Any, None, Version]:
        import asyncio  # takes a while, and few need it

        try:
            version = yield from asyncio.wrap_future(self._outcome.future).__await__()
        except asyncio.CancelledError:  # the task does not wait any more; the save goes on
            raise
        except BaseException:
            self._outcome.told()
            raise
        self._outcome.told()
        return version

    def _forked(self) -> None:
        self._outcome.told()
        self._outcome = _Outcome(self._outcome.model)
        self._outcome.told()
        self._outcome.future.set_exception(
            RuntimeError(f"{self._outcome.model}: this save goes on in the process that began it; ask there")
        )


class _Outcome:
    """What comes of a save, and whether anybody was told."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.future: Future[Version] = Future()
        self.future.set_running_or_notify_cancel()  # so that nobody can cancel it
        self._untold = [True]
        self._dropped = False

    def told(self) -> bool:
        """Whether nobody was told before; from now on somebody was. One step, for any thread or finalizer."""
        try:
            return self._untold.pop()
        except IndexError:
            return False

    def drop(self) -> None:
        """Nobody can ask any more."""
        self._dropped = True
        if self.future.done():
            self._warn()

    def run(self, write: _Write) -> None:
        """Do it. Whatever it raises is for who asks."""
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
        if self.told() and error is not None:
            warnings.warn(
                printable(
                    f"{self.model}: a save that nobody waited for failed: {type(error).__name__}: {error}; "
                    "keep the handle, and call its result()"
                ),
                RuntimeWarning,
                stacklevel=2,
            )


class Job(NamedTuple):
    """What is to be done for a save. Unless it is `detached` from the caller's objects, it must be over
    before the caller goes on."""

    write: _Write
    detached: bool


class Background:
    """The saves of one store that go on after `save` returned: one at a time, in the order of the calls."""

    def __init__(self) -> None:
        self._begin()
        forks.begin_anew(self, Background._begin)

    def _begin(self) -> None:
        self._turn = threading.Lock()
        self._last: Future[Version] | None = None

    def wait(self) -> None:
        """Until the save that was begun last is over, well or not."""
        last = self._last
        if last is not None:
            last.exception()

    def begin(self, model: str, prepare: Callable[[], Job]) -> Handle:
        """Once the save before is over, have the job done that `prepare` returns. What `prepare` raises is
        raised here."""
        with self._turn:
            self.wait()
            job = prepare()
            outcome = _Outcome(model)
            handle = Handle(outcome)
            if not (job.detached and _start(outcome.run, job.write)):
                outcome.run(job.write)
            self._last = outcome.future  # not before: an interrupt may keep it from ever being begun
            return handle


def _start(run: Callable[[_Write], None], write: _Write) -> bool:
    """Whether a thread was started, which the interpreter waits for; the system may have no more."""
    try:
        threading.Thread(target=run, args=(write,), name="saver-save", daemon=False).start()
    except RuntimeError:  # "can't start new thread"
        return False
    return True
