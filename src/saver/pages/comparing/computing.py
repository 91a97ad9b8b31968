"""Computes what there is to see of layers: on several threads, piece by piece, until somebody stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saver.opened import Opened
from saver.pages.comparing.blocks import even, is_cut, release, stored
from saver.pages.comparing.figures import (
    CHUNK,
    Change,
    Floats,
    Histogram,
    Sums,
    change,
    floats,
    histogram,
    places,
    sums,
)
from saver.pages.comparing.layers import Layer
from saver.reading.arrays import Array
from saver.reading.forms import Form
from saver.tensors import BLOCK, Bytes
from saver.threads import Threads, processors

JOB = 8 * BLOCK
"""Bytes of an array that a thread takes at a time, if it can be cut."""

PIECE = BLOCK
"""Bytes of an array that are looked at together."""

RENEW = 64 << 20
"""Bytes of a version after which it is opened anew: what is decrypted, unpacked or fetched stays in the
memory of what was opened before."""

BUDGET = 4
"""How many times the bytes of the versions may be read; honest ones need one. A crafted file could name one
tensor in many places."""


class Stopped(Exception):
    """Nobody waits for the result any more."""


class Seen(NamedTuple):
    """What there is to see of one array. `change` is that from the first version that has the layer; None for
    that one, and where another dtype or shape cannot be compared entry by entry."""

    sums: Sums
    histogram: Histogram | None
    change: Change | None


class Found(NamedTuple):
    """A layer, and for each version that has to be read what was seen. It is empty if `trouble` says why."""

    layer: Layer
    seen: dict[int, Seen]
    trouble: str = ""


class _Job(NamedTuple):
    """A stretch of the arrays of one layer: bytes from `start` to `end` of each; None is the end of each."""

    layer: int
    start: int
    end: int | None


class Computing:
    """Looks at the arrays of some layers, while they are `wanted`. `done` of `total` bytes were looked at.
    `opening` opens the version of that number anew."""

    def __init__(
        self, views: Sequence[Opened], layers: Sequence[Layer], wanted: Callable[[], bool] = lambda: True,
        opening: Callable[[int], Opened] | None = None,
    ) -> None:  # fmt: skip
        self._views, self._layers, self._wanted, self._opening = [*views], layers, wanted, opening
        self._since = [0] * len(views)
        self.done = 0
        self.total = sum(array.length for layer in layers for array in layer.distinct.values())
        self._stopped = False
        self._lock = Lock()

    def forget(self) -> None:
        """Keep nothing but the numbers of bytes."""
        self._views, self._layers, self._opening = [], (), None

    def run(self, threads: int | None = None) -> list[Found]:
        """What was found, in the order of the layers. Raises Stopped, and DamagedError if bytes are not those
        that were saved."""
        found = [Found(layer, {}, _TOO_OFTEN if layer.distinct else "") for layer in self._layers]
        jobs = [list(self._cut(at, self._layers[at])) for at in self._affordable()]
        parts: list[list[_Part]] = [[] for _ in self._layers]
        left = {each[0].layer: len(each) for each in jobs}
        with Threads(threads or processors()) as pool:
            futures = {pool.submit(self._part, job): job.layer for each in jobs for job in each}
            try:
                for future in as_completed(list(futures)):
                    at = futures.pop(future)
                    parts[at].append(future.result())
                    left[at] -= 1
                    if not left[at]:  # what was seen of its parts takes memory
                        found[at] = _found(self._layers[at], parts[at])
                        parts[at] = []
            except BaseException:
                self._stopped = True
                for future in futures:
                    future.cancel()
                raise
        return found

    def _affordable(self) -> Iterator[int]:
        """The layers that are read, by number."""
        budget = BUDGET * sum(view.tensors.size for view in self._views)
        for at, layer in enumerate(self._layers):
            budget -= sum(array.length for array in layer.distinct.values() if array.name or array.pieces)
            if layer.distinct and budget >= 0:
                yield at

    def _cut(self, at: int, layer: Layer) -> Iterator[_Job]:
        arrays = layer.distinct
        lengths = {array.length for array in arrays.values()}
        cut = len(lengths) == 1 and all(is_cut(self._views[n], array) for n, array in arrays.items())
        length = min(lengths, default=0)
        size = 1 if not arrays else next(iter(arrays.values())).form.size
        if not cut or length <= JOB or JOB % size:
            yield _Job(at, 0, None)
            return
        for start in range(0, length, JOB):
            yield _Job(at, start, min(start + JOB, length))

    def _part(self, job: _Job) -> _Part:
        """Look at one stretch of a layer. Arrays of one form and shape go side by side, so that each entry is
        read once."""
        arrays, found = self._layers[job.layer].distinct, _Part(job.start)
        with self._lock:
            views = {n: self._views[n] for n in arrays}
        first = arrays[min(arrays)]
        together = {n: array for n, array in arrays.items() if alike(array, first)}
        self._read(views, together, job, found)
        for n, array in arrays.items():
            if n not in together:
                self._read(views, {n: array}, job, found)
            end = array.length if job.end is None else min(job.end, array.length)
            if end == array.length:
                release(views[n], array)
            self._renew(n, end - job.start)
        return found

    def _renew(self, n: int, length: int) -> None:
        """Open a version anew, once enough of it was read."""
        with self._lock:
            self._since[n] += length
            if self._opening is not None and self._since[n] > RENEW:
                self._views[n], self._since[n] = self._opening(n), 0

    def _read(self, views: dict[int, Opened], arrays: dict[int, Array], job: _Job, found: _Part) -> None:
        form, first = next(iter(arrays.values())).form, min(arrays)
        size = max(1, PIECE // form.size) * form.size
        sources = [even(stored(views[n], array, job.start, job.end), size) for n, array in arrays.items()]
        wanted = places(arrays[first].count)
        at = job.start // form.size
        for pieces in zip(*sources, strict=True):
            if self._stopped or not self._wanted():
                raise Stopped
            for start in range(0, pieces[0].size, CHUNK * form.size):
                stop = min(start + CHUNK * form.size, pieces[0].size)
                raws = {n: piece[start:stop] for n, piece in zip(arrays, pieces, strict=True)}
                chunk = {n: (raw, floats(raw, form)) for n, raw in raws.items()}
                entries = (stop - start) // form.size
                low, high = wanted.searchsorted((at, at + entries))
                found.look(chunk, wanted[low:high] - at, first, form)
                at += entries
            with self._lock:
                self.done += len(pieces) * pieces[0].size


_TOO_OFTEN = "not read: the file names the same bytes in too many places"


def alike(one: Array, other: Array) -> bool:
    """Whether two arrays can be compared entry by entry, in the order in which they are stored."""
    return one.form == other.form and one.shape == other.shape and one.strides == other.strides


class _Part:
    """What was seen in one stretch of a layer, for each version."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.sums: dict[int, Sums] = {}
        self.changes: dict[int, Change] = {}
        self.samples: dict[int, list[Floats]] = {}

    def look(
        self, chunk: dict[int, tuple[Bytes, Floats]], picked: NDArray[np.int64], first: int, form: Form
    ) -> None:
        """Look at the same entries of some versions, of which those that are `picked` are in histograms."""
        seen = {n: sums(values) for n, (_, values) in chunk.items()}
        for n, each in seen.items():
            self.samples.setdefault(n, []).append(chunk[n][1][picked])
            self.sums[n] = self.sums.get(n, Sums()).plus(each)
            if n != first:
                finite = each.finite == each.entries and seen[first].finite == seen[first].entries
                found = change(chunk[first], chunk[n], form, finite)
                self.changes[n] = self.changes.get(n, Change()).plus(found)


def _found(layer: Layer, parts: list[_Part]) -> Found:
    parts = sorted(parts, key=lambda part: part.start)
    totals = {n: Sums() for n in layer.distinct}
    changes: dict[int, Change] = {}
    samples: dict[int, list[Floats]] = {n: [np.empty(0)] for n in totals}
    for part in parts:
        for n, each in part.sums.items():
            totals[n] = totals[n].plus(each)
        for n, changed in part.changes.items():
            changes[n] = changes.get(n, Change()).plus(changed)
        for n, some in part.samples.items():
            samples[n] += some
    low = min(each.low for each in totals.values())
    high = max(each.high for each in totals.values())
    drawn = {n: histogram(np.concatenate(some), low, high) for n, some in samples.items() if low <= high}
    return Found(layer, {n: Seen(each, drawn.get(n), changes.get(n)) for n, each in totals.items()})
