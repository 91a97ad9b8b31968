"""One name that is served: the generation that answers, the one before it, a canary, a shadow; and how one
takes over from another without a failed request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from saver.errors import SaverError
from saver.logger import logger
from saver.serve.batching import Job
from saver.serve.channel import Arrays
from saver.serve.generation import Generation
from saver.serve.metrics import Metrics
from saver.serve.refusals import Refusal

Start = Callable[[str], Awaitable[Generation]]
"""Loads, checks and forks the version of a ref such as `iris@3`."""

OTHERWISE = {"failed", "unavailable", "overloaded", "bad-rows", "bad-request", "bad-tensor"}
"""Refusals that another version may not share: its model, its workers, its schema are others."""

DRAIN = 60.0
"""Seconds for which a generation that was replaced may finish its requests."""


class Served:
    """A name and its generations. `ref` is what it follows, such as `iris@production`."""

    def __init__(self, name: str, ref: str, start: Start, metrics: Metrics) -> None:
        self.name, self.ref, self._start, self._metrics = name, ref, start, metrics
        self.model = ref.partition("@")[0]
        self.current: Generation | None = None
        self.previous: Generation | None = None
        self.canary: Generation | None = None
        self.shadow: Generation | None = None
        self.percent, self._turn, self._part = 0.0, 0, 0.0
        self.trouble = ""
        self._changing = asyncio.Lock()
        self._retiring: dict[asyncio.Task[None], Generation] = {}
        self._shadowed: set[asyncio.Task[None]] = set()

    def generations(self) -> list[Generation]:
        """Those that can answer, the current one first."""
        found = [self.current, self.canary, self.shadow, self.previous]
        return list(dict.fromkeys(each for each in found if each is not None))

    def pick(self, number: int | None = None) -> Generation:
        """Who answers the next request: of `percent` of a hundred requests, spread evenly, the canary."""
        if self.current is None:
            raise Refusal("unavailable", f"{self.name} is being loaded", retry=2)
        if number is not None:
            for each in self.generations():
                if each.number == number:
                    return each
            there = ", ".join(str(each.number) for each in self.generations())
            raise Refusal("not-found", f"{self.name} has no version {number} here; it has {there}")
        if self.canary is not None:
            self._part += self.percent
            if self._part >= 100:
                self._part -= 100
                return self.canary
        return self.current

    async def predict(
        self, by: Generation, arrays: Arrays, rows: int, only: tuple[str, ...] = ()
    ) -> tuple[Job, Any]:
        """The answer of a generation."""
        job = by.queue.submit(arrays, rows, only)
        if self.shadow is not None and by is self.current:
            self._cast(self.shadow, arrays, rows, job)
        return job, await job.future

    def instead(self, by: Generation, refusal: Refusal) -> Generation | None:
        """Who answers a request that names no version and that a generation has refused: what a canary
        fails at, or one that has been replaced meanwhile, the current one is asked."""
        other = self.current
        if other is None or other is by or refusal.reason not in OTHERWISE:
            return None
        self._metrics.count("saver_refusals_total", reason="canary", model=self.name)
        return other

    def _cast(self, shadow: Generation, arrays: Arrays, rows: int, job: Job) -> None:
        """Have the shadow predict the same, which nobody waits for, and count how its answers compare."""

        async def compare() -> None:
            try:
                theirs = await shadow.queue.submit(arrays, rows, job.only).future
                ours = await asyncio.shield(job.future)
            except Refusal as refusal:
                self._shadow("left-out" if refusal.reason in ("overloaded", "unavailable") else "failed")
            else:
                self._shadow("same" if _same(ours, theirs) else "different")

        if shadow.queue.rows or shadow.queue.unfinished > len(shadow.workers):
            self._shadow("left-out")  # a shadow must not take from the one that answers
            return
        task = asyncio.ensure_future(compare())
        self._shadowed.add(task)
        task.add_done_callback(self._shadowed.discard)

    def _shadow(self, outcome: str) -> None:
        self._metrics.count("saver_shadow_total", model=self.name, outcome=outcome)

    async def change(self, ref: str) -> None:
        """Have a version take over, once it is loaded and checked. If it is refused, all stays as it is:
        raises SaverError."""
        async with self._changing:
            if self.current is not None and self.current.ref == ref:
                return
            new = next((each for each in self.generations() if each.ref == ref), None)
            new = new if new is not None else await self._started(ref)
            if new is self.canary:
                self.canary, self.percent = None, 0.0
            if new is self.shadow:
                self.shadow = None
            old, self.current = self.current, new
            dropped = self.previous if self.previous is not new else None
            self.previous, self.trouble = old, ""
            self._count("done")
            logger.info("%s: %s answers now", self.name, ref)
            self._retire(dropped)

    async def renew(self) -> None:
        """Load the current version again if its template has ended, which could replace no worker."""
        async with self._changing:
            old = self.current
            if old is None or not old.lost:
                return
            self.current = await self._started(old.ref)
            self._retire(old)

    async def _started(self, ref: str) -> Generation:
        try:
            return await self._start(ref)
        except (SaverError, OSError) as error:
            self._count("refused")
            logger.warning("%s: %s does not take over: %s", self.name, ref, error)
            raise

    def _count(self, outcome: str) -> None:
        self._metrics.count("saver_changes_total", model=self.name, outcome=outcome)

    async def back(self) -> None:
        """Have the generation before this one answer again, at once: it is still there."""
        async with self._changing:
            if self.previous is None:
                raise Refusal("not-found", f"{self.name} has no generation to go back to")
            self.current, self.previous = self.previous, self.current
            self._count("back")
            logger.warning("%s: back to %s", self.name, self.current.ref)

    async def try_out(self, ref: str | None, percent: float) -> None:
        """A canary answers so many of a hundred requests; no ref or 0 percent: none does."""
        async with self._changing:
            old = self.canary
            if ref is None or percent == 0:
                self.canary, self.percent = None, 0.0
            else:
                new = old if old is not None and old.ref == ref else await self._started(ref)
                self.canary, self.percent, self._part = new, percent, 0.0
            self._retire(old if old is not self.canary else None)

    async def follow_with(self, ref: str | None) -> None:
        """A shadow predicts what the current generation does, and its answers are only compared."""
        async with self._changing:
            old = self.shadow
            self.shadow = None if ref is None else await self._started(ref)
            self._retire(old)

    def _retire(self, old: Generation | None) -> None:
        if old is None or old in self.generations():
            return

        async def end() -> None:
            await old.drained(DRAIN)
            await old.close()

        task = asyncio.ensure_future(end())
        self._retiring[task] = old
        task.add_done_callback(self._retiring.pop)

    async def close(self) -> None:
        """End all generations."""
        tasks, left = [*self._retiring, *self._shadowed], [*self._retiring.values(), *self.generations()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(each.close() for each in left))
        self.current = self.previous = self.canary = self.shadow = None


def _same(ours: Arrays, theirs: Arrays) -> bool:
    if ours.keys() != theirs.keys():
        return False
    for name, array in ours.items():
        other = theirs[name]
        floats = array.dtype.kind == other.dtype.kind == "f"
        if array.shape != other.shape or not (
            np.allclose(array, other, rtol=1e-6, atol=1e-9, equal_nan=True)
            if floats
            else bool(np.all(array == other))
        ):
            return False
    return True
