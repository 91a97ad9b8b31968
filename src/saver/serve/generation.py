"""A generation, as the server holds it: one version, loaded and checked by its template, and its workers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from saver.errors import IncompatibleError
from saver.logger import logger
from saver.schema import Schema
from saver.serve.batching import Queue
from saver.serve.channel import Arrays, Line, connect, packed, unpacked
from saver.serve.limits import Limits
from saver.serve.metrics import Metrics

ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    ),
    "TOKENIZERS_PARALLELISM": "false",
}
"""Native libraries that started threads before a fork may hang after it. Workers are the parallelism."""

PAUSE = 1.0
"""Seconds before a worker is replaced that died without having answered anything."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a template loads, and how."""

    store: str
    ref: str
    trust: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    accept: bool = False
    """Whether it may answer otherwise than when it was saved."""
    seconds: float = 120.0
    """For the golden predictions."""


class Worker:
    """A forked process at the other end of a line."""

    def __init__(self, queue: Queue, ended: Callable[[Worker], None]) -> None:
        self._queue, self._ended = queue, ended
        self._line: Line | None = None
        self.answered = 0
        self.pid = 0

    async def begin(self, end: socket.socket) -> None:
        self._line = await connect(end, self._heard, self._died)

    def run(self, number: int, arrays: Arrays, only: tuple[str, ...]) -> None:
        assert self._line is not None
        self._line.say((number, packed(arrays), only))

    def _heard(self, message: Any) -> None:
        number, seconds, items, error = message
        self.answered += 1
        found = None
        if items is not None:
            try:
                found = unpacked(items)
            except IncompatibleError as failure:
                error = str(failure)
        self._queue.answered(number, seconds, found, error)

    def _died(self) -> None:
        self._queue.died(self)
        self._ended(self)

    def kill(self) -> None:
        """End the process at once, as after too long a prediction."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        elif self._line is not None:
            self._line.close()

    def close(self) -> None:
        """Let the process end: it sees that nothing more will come."""
        if self._line is not None:
            self._line.close()


class Generation:
    """One version that answers. Made by `started`."""

    def __init__(self, order: Order, model: str, limits: Limits, metrics: Metrics) -> None:
        self.order, self.model, self.ref = order, model, order.ref
        self.number = int(order.ref.rpartition("@")[2])
        self._metrics = metrics
        self.queue = Queue(limits, self._seen)
        self.workers: list[Worker] = []
        self.described: dict[str, Any] = {}
        self.schema: Schema | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._line: Line | None = None
        self._forking: list[Worker] = []
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._closing = False
        self.lost = False

    def _seen(self, rows: int, requests: int, seconds: float) -> None:
        self._metrics.size("saver_batch_rows", rows, model=self.model)
        self._metrics.size("saver_batch_requests", requests, model=self.model)

    async def start(self, workers: int) -> None:
        """Load, check and fork. Raises IncompatibleError, with what the template says, and leaves nothing."""
        try:
            await self._begin(workers)
        except asyncio.CancelledError:  # the server ends before it has begun
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
            await self.close()
            raise

    async def _begin(self, workers: int) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        self._ready = loop.create_future()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "saver.serve.template", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], env={**os.environ, **ONE_THREAD, **_importing()},
                stdin=asyncio.subprocess.DEVNULL, start_new_session=True,  # Ctrl-C reaches the server alone
            )  # fmt: skip
        finally:
            theirs.close()
        self._control = ours.dup()
        self._line = await connect(ours, self._heard, self._gone)
        self._line.say(msgspec.to_builtins(self.order))
        self.described = await self._ready
        if not self.described["ready"]:
            await self.close()
            raise IncompatibleError(f"{self.ref} does not serve: {self.described['text']}")
        for _ in range(workers):
            await self._fork()

    def _heard(self, message: dict[str, Any]) -> None:
        if "forked" in message:
            worker = self._forking.pop(0)
            worker.pid = message["forked"]
            if worker in self.workers:  # it may have ended at once
                self.queue.idle(worker)  # not before: one that never was must take no request along
        elif self._ready is not None and not self._ready.done():
            self._ready.set_result(message)

    def _gone(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result({"ready": False, "text": "its template ended while it loaded the version"})
        elif not self._closing:
            self.lost = True
            for worker in self._forking:  # nobody will say that they are there
                worker.close()
            logger.warning("%s: its template has ended; the version is loaded again", self.ref)

    async def _fork(self) -> None:
        assert self._control is not None
        ours, theirs = socket.socketpair()
        worker = Worker(self.queue, self._ended)
        self._forking.append(worker)
        self.workers.append(worker)
        await worker.begin(ours)
        try:
            socket.send_fds(self._control, [b"w"], [theirs.fileno()])
        except OSError:
            self.lost = True
            raise
        finally:
            theirs.close()

    def _ended(self, worker: Worker) -> None:
        self.workers.remove(worker)
        if self._closing:
            return
        self._metrics.count("saver_worker_deaths_total", model=self.model)
        logger.warning("%s: worker %d ended; another one is forked", self.ref, worker.pid)
        asyncio.get_running_loop().call_later(0 if worker.answered else PAUSE, self._replace)

    def _replace(self) -> None:
        if not self._closing and not self.lost:
            self._replacing = asyncio.ensure_future(self._fork_again())

    async def _fork_again(self) -> None:
        try:
            await self._fork()
        except OSError as error:  # the template has ended, too
            logger.warning("%s: no worker could be forked: %s", self.ref, error)

    async def drained(self, seconds: float) -> bool:
        """Wait until every request is answered; False if that takes longer, or no worker is left to do it."""
        end = asyncio.get_running_loop().time() + seconds
        while self.queue.unfinished:
            if asyncio.get_running_loop().time() > end or (self.lost and not self.workers):
                return False
            await asyncio.sleep(0.01)
        return True

    async def close(self) -> None:
        """End the workers and the template."""
        self._closing = True
        self.queue.close()
        for worker in list(self.workers):
            worker.close()
        if self._line is not None:
            self._line.close()
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


def _importing() -> dict[str, str]:
    """Where a new process finds what this one has imported."""
    return {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
