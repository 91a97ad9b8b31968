"""Calls at the same time, for storages whose calls are slow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from saver.threads import Threads

T = TypeVar("T")

TOGETHER = 32
"""The most calls that are made at the same time."""


def together(asks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of calls, all made at once; see `Storage.together`."""
    waiting = list(asks)
    if len(waiting) <= 1:
        yield from (ask() for ask in waiting)
        return
    with Threads(min(len(waiting), TOGETHER)) as threads:
        answers = [threads.submit(ask) for ask in waiting]
        for answer in answers:
            yield answer.result()
