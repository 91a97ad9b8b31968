"""The rows of a log, as Python objects and in files."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from saver import registry
from saver.disk.durable import NewFile
from saver.errors import IncompatibleError
from saver.training_log.content import OWN, Column, Content

BLOCK = 4096
"""How many rows are turned into Python objects at a time."""


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for JSON, with text for values that are not finite."""
    return {name: value if math.isfinite(value) else str(value) for name, value in row.items()}


def blocks(content: Content) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(content.steps), BLOCK):
        yield between(content, start, min(start + BLOCK, len(content.steps)))


def between(content: Content, start: int, stop: int) -> list[dict[str, Any]]:
    """The rows from `start` to `stop`, with their keys in order."""
    steps, times = content.steps[start:stop].tolist(), content.times[start:stop].tolist()
    rows: list[dict[str, Any]] = [{"step": step} for step in steps]
    if "epoch" in content.columns:
        for index, epoch in _values(content.columns["epoch"], start, stop):
            rows[index]["epoch"] = int(epoch) if epoch.is_integer() else epoch
    for row, when in zip(rows, times, strict=True):
        row["time"] = when
    for name, column in content.columns.items():
        if name not in OWN:
            for index, value in _values(column, start, stop):
                rows[index][name] = value
    return rows


def _values(column: Column, start: int, stop: int) -> Iterable[tuple[int, float]]:
    """The values of a column in some rows, each with its row, counted from `start`."""
    rows = column.rows
    if isinstance(rows, int):
        low, high = max(start - rows, 0), max(stop - rows, 0)
        return enumerate(column.values[low:high].tolist(), max(rows - start, 0))
    low, high = rows.searchsorted((start, stop)).tolist()
    return zip((rows[low:high] - start).tolist(), column.values[low:high].tolist(), strict=True)


def csv_blocks(content: Content) -> Iterator[bytes]:
    """CSV with a line of names; empty where a row has no value."""
    names = [name for name in OWN if name != "epoch" or name in content.columns]
    names += [name for name in content.columns if name not in OWN]
    for block in ([dict(zip(names, names, strict=True))], *blocks(content)):
        text = io.StringIO()
        lines = ([row.get(name, "") for name in names] for row in block)
        csv.writer(text, lineterminator="\n").writerows(lines)
        yield text.getvalue().encode()


def jsonl_blocks(content: Content) -> Iterator[bytes]:
    """A JSON object in each line."""
    encoder = msgspec.json.Encoder()
    for block in blocks(content):
        yield encoder.encode_lines(map(plain, block))


def frame(content: Content) -> Any:
    """A column for each metric; nan where a row has no value. Raises IncompatibleError if no library for data
    frames is installed."""
    (family,) = (family for family in registry.families() if family.frames)
    try:
        module: Any = family.module("frames")
    except ImportError as error:
        raise IncompatibleError(
            f"a data frame needs {family.name}, which is missing ({error}); "
            f'pip install "saver-ml[{family.extra}]"'
        ) from error
    found: dict[str, Any] = dict.fromkeys(["step", *content.columns.keys() & {"epoch"}, "time"])
    found["step"], found["time"] = content.steps.copy(), content.times.copy()
    for name, column in content.columns.items():
        found[name] = np.full(len(content.steps), np.nan)
        found[name][column.where()] = column.values
    return module.frame_of(found)


def write(path: str | os.PathLike[str], blocks: Iterable[bytes]) -> None:
    held = list(blocks)
    with NewFile(os.fsdecode(path), sum(map(len, held))) as file:
        offset = 0
        for block in held:
            file.write(block, offset)
            offset += len(block)
        file.commit()
