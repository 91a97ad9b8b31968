"""Calls at the same time, for storages whose calls are slow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from saver.threads import Threads

T = TypeVar("T")

TOGETHER = 32
"""The most calls that are made at the same time."""


def together(asks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of calls, all made at once; see `Storage.together`. The first one is made by the thread
    that calls this: if it opens a store, a passphrase may have to be typed, and Ctrl-C reaches no other."""
    waiting = list(asks)
    own, others = waiting[:1], waiting[1:]
    with Threads(min(len(others), TOGETHER - 1)) as threads:
        answers = [threads.submit(ask) for ask in others]
        yield from (ask() for ask in own)
        yield from (answer.result() for answer in answers)
