"""Batches: what waits goes together, nothing waits for more, and one bad request harms no other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn")

from saver.errors import IncompatibleError
from saver.serve.batching import Job, Queue
from saver.serve.channel import Arrays, frame, packed, unpacked
from saver.serve.decoding import decode_json, depth_of
from saver.serve.generation import Generation, Order
from saver.serve.limits import Limits
from saver.serve.metrics import Metrics
from saver.serve.refusals import Refusal


class Fake:
    """A worker that keeps what it should run, until the test answers."""

    def __init__(self, queue: Queue) -> None:
        self.queue, self.runs = queue, list[tuple[int, Arrays]]()
        self.killed = False
        queue.idle(self)

    def run(self, number: int, arrays: Arrays, only: tuple[str, ...]) -> None:
        self.runs.append((number, arrays))

    def kill(self) -> None:
        self.killed = True
        self.queue.died(self)

    def answer(self, error: str | None = None) -> int:
        """Answer the last batch: each row with its double. Returns how many rows it had."""
        number, arrays = self.runs[-1]
        found = {"y": arrays["x"] * 2} if error is None else None
        self.queue.answered(number, 0.01, found, error)
        return len(arrays["x"])


def rows(*values: float) -> dict[str, Any]:
    return {"x": np.array(values, float)}


def run(act: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(act())  # type: ignore[arg-type]


async def answer_of(job: Job) -> list[float]:
    found: list[float] = (await job.future)["y"].tolist()
    return found


def test_alone_at_once_and_then_what_waits_together() -> None:
    async def act() -> None:
        queue = Queue(Limits())
        worker = Fake(queue)
        first = queue.submit(rows(1), 1)
        assert len(worker.runs) == 1
        others = [queue.submit(rows(at, -at), 2) for at in range(5)]
        assert queue.rows == 10
        assert worker.answer() == 1
        assert worker.answer() == 10
        assert await answer_of(first) == [2]
        assert [await answer_of(each) for each in others] == [[2 * at, -2 * at] for at in range(5)]
        assert (queue.rows, queue.unfinished) == (0, 0)

    run(act)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 12), st.sets(st.integers(0, 19)))
def test_everyone_gets_their_own_rows(sizes: list[int], most: int, bad: set[int]) -> None:
    """Whatever is together in a batch, and whichever requests the model fails at."""

    async def act() -> None:
        queue = Queue(Limits(batch_rows=most))
        worker = Fake(queue)
        jobs = [queue.submit(rows(*[100 * at + row for row in range(n)]), n) for at, n in enumerate(sizes)]
        done = 0
        while done < len(worker.runs):
            done += 1
            _, arrays = worker.runs[-1]
            owners = {int(value) // 100 for value in arrays["x"]}
            assert len(owners) == 1 or len(arrays["x"]) <= most
            worker.answer("bad" if owners & bad else None)
        for at, (job, size) in enumerate(zip(jobs, sizes, strict=True)):
            if at in bad:
                with pytest.raises(Refusal, match="bad"):
                    await job.future
            else:
                assert await answer_of(job) == [2 * (100 * at + row) for row in range(size)]
        assert (queue.rows, queue.unfinished) == (0, 0)

    run(act)


def test_other_shapes_dtypes_and_outputs_do_not_mix() -> None:
    async def act() -> None:
        queue = Queue(Limits())
        worker = Fake(queue)
        queue.submit(rows(1), 1)
        kinds = [
            ({"x": np.zeros(1)}, ()), ({"x": np.zeros(1, np.float32)}, ()), ({"x": np.zeros((1, 2))}, ()),
            ({"x": np.zeros(1)}, ("y",)),
        ]  # fmt: skip
        for arrays, only in kinds:
            queue.submit(arrays, 1, only)
        for _ in range(5):
            worker.answer()
        assert len(worker.runs) == 5

    run(act)


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    async def act() -> None:
        queue = Queue(Limits(queue_rows=5))
        Fake(queue)
        queue.submit(rows(1), 1)
        queue.submit(rows(*range(9)), 9)  # more than fits, but nothing else waits
        with pytest.raises(Refusal) as caught:
            queue.submit(rows(1), 1)
        assert (caught.value.status, caught.value.reason) == (503, "overloaded")
        assert int(caught.value.headers()["retry-after"]) >= 1
        queue.close()

    run(act)


def test_a_queue_that_is_closed_takes_nothing() -> None:
    async def act() -> None:
        queue = Queue(Limits())
        queue.close()
        with pytest.raises(Refusal) as caught:
            queue.submit(rows(1), 1)
        assert (caught.value.reason, queue.unfinished, queue.rows) == ("unavailable", 0, 0)

    run(act)


def test_a_worker_that_takes_too_long_is_killed_and_its_requests_refused() -> None:
    async def act() -> None:
        queue = Queue(Limits(seconds=0.05))
        worker = Fake(queue)
        job, waiting = queue.submit(rows(1), 1), queue.submit(rows(2), 1)
        for each in (job, waiting):
            with pytest.raises(Refusal) as caught:
                await each.future
            assert caught.value.reason == "timeout"
        await asyncio.sleep(0.1)
        assert worker.killed
        late = Fake(queue)
        assert late.runs == []  # nobody waits for these answers any longer
        assert queue.rows == 0

    run(act)


def test_a_request_that_ends_two_workers_has_failed_and_no_other() -> None:
    async def act() -> None:
        queue = Queue(Limits())
        workers = [Fake(queue)]
        first, bad, good = (queue.submit(rows(at), 1) for at in range(3))
        workers[0].answer()
        assert await answer_of(first) == [0]
        for _ in range(4):  # both together, then each alone: the bad one, which is tried once more
            _, arrays = workers[-1].runs[-1]
            if 1 in arrays["x"]:
                workers[-1].kill()
                workers.append(Fake(queue))
            else:
                workers[-1].answer()
        with pytest.raises(Refusal, match="ended"):
            await bad.future
        assert await answer_of(good) == [4]

    run(act)


def test_an_answer_of_the_wrong_length_is_given_to_nobody() -> None:
    async def act() -> None:
        queue = Queue(Limits())
        worker = Fake(queue)
        job = queue.submit(rows(1, 2), 2)
        number, _ = worker.runs[-1]
        queue.answered(number, 0.1, {"y": np.zeros(3)}, None)
        with pytest.raises(Refusal, match="shape"):
            await job.future

    run(act)


ARRAYS = [
    np.arange(6.0).reshape(2, 3), np.array([True, False]), np.array(["a", None], object), np.zeros((0, 3)),
    np.array(["2026-11-20", "NaT"], "M8[ns]"), np.array([1 + 2j]), np.asfortranarray(np.ones((2, 3))),
    np.arange(10)[::2],
]  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
def test_arrays_arrive_as_they_were_sent(array: np.ndarray[Any, Any]) -> None:
    import msgspec

    sent = msgspec.msgpack.decode(frame(packed({"x": array}))[8:])
    found = unpacked(sent)["x"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array, equal_nan=array.dtype.kind in "fcM")


@pytest.mark.parametrize(
    "items",
    [None, 5, [1], [["x", "f8", [2], b"short"]], [["x", "O", [3], [1]]], [["x", "nothing", [0], b""]]],
)
def test_what_a_worker_cannot_have_meant_is_refused(items: object) -> None:
    with pytest.raises(IncompatibleError, match="worker"):
        unpacked(items)


Json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(Json)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    import json

    data = json.dumps(value).encode()
    assert decode_json(data, 100) == value
    assert depth_of(data) == _depth(value)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@given(Json, st.text(max_size=4), Json)
def test_a_key_that_stands_twice_is_refused_wherever_it_is(inner: Any, key: str, other: Any) -> None:
    import json

    pair = f"{json.dumps(key)}:"
    twice = f"[{json.dumps(other)}, {{{pair} {json.dumps(inner)}, {pair} {json.dumps(other)}}}]"
    with pytest.raises(Refusal, match="twice"):
        decode_json(twice.encode(), 100)


def test_limits_must_be_limits() -> None:
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="rows"):
            Limits(rows=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("ends", ["before it forks", "after it forked"])
def test_a_worker_that_is_not_there_yet_takes_no_request_along(ends: str) -> None:
    """Whether its template has ended before it, or it has ended before its template said its number."""

    async def act() -> None:
        generation = Generation(Order(store="x", ref="m@1"), "m", Limits(), Metrics())
        ours, template = socket.socketpair()
        generation._control = ours
        await generation._fork()
        (worker,) = generation.workers
        job = generation.queue.submit(rows(1), 1)
        if ends == "after it forked":
            _, (end, *_), *_ = socket.recv_fds(template, 1, 1)
            socket.socket(fileno=end).close()
        else:
            generation.lost = True
        template.close()
        while generation.workers:
            await asyncio.sleep(0.001)
        if ends == "after it forked":
            generation._heard({"forked": 1})
        assert not job.future.done()
        assert (job.deaths, generation.queue._idle, worker.answered) == (0, [], 0)
        fake = Fake(generation.queue)
        fake.answer()
        assert await answer_of(job) == [2]
        generation.lost = True
        await generation.close()

    run(act)
