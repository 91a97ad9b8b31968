"""Comparisons that are being computed: each once, one at a time, as long as somebody waits for it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore, Event, Lock, Thread
from weakref import WeakKeyDictionary

from saver import Saver
from saver.errors import SaverError
from saver.opened import Opened
from saver.pages.comparing.computing import Computing, Found, Stopped
from saver.pages.comparing.layers import Layer

IDLE = 10.0
"""Seconds for which a comparison goes on that nobody waits for: a page may be loaded again."""

KEPT = 16
"""How many comparisons are remembered."""

_turn = BoundedSemaphore(1)
"""One comparison at a time: each takes all processors."""


class Job:
    """One comparison. It begins when it is made, in a thread of its own."""

    def __init__(
        self, views: Sequence[Opened], layers: Sequence[Layer], opening: Callable[[int], Opened] | None = None
    ) -> None:
        self._computing = Computing(views, layers, self._wanted, opening)
        self.total = self._computing.total
        self.result: list[Found] | None = None
        self.error: Exception | None = None
        self._ended, self._lock = Event(), Lock()
        self._waiting, self._asked = 0, time.monotonic()
        Thread(target=self._run, name="saver-compare", daemon=True).start()

    @property
    def done(self) -> int:
        """How many bytes were looked at."""
        return self._computing.done

    @property
    def ended(self) -> bool:
        """Whether there is a result or an error."""
        return self._ended.is_set()

    @property
    def stopped(self) -> bool:
        """Whether it ended because nobody waited for it."""
        return isinstance(self.error, Stopped)

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Somebody waits for the result."""
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._asked = time.monotonic() - IDLE + 1  # the page that has gone does not come back

    def wait(self, seconds: float) -> bool:
        """Wait for the end, no longer than this; whether it came."""
        with self._lock:
            self._asked = time.monotonic()
        return self._ended.wait(seconds)

    def _wanted(self) -> bool:
        return self._waiting > 0 or time.monotonic() - self._asked < IDLE

    def _run(self) -> None:
        try:
            while not _turn.acquire(timeout=0.5):
                if not self._wanted():
                    raise Stopped
            try:
                self.result = self._computing.run()
            finally:
                _turn.release()
        except Exception as error:  # who asks gets it
            self.error = error
        finally:
            self._computing.forget()
            self._ended.set()


class Jobs:
    """The comparisons of one store, the last ones."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[tuple[str, ...], Job] = OrderedDict()
        self._lock = Lock()

    def job(
        self, views: Sequence[Opened], layers: Sequence[Layer], opening: Callable[[int], Opened] | None = None
    ) -> Job:
        """The comparison of these layers; it begins if it is new, was stopped, or failed. `opening` opens
        one of the versions anew."""
        key = (*(view.hash for view in views), "", *(layer.path for layer in layers))
        with self._lock:
            found = self._jobs.get(key)
            if found is None or found.error is not None:
                found = self._jobs[key] = Job(views, layers, opening)
            self._jobs.move_to_end(key)
            while len(self._jobs) > KEPT:
                self._jobs.popitem(last=False)
            return found


_jobs: WeakKeyDictionary[Saver, Jobs] = WeakKeyDictionary()


def jobs_of(store: Saver) -> Jobs:
    """The comparisons of a store."""
    return _jobs.setdefault(store, Jobs())


def trouble(job: Job) -> str:
    """Why a comparison has no result; empty if it has one, or may get it."""
    if job.error is None or job.stopped:
        return ""
    if isinstance(job.error, SaverError | OSError):
        return str(job.error)
    raise job.error
