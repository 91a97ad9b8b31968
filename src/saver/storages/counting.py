"""Counts the calls to a storage: how many of each kind, and how many had to wait for one another."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from saver.storage import Storage
from saver.storages._wrapped import WrappedStorage

T = TypeVar("T")


class CountingStorage(WrappedStorage):
    """Does what another storage does, and counts.

        storage = CountingStorage(MemoryStorage())
        Saver(storage).load("iris")
        assert storage.waits <= 7
        assert storage.calls["list"] == 1

    `calls` counts the calls by kind: `put`, `create`, `open`, `read`, `fetch`, `stat`, `list`, `delete`. A
    listing is one call, and so is deleting many keys, fetching many ranges, or reading a whole object.
    Opening an object fetches its first bytes, so reading what is `near` is not a call.

    `waits` counts how many calls came after one another; calls that are made together count as the longest
    chain among them. It is what a storage with slow calls costs. Only `together` makes calls at the same
    time: calls of different threads are counted as if they waited for each other.
    """

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.calls: Counter[str] = Counter()
        self.waits = 0
        self._lock = threading.Lock()
        self._chain = threading.local()

    def begin_anew(self) -> None:
        """Count from zero."""
        with self._lock:
            self.calls.clear()
            self.waits = 0

    def call(self, name: str, act: Callable[[], T]) -> T:
        with self._lock:
            self.calls[name] += 1
        self._wait(1)
        return act()

    def _wait(self, count: int) -> None:
        """Add `count` calls that came after one another, in this chain."""
        chain: list[int] | None = getattr(self._chain, "now", None)
        with self._lock:
            if chain is None:
                self.waits += count
            else:
                chain[0] += count

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        """Make all calls at once, as storages with slow calls do."""
        chains: list[list[int]] = []

        def outcome(ask: Callable[[], T], chain: list[int]) -> Callable[[], T]:
            before = getattr(self._chain, "now", None)
            self._chain.now = chain
            try:
                answer = ask()
            except Exception as error:
                return partial(_raise, error)
            finally:
                self._chain.now = before
            return lambda: answer

        outcomes = []
        for ask in asks:
            chains.append([0])
            outcomes.append(partial(outcome, ask, chains[-1]))
        found = list(self.storage.together(outcomes))
        self._wait(max((chain[0] for chain in chains), default=0))
        return (answer() for answer in found)


def _raise(error: Exception) -> Any:
    raise error
