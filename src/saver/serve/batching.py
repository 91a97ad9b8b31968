"""Batches without delay: a worker that is free takes everything that waits, up to a limit. If nothing else
waits, one request is a batch, at once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from saver.serve.channel import Arrays
from saver.serve.limits import Limits
from saver.serve.refusals import Refusal


class Runs(Protocol):
    """A worker, as seen from here."""

    def run(self, number: int, arrays: Arrays, only: tuple[str, ...]) -> None:
        """Begin to predict; the answer comes to `Queue.answered`."""

    def kill(self) -> None:
        """End the worker, which reports to `Queue.died`."""


class Outcome(asyncio.Future[dict[str, Any]]):
    """What a job will have found. `at_once` is called in the same turn of the event loop."""

    at_once: Callable[[], None] | None = None

    def settle(self, found: dict[str, Any] | Exception) -> None:
        """Set what was found, or an error, unless it is settled already."""
        if self.done():
            return
        if isinstance(found, Exception):
            self.set_exception(found)
        else:
            self.set_result(found)
        if self.at_once is not None:
            self.at_once()


@dataclass(slots=True, eq=False)
class Job:
    """One request: its rows, and what waits for its answer."""

    arrays: Arrays
    rows: int
    only: tuple[str, ...]
    kind: tuple[object, ...]
    future: Outcome
    began: float
    timer: asyncio.TimerHandle | None = None
    alone: bool = False
    deaths: int = 0
    waited: float = 0.0
    predicted: float = 0.0
    batch: int = 0


@dataclass(slots=True, eq=False)
class Batch:
    """What a worker is busy with."""

    jobs: list[Job]
    worker: Runs
    timer: asyncio.TimerHandle


Seen = Callable[[int, int, float], None]
"""Is called after each batch with its rows, its requests, and its seconds."""


class Queue:
    """The requests for one version, and its workers."""

    def __init__(self, limits: Limits, seen: Seen = lambda rows, requests, seconds: None) -> None:
        self._limits, self._seen = limits, seen
        self._waiting: deque[Job] = deque()
        self._idle: list[Runs] = []
        self._busy: dict[int, Batch] = {}
        self._number = 0
        self._speed = 0.0
        self.rows = 0
        self.open = True

    @property
    def unfinished(self) -> int:
        """Requests that wait or are being predicted."""
        return len(self._waiting) + sum(len(batch.jobs) for batch in self._busy.values())

    def submit(self, arrays: Arrays, rows: int, only: tuple[str, ...] = ()) -> Job:
        """A request begins to wait; with `only`, for these outputs. Raises Refusal if too much waits, or
        if the version answers no longer."""
        if not self.open:
            raise Refusal("unavailable", "this version answers no longer")
        if self.rows and self.rows + rows > self._limits.queue_rows:
            raise Refusal("overloaded", "too many rows wait for this model", retry=self._patience())
        loop = asyncio.get_running_loop()
        kind = (only, *_kind(arrays))
        job = Job(arrays, rows, only, kind, Outcome(loop=loop), time.perf_counter())
        job.timer = loop.call_later(self._limits.seconds, self._late, job)
        self._waiting.append(job)
        self.rows += rows
        self._pump()
        return job

    def _patience(self) -> float:
        """Seconds after which what waits now should be done."""
        return min(30.0, max(1.0, self.rows * self._speed))

    def _late(self, job: Job) -> None:
        job.future.settle(Refusal("timeout", "the model did not answer in time", retry=self._patience()))

    def idle(self, worker: Runs) -> None:
        """A worker has nothing to do."""
        self._idle.append(worker)
        self._pump()

    def _pump(self) -> None:
        while self._idle and self._waiting:
            jobs = self._next()
            if jobs:
                self._start(self._idle.pop(), jobs)

    def _next(self) -> list[Job]:
        """The jobs of the next batch: those in front, of the same dtypes and shapes."""
        found: list[Job] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            if not job.future.done():
                full = found and (
                    job.alone or found[0].alone or job.kind != found[0].kind
                    or rows + job.rows > self._limits.batch_rows
                )  # fmt: skip
                if full:
                    break
                found.append(job)
                rows += job.rows
            self._waiting.popleft()
            self.rows -= job.rows
        return found

    def _start(self, worker: Runs, jobs: list[Job]) -> None:
        self._number += 1
        now, loop = time.perf_counter(), asyncio.get_running_loop()
        for job in jobs:
            job.waited, job.batch = now - job.began, len(jobs)
        timer = loop.call_later(self._limits.seconds, worker.kill)
        self._busy[self._number] = Batch(jobs, worker, timer)
        worker.run(self._number, jobs[0].arrays if len(jobs) == 1 else _joined(jobs), jobs[0].only)

    def answered(self, number: int, seconds: float, found: Arrays | None, error: str | None) -> None:
        """A worker has predicted a batch, or its model failed."""
        batch = self._busy.pop(number, None)
        if batch is None:
            return
        batch.timer.cancel()
        rows = sum(job.rows for job in batch.jobs)
        if found is not None:
            error = _misfit(found, rows)
        self._seen(rows, len(batch.jobs), seconds)
        self._speed += 0.1 * (seconds / max(1, rows) - self._speed)
        if found is None or error is not None:
            self._again(batch.jobs, f"the model failed: {error}")
            self.idle(batch.worker)
        else:
            self.idle(batch.worker)  # first: the answers are written while it predicts what waits
            _give(batch.jobs, found, seconds)

    def _again(self, jobs: Sequence[Job], error: str) -> None:
        """Of several requests, one may be to blame: each runs once more, alone. One that was alone failed,
        unless its worker died for the first time, which somebody else may have killed."""
        if len(jobs) == 1 and jobs[0].deaths != 1:
            _fail(jobs[0], Refusal("failed", error))
            return
        for job in reversed(jobs):
            if not job.future.done():
                job.alone = True
                self._waiting.appendleft(job)
                self.rows += job.rows

    def died(self, worker: Runs) -> None:
        """A worker has ended; what it was busy with runs again elsewhere, unless it was alone."""
        if worker in self._idle:
            self._idle.remove(worker)
        for number in [number for number, batch in self._busy.items() if batch.worker is worker]:
            batch = self._busy.pop(number)
            batch.timer.cancel()
            for job in batch.jobs:
                job.deaths += 1
            self._again(batch.jobs, "the worker ended while it predicted")
        self._pump()

    def close(self) -> None:
        """Refuse what waits."""
        self.open = False
        for job in [*self._waiting, *(job for batch in self._busy.values() for job in batch.jobs)]:
            _fail(job, Refusal("unavailable", "the server is ending"))
        self._waiting.clear()
        self.rows = 0


def _kind(arrays: Arrays) -> tuple[object, ...]:
    return tuple((name, array.dtype, array.shape[1:]) for name, array in arrays.items())


def _joined(jobs: Sequence[Job]) -> Arrays:
    return {name: np.concatenate([job.arrays[name] for job in jobs]) for name in jobs[0].arrays}


def _misfit(found: Arrays, rows: int) -> str | None:
    for name, array in found.items():
        if array.ndim == 0 or array.shape[0] != rows:
            return f"its output {name!r} has the shape {array.shape} for {rows} rows"
    return None


def _give(jobs: Sequence[Job], found: Arrays, seconds: float) -> None:
    at = 0
    for job in jobs:
        own = found if len(jobs) == 1 else {name: array[at : at + job.rows] for name, array in found.items()}
        at += job.rows
        job.predicted = seconds
        if job.timer is not None:
            job.timer.cancel()
        job.future.settle(dict(own))


def _fail(job: Job, error: Exception) -> None:
    if job.timer is not None:
        job.timer.cancel()
    job.future.settle(error)
