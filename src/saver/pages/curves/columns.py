"""The columns of a training log as they are stored: arrays in pieces, of which few are in memory."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.errors import IncompatibleError
from saver.opened import Opened
from saver.pages.comparing.blocks import release, stored
from saver.reading.arrays import Array, tensor_array
from saver.reading.forms import FORMS
from saver.reading.texts import base64_bytes
from saver.tensors import NUMPY_DTYPE
from saver.tree import Tensor

HELD = 2
"""How many pieces of a column stay in memory: rows are read in rising order."""


class Column:
    """One column of a log: `length` numbers, in pieces that are stored one by one."""

    def __init__(self, view: Opened, state: Any, dtype: str) -> None:
        self._view, self._dtype = view, dtype
        self.pieces = _pieces(view, state, dtype)
        self._ends = list(accumulate(piece.count for piece in self.pieces))
        self._held: dict[int, NDArray[Any]] = {}
        self.length = self._ends[-1] if self._ends else 0

    def bounds(self, at: int) -> tuple[int, int]:
        """Where a piece begins and ends."""
        return self._ends[at] - self.pieces[at].count, self._ends[at]

    def key(self, at: int) -> str:
        """Names the content of a piece: pieces with the same key are equal."""
        piece = self.pieces[at]
        return piece.hash or blake3(piece.data).hexdigest()

    def piece(self, at: int) -> NDArray[Any]:
        """The numbers of a piece. Raises DamagedError."""
        if at not in self._held:
            raw = np.concatenate([np.empty(0, np.uint8), *stored(self._view, self.pieces[at])])
            release(self._view, self.pieces[at])
            while len(self._held) >= HELD:
                del self._held[next(iter(self._held))]
            self._held[at] = raw.view(NUMPY_DTYPE[self._dtype])
        return self._held[at]

    def holding(self, start: int, stop: int) -> range:
        """The pieces with the numbers from `start` to `stop`."""
        if start >= stop:
            return range(0)
        return range(bisect_right(self._ends, start), bisect_right(self._ends, stop - 1) + 1)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The numbers from `start` to `stop`."""
        found: list[NDArray[Any]] = [np.empty(0, NUMPY_DTYPE[self._dtype])]
        for at in self.holding(start, stop):
            low, high = self.bounds(at)
            found.append(self.piece(at)[max(start - low, 0) : min(stop, high) - low])
        return np.concatenate(found)

    def take(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """The numbers at some places, in rising order."""
        found: list[NDArray[Any]] = [np.empty(0, NUMPY_DTYPE[self._dtype])]
        at = 0
        while at < len(places):
            piece = bisect_right(self._ends, int(places[at]))
            low, high = self.bounds(piece)
            end = at + int(places[at:].searchsorted(high))
            found.append(self.piece(piece)[places[at:end] - low])
            at = end
        return np.concatenate(found)


def _pieces(view: Opened, state: Any, dtype: str) -> list[Array]:
    """The pieces of a column. Raises IncompatibleError for a state that no Saver wrote: one that names a
    tensor twice would take time without having the bytes."""
    form, found = FORMS[dtype], list[Array]()
    for value in state if type(state) is list else [state]:
        piece = tensor_array(value, view.tensors.info) if type(value) is Tensor else None
        if piece is None:
            data = base64_bytes(value)
            if data is None or len(data) % form.size:
                raise _bad(view)
            piece = Array(form, (len(data) // form.size,), data=data)
        if piece.form != form or len(piece.shape) != 1:
            raise _bad(view)
        if piece.count:
            found.append(piece)
    names = [piece.name for piece in found if piece.name]
    if len(set(names)) < len(names):
        raise _bad(view)
    return found


def _bad(view: Opened) -> IncompatibleError:
    return IncompatibleError(
        f"{view.where}: a column of its training log is not made of pieces of numbers; this version of Saver "
        "did not save it"
    )
