"""Heat maps: the mean size of the entries in each cell of a grid over an array."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from saver.opened import Opened
from saver.pages.comparing.blocks import even, release, stored
from saver.pages.comparing.figures import Floats, floats
from saver.reading.arrays import Array

ROWS, COLUMNS = 32, 64
"""The most cells along each axis."""

PIECE = 1 << 18
"""Entries that are looked at together."""


class NoMap(Exception):
    """There is no map, and why."""


def heat(view: Opened, array: Array, wanted: Callable[[], bool] = lambda: True) -> Floats:
    """The mean absolute value of the finite entries in each cell, nan in cells without any, for the matrix of
    the first axis by all others, stored in the order of its axes; that of its transpose is turned back.

    Raises NoMap for an empty array, and for one of several axes that is stored in another order.
    """
    rows, columns, turned = _matrix(array)
    down, across = min(rows, ROWS), min(columns, COLUMNS)
    if turned:
        down, across = min(rows, COLUMNS), min(columns, ROWS)
    sums, counts = np.zeros(down * across), np.zeros(down * across, np.int64)
    at, size = 0, array.form.size
    try:
        for raw in even(stored(view, array), PIECE * size):
            if not wanted():
                raise NoMap("nobody waits for it")
            _add(np.abs(floats(raw, array.form)), at, (rows, columns), (down, across), sums, counts)
            at += raw.size // size
    finally:
        release(view, array)
    with np.errstate(all="ignore"):
        found = (sums / counts).reshape(down, across)
    return found.T if turned else found


def _matrix(array: Array) -> tuple[int, int, bool]:
    """Rows and columns of an array as a matrix, and whether it is stored transposed."""
    if not array.count:
        raise NoMap("it has no entries")
    if not array.shape:
        return 1, 1, False
    rows, columns = array.shape[0], math.prod(array.shape[1:])
    if array.strides is None:
        return (rows, columns, False) if len(array.shape) > 1 else (1, rows, False)
    if len(array.shape) == 2:
        return columns, rows, True
    raise NoMap("its entries are stored in an order that is not that of its axes")


def edges(length: int, cells: int) -> NDArray[np.int64]:
    """Where each of some cells begins along an axis, and the end."""
    return np.arange(cells + 1, dtype=np.int64) * length // cells


def _add(
    values: Floats, at: int, shape: tuple[int, int], grid: tuple[int, int],
    sums: Floats, counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add a stretch of entries, of which the first is number `at`, to the cells that they are in."""
    (rows, columns), (down, across) = shape, grid
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, 0.0)
    first, last = at // columns, (at + values.size - 1) // columns
    starts = (np.arange(first, last + 1)[:, None] * columns + edges(columns, across)[:-1]).reshape(-1)
    row_cells = edges(rows, down)[1:].searchsorted(np.arange(first, last + 1), "right")
    cells = (row_cells[:, None] * across + np.arange(across)).reshape(-1)
    begin = int(starts.searchsorted(at, "right")) - 1
    end = int(starts.searchsorted(at + values.size))
    places = np.maximum(starts[begin:end] - at, 0)
    with np.errstate(all="ignore"):
        np.add.at(sums, cells[begin:end], np.add.reduceat(values, places))
    np.add.at(counts, cells[begin:end], np.add.reduceat(finite, places, dtype=np.int64))
