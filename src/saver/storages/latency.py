"""A storage in which every call takes a while, as over a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from saver.storage import Storage
from saver.storages._together import together
from saver.storages._wrapped import WrappedStorage

T = TypeVar("T")


class LatencyStorage(WrappedStorage):
    """Does what another storage does, each call `seconds` later; calls that are made together wait once.

    Opening an object fetches its first bytes, so reading what is near is not a call. Tests may replace
    `wait`.
    """

    def __init__(
        self, storage: Storage, seconds: float, wait: Callable[[float], object] = time.sleep
    ) -> None:
        super().__init__(storage)
        self.far = True
        self._seconds = seconds
        self._wait = wait

    def call(self, name: str, act: Callable[[], T]) -> T:
        self._wait(self._seconds)
        return act()

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        return together(asks)
