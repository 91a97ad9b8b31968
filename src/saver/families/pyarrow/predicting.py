"""Rows of Parquet files, to be predicted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from saver.errors import IncompatibleError
from saver.predicting.contract import Predicting


class _PyArrow(Predicting):
    """Models take frames and arrays rather than tables of Arrow."""


def rows_of(path: str, size: int) -> Iterator[tuple[dict[str, list[Any]], int, float]]:
    """The columns of `size` rows at a time, how many rows there are, and which part of the file was read."""
    from pyarrow import parquet  # takes long, and who serves a model never needs it

    try:
        with parquet.ParquetFile(path) as file:
            done, total = 0, max(1, file.metadata.num_rows)
            for batch in _cut(file.iter_batches(batch_size=size), size):
                done += batch.num_rows
                columns = {name: batch.column(at).to_pylist() for at, name in enumerate(batch.schema.names)}
                yield columns, batch.num_rows, done / total
    except pa.ArrowException as error:
        raise IncompatibleError(f"{path}: it cannot be read as Parquet: {error}") from None


def _cut(found: Iterator[Any], size: int) -> Iterator[Any]:
    """Batches of exactly `size` rows, but for the last one: those of the file may end with its row groups."""
    held: list[Any] = []
    rows = 0
    for batch in found:
        held.append(batch)
        rows += batch.num_rows
        while rows >= size:
            table = pa.Table.from_batches(held)
            yield table.slice(0, size).combine_chunks()
            held, rows = table.slice(size).to_batches(), rows - size
    if rows:
        yield pa.Table.from_batches(held).combine_chunks()


PREDICTING = _PyArrow()
