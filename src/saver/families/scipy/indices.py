"""What the native code of sparse matrices trusts: index arrays that stay within the matrix.

Each check takes time linear in the bytes of the arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import is_array

Shape = tuple[int, ...]


def check_index(array: Any, what: str) -> None:
    """Raise ValueError unless this is an array of one axis with indices."""
    if not is_array(array) or array.ndim != 1:
        raise ValueError(f"{what} must be an array of one axis")
    if array.dtype not in (np.int32, np.int64) or not array.dtype.isnative:
        raise ValueError(f"{what} must be int32 or int64, not {array.dtype}")


def check_range(array: NDArray[Any], size: int, what: str) -> None:
    """Raise ValueError unless all of these are at least 0 and less than `size`."""
    if array.size and not (int(array.min()) >= 0 and int(array.max()) < size):
        raise ValueError(f"{what} must be between 0 and {size - 1}")


def check_shape(shape: Shape, *indices: NDArray[Any]) -> None:
    """Raise ValueError unless the sizes fit the type of the indices: native code computes in it."""
    smallest = min(int(np.iinfo(index.dtype).max) for index in indices)
    if 0 not in shape and max(shape) > smallest:
        raise ValueError(f"the shape {shape} does not fit the type of the indices")


def check_pointers(indptr: Any, indices: Any, stored: int, major: int, minor: int) -> None:
    """Raise ValueError unless rows (or columns, or rows of blocks) end within the indices, and those are
    within the shape."""
    check_index(indptr, "indptr")
    check_index(indices, "indices")
    if len(indptr) != major + 1:
        raise ValueError(f"indptr has {len(indptr)} entries for {major} rows")
    if len(indices) != stored:
        raise ValueError(f"there are {len(indices)} indices for {stored} values")
    if int(indptr[0]) != 0 or int(indptr[-1]) > stored or bool(np.any(indptr[1:] < indptr[:-1])):
        raise ValueError("indptr must go from 0 to at most the number of indices without decreasing")
    check_range(indices[: int(indptr[-1])], minor, "indices")


def check_values(data: Any, ndim: int) -> None:
    """Raise ValueError unless this is an array with so many axes."""
    if not is_array(data) or data.ndim != ndim:
        raise ValueError(f"data must be an array with {ndim} axes")


def check_compressed(kind: str, shape: Shape, data: Any, indices: Any, indptr: Any) -> None:
    """Raise ValueError unless these are a CSR, CSC or BSR matrix of this shape."""
    rows, columns = (1, *shape)[-2:]
    if kind == "bsr":
        check_values(data, 3)
        height, width = data.shape[1:]
        if not height or not width or rows % height or columns % width:
            raise ValueError(f"blocks of {height} by {width} do not tile the shape {shape}")
        rows, columns = rows // height, columns // width
    else:
        check_values(data, 1)
    major, minor = (columns, rows) if kind == "csc" else (rows, columns)
    check_pointers(indptr, indices, len(data), major, minor)
    check_shape(shape, indices, indptr)


def check_coordinates(shape: Shape, data: Any, coordinates: Sequence[Any]) -> None:
    """Raise ValueError unless these are a COO array of this shape."""
    check_values(data, 1)
    if len(coordinates) != len(shape):
        raise ValueError(f"there are {len(coordinates)} index arrays for {len(shape)} axes")
    for axis, (index, size) in enumerate(zip(coordinates, shape, strict=True)):
        check_index(index, f"the indices of axis {axis}")
        if len(index) != len(data):
            raise ValueError(f"there are {len(index)} indices of axis {axis} for {len(data)} values")
        check_range(index, size, f"the indices of axis {axis}")
    check_shape(shape, *coordinates)


def check_diagonals(shape: Shape, data: Any, offsets: Any) -> None:
    """Raise ValueError unless these are a DIA matrix of this shape."""
    check_values(data, 2)
    check_index(offsets, "offsets")
    if len(offsets) != len(data) or len(np.unique(offsets)) != len(offsets):
        raise ValueError(f"{len(data)} diagonals need as many different offsets")
    check_shape(shape, offsets)
    room = int(np.iinfo(offsets.dtype).max) - max(shape)
    if offsets.size and not -room <= int(offsets.min()) <= int(offsets.max()) <= room:
        raise ValueError("the offsets are too far outside the matrix")


def check_rows(shape: Shape, rows: list[list[Any]]) -> None:
    """Raise ValueError unless these are the columns of the rows of a LIL matrix of this shape."""
    columns = shape[1]
    for row in rows:
        if row and not (
            all(type(column) is int for column in row)
            and row[0] >= 0
            and row[-1] < columns
            and all(a < b for a, b in pairwise(row))
        ):
            raise ValueError(f"the columns of a row must increase, between 0 and {columns - 1}")
