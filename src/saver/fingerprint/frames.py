"""Hashes of frames, column by column.

Columns of one NumPy dtype are read together, in runs of rows, so that a table whose columns are interleaved
in memory is read once rather than once for each column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.fingerprint.arrays import PARALLEL, PIECE, absorb, new_hasher, no_value, processors
from saver.fingerprint.elements import NoValue, encode
from saver.threads import Threads

LISTED = 256
"""The columns of a frame are listed if there are at most this many; for wider frames only the whole hash is
kept."""

ROWS = 1024
"""At least this many rows are read together."""

Run: TypeAlias = Sequence[Any] | NDArray[Any]
"""Consecutive rows of a column, or a property of each, such as whether it is missing."""

ColumnHash: TypeAlias = dict[str, str]
"""Name, dtype and hash of a column."""


class Columns(NamedTuple):
    """Columns that are read together: `read(start, stop)` returns these rows of each column as one or more
    runs (values, and which of them are present).

    `fixed` belongs to all rows: the categories of a categorical column.
    """

    names: list[str]
    dtype: str
    read: Callable[[int, int], Sequence[tuple[Run, ...]]]
    fixed: bytes = b""


def column_fingerprint(column: Columns, index: list[Columns], rows: int, where: str) -> dict[str, Any]:
    """The fingerprint of a single column with its index."""
    told = hashes([column], rows, where)
    return joined("column", [rows], told, hashes(index, rows, where))


def joined(kind: str, shape: list[int], columns: list[ColumnHash], index: list[ColumnHash]) -> dict[str, Any]:
    """The fingerprint of columns and an index whose hashes are known.

    It covers the names, dtypes and values of the columns in their order, and those of the index.
    """
    whole = blake3(msgspec.json.encode([columns, index])).hexdigest()
    found: dict[str, Any] = {"kind": kind, "shape": shape, "hash": whole}
    if len(columns) <= LISTED:
        found["columns"] = columns
    if index:
        found["index"] = index
    return found


def hashes(groups: list[Columns], rows: int, where: str) -> list[ColumnHash]:
    """The hashes of all columns, in the order of the groups. Several threads work on large ones."""
    if rows * sum(len(group.names) for group in groups) * 8 < PARALLEL or len(groups) == 1:
        return [told for group in groups for told in hash_group(group, rows, where, alone=True)]
    with Threads(processors()) as pool:
        results = pool.map(lambda group: hash_group(group, rows, where, alone=False), groups)
        return [told for result in results for told in result]


def hash_group(group: Columns, rows: int, where: str, alone: bool) -> list[ColumnHash]:
    """The hashes of the columns of a group; `alone` says that no other thread is hashing meanwhile."""
    count = len(group.names)
    step = max(ROWS, PIECE // (8 * count))
    size = rows * 8 if alone and count == 1 else 0
    hashers: list[list[blake3]] = [[] for _ in group.names]
    for start in range(0, max(rows, 1), step):
        for at, runs in enumerate(group.read(start, min(start + step, rows))):
            own = hashers[at]
            own.extend(new_hasher(size) for _ in runs[len(own) :])
            try:
                for run, hasher in zip(runs, own, strict=True):
                    absorb(run, hasher) if isinstance(run, np.ndarray) else hasher.update(encode(run))
            except (NoValue, RecursionError) as error:
                raise no_value(error, f"{where}[{group.names[at]!r}]") from None
    return [
        {"name": name, "dtype": group.dtype, "hash": _digest(group.fixed, own)}
        for name, own in zip(group.names, hashers, strict=True)
    ]


def _digest(fixed: bytes, hashers: list[blake3]) -> str:
    """The hash of a column; for plain values it is that of an array of them."""
    if len(hashers) == 1 and not fixed:
        return hashers[0].hexdigest()
    return blake3(b"".join((fixed, *(hasher.digest() for hasher in hashers)))).hexdigest()


def name_of(label: Any) -> str:
    """A label as text."""
    return "" if label is None else str(label).encode(errors="backslashreplace").decode()
