"""Work is shared by as many threads as the system gives, and done without any where it gives none."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver import memory
from saver.pack import verify, write
from saver.threads import Threads


@pytest.fixture(params=[0, 1, 2])
def given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many threads can be started, before there can be no more."""
    start, left = threading.Thread.start, [request.param]

    def scarce(thread: threading.Thread) -> None:
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    return int(request.param)


def test_all_is_done_and_errors_come_out(given: int) -> None:
    def act(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number * number

    with Threads(2) as threads:
        assert threads.count == max(1, given)
        found = [threads.submit(act, number) for number in range(10)]
        assert [future.result() for future in found if future is not found[5]] == [
            number * number for number in range(10) if number != 5
        ]
        with pytest.raises(ValueError, match="five"):
            found[5].result()


def test_what_was_not_begun_can_be_called_off() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait()

    with Threads(1) as threads:
        first, second = threads.submit(wait), threads.submit(wait)
        begun.wait()
        threads.shutdown(wait=False, cancel_futures=True)
        go_on.set()
    assert (first.cancelled(), second.cancelled()) == (False, True)


def test_large_models_are_saved_and_loaded_with_few_threads_or_none(
    given: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SMALL", 0)
    monkeypatch.setattr(verify, "SERIAL", -1)
    model: dict[str, Any] = {"a": np.arange(3_000_000.0), "b": np.ones(5)}
    saver.dump(model, tmp_path / "a.saver")
    found = saver.load(tmp_path / "a.saver")
    assert all(np.array_equal(found[name], model[name]) for name in model)


def test_a_save_without_memory_for_its_buffers_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(memory.mmap, "mmap", refuse)
    monkeypatch.setattr(write, "SMALL", 0)
    with pytest.raises(saver.CannotWriteError, match=r"no memory for 35,651,584 bytes.*free some memory"):
        saver.dump(np.arange(1000.0), tmp_path / "a.saver")
    assert not list(tmp_path.iterdir())
