"""Many objects at the same time, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from typing import TypeVar

from saver.storage import Progress, Storage

MOST = 32
"""Objects of a batch."""

BYTES = 64 << 20
"""A batch ends with the object that brings its bytes to this many: those of a large one are read in parallel
anyway."""

K = TypeVar("K")
T = TypeVar("T")


def in_batches(
    storage: Storage, items: Iterable[K], act: Callable[[K], T], size: Callable[[K], int] | None = None
) -> Iterator[tuple[K, T]]:
    """Each item with the result of `act`, in order. If calls to the storage are slow, those for some items
    are made at the same time; otherwise one after another, each when its result is requested. `size` is how
    many bytes an item has."""
    batch, bytes_there = list[K](), 0
    for item in items:
        batch.append(item)
        bytes_there += size(item) if size is not None else 0
        if len(batch) == MOST or bytes_there >= BYTES:
            yield from _at_once(storage, batch, act)
            batch, bytes_there = [], 0
    yield from _at_once(storage, batch, act)


def _at_once(storage: Storage, batch: list[K], act: Callable[[K], T]) -> Iterator[tuple[K, T]]:
    return zip(batch, storage.together(partial(act, item) for item in batch), strict=True)


class Tally:
    """Adds up the bytes of objects that several threads read at the same time, and reports the sum."""

    def __init__(self, progress: Progress | None, done: int, total: int) -> None:
        self._progress, self.done, self._total = progress, done, total
        self._lock = Lock()

    def add(self, count: int) -> None:
        """Report that `count` more bytes were read."""
        with self._lock:
            self.done += count
            if self._progress is not None:
                self._progress(self.done, max(self._total, self.done))

    def of_one(self) -> Progress:
        """Takes the reports of one object."""
        before = 0

        def report(done: int, _: int) -> None:
            nonlocal before
            self.add(done - before)
            before = done

        return report
