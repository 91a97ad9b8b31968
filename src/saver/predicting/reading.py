"""Rows from files, a batch at a time: CSV, JSON, lines of JSON, `.npy`, and what families read (Parquet)."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import IO, Any, NamedTuple

import numpy as np

from saver import registry
from saver.errors import BadInputError, IncompatibleError, SaverError, quoted
from saver.schema import Problem, Schema
from saver.schema.problems import refuse
from saver.schema.rows import from_cells, from_rows, header_of

PIECE = 1 << 20
"""Characters of JSON that are read at a time."""

LONGEST = 64 << 20
"""Characters that one row of JSON may take."""

TABLES = {"parquet": "pyarrow"}
"""Files that a family reads: `rows_of(path, size)` of its module `predicting`."""

ENDINGS = ("csv", "json", "jsonl", "npy", *TABLES)


class Batch(NamedTuple):
    """Rows that are scored together: the number of the first, how many there are, inputs by name that are not
    checked yet, and how far in the file they end, in bytes as far as that is known."""

    first: int
    rows: int
    inputs: Mapping[str, Any]
    done: int


def batches(schema: Schema, path: str, size: int, skip: int = 0) -> Iterator[Batch]:
    """The rows of a file in batches of `size`, cut at the same rows each time; the first `skip` rows are left
    out, a multiple of `size`. Memory is that of a batch. Raises BadInputError, which counts rows from the
    beginning of the file, and ValueError for a file of another kind."""
    ending = os.path.splitext(path)[1].lower().removeprefix(".")
    if ending not in ENDINGS:
        raise ValueError(f"{path}: rows are read from files that end in .{', .'.join(ENDINGS)}")
    if ending == "npy":
        yield from _of_npy(schema, path, size, skip)
    elif ending in TABLES:
        yield from _of_table(schema, path, size, skip, TABLES[ending])
    elif ending == "csv":
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from _readable(path, _of_csv(schema, file, size, skip))
    else:
        with open(path, encoding="utf-8") as file:
            rows = _lines(file) if ending == "jsonl" else _items(file)
            yield from _readable(path, _of_rows(schema, file, rows, size, skip))


def _readable(path: str, found: Iterator[Batch]) -> Iterator[Batch]:
    try:
        yield from found
    except SaverError:
        raise
    except (ValueError, csv.Error, RecursionError) as error:  # such as a number of too many digits for int()
        raise BadInputError(f"{path}: it is not what its ending says: {error}") from None


def _of_csv(schema: Schema, file: IO[str], size: int, skip: int) -> Iterator[Batch]:
    lines = (line for line in csv.reader(file, strict=True) if line)
    head = next(lines, None)
    if head is None:
        return
    header = header_of(schema, head)
    rows = lines if header is not None else chain([head], lines)
    next(islice(rows, skip, skip), None)
    first = skip
    while some := list(islice(rows, size)):
        yield Batch(first, len(some), from_cells(schema, header, some, first), _at(file))
        first += len(some)


def _of_rows(schema: Schema, file: IO[str], rows: Iterator[Any], size: int, skip: int) -> Iterator[Batch]:
    next(islice(rows, skip, skip), None)
    first = skip
    while some := list(islice(rows, size)):
        yield Batch(first, len(some), shifted(first, from_rows, schema, some), _at(file))
        first += len(some)


def _at(file: IO[str]) -> int:
    """How far a file was read, in bytes: its text may have been read ahead."""
    return file.buffer.tell()  # type: ignore[attr-defined,no-any-return]


def shifted(first: int, call: Any, *args: Any) -> Any:
    """What `call` returns; rows in its BadInputError count from `first`."""
    try:
        return call(*args)
    except BadInputError as error:
        if not first or not error.problems:
            raise
        moved = [
            Problem(None if each.row is None else each.row + first, each.column, each.wanted, each.came)
            for each in error.problems
        ]
        raise refuse(moved) from None


def _lines(file: IO[str]) -> Iterator[Any]:
    while line := file.readline(LONGEST + 1):
        if len(line) > LONGEST:
            raise BadInputError(f"a row of JSON takes over {LONGEST:,} characters")
        if line.strip():
            yield json.loads(line, object_pairs_hook=_once, parse_int=_whole)


def _items(file: IO[str]) -> Iterator[Any]:
    """The items of one JSON list, decoded one by one. Raises json.JSONDecodeError, as `json.loads` does."""
    decoder, text = json.JSONDecoder(object_pairs_hook=_once, parse_int=_whole), _Pieces(file)
    if text.mark() != "[":
        raise BadInputError("JSON of rows is a list: [{...}, {...}]; or write a row on each line of a .jsonl")
    text.at += 1
    if text.mark() != "]":
        yield text.item(decoder)
        while text.mark() == ",":
            text.at += 1
            text.mark()
            yield text.item(decoder)
        if text.mark() != "]":
            raise json.JSONDecodeError("Expecting ',' delimiter", text.held, text.at)
    text.at += 1
    if text.mark():
        raise json.JSONDecodeError("Extra data", text.held, text.at)


class _Pieces:
    """JSON that is read a piece at a time: what is `held` of it, and the place `at` which it is read."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.held, self.at, self._is_all = "", 0, False

    def mark(self) -> str:
        """The next character that is not a space; an empty text at the end."""
        while True:
            self.at = _SPACE.match(self.held, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.held) or self._is_all:
                return self.held[self.at : self.at + 1]
            self._more()

    def item(self, decoder: json.JSONDecoder) -> Any:
        """The item that begins here, once the list is seen to go on after it: a number may be cut."""
        while True:
            try:
                item, end = decoder.raw_decode(self.held, self.at)
                after = _SPACE.match(self.held, end).end()  # type: ignore[union-attr]
                if self._is_all or self.held[after : after + 1] in (",", "]") or len(self.held) > end + _CUT:
                    self.at = end
                    return item
            except json.JSONDecodeError:
                if self._is_all or len(self.held) - self.at > LONGEST:
                    raise
            self._more()

    def _more(self) -> None:
        """Read on; what was decoded is let go."""
        rest = self.held[self.at :]
        piece = self._file.read(max(PIECE, len(rest)))
        self.held, self.at, self._is_all = rest + piece, 0, not piece


_SPACE = re.compile(r"[ \t\n\r]*")

_CUT = len("e+")
"""So much of a number may stand behind what reads as one: `1`, and then `e+5`."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadInputError("a row of JSON has a key twice")
    return found


def _whole(text: str) -> float:
    """A whole number; -0 is a float, which keeps its sign."""
    return -0.0 if text == "-0" else int(text)


def _of_npy(schema: Schema, path: str, size: int, skip: int) -> Iterator[Batch]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise IncompatibleError(f"{path}: NumPy cannot read it: {error}") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise IncompatibleError(f"{path}: it is an archive of arrays (.npz); save one array with numpy.save")
    names = schema.names
    columns = len(names) > 1
    if array.ndim == 0 or (columns and (array.ndim != 2 or array.shape[1] != len(names))):
        wanted = f"rows with {len(names)} columns: {', '.join(names[:10])}" if columns else "rows"
        raise BadInputError(f"{path}: wanted {wanted}, an array of the shape {array.shape} came")
    for first in range(skip, len(array), size):
        some = np.array(array[first : first + size])
        inputs = {name: some[:, at] for at, name in enumerate(names)} if columns else {names[0]: some}
        yield Batch(first, len(some), inputs, (first + len(some)) * (array.nbytes // max(1, len(array))))


def _of_table(schema: Schema, path: str, size: int, skip: int, family: str) -> Iterator[Batch]:
    try:
        module: Any = registry.family(family).module("predicting")
    except ImportError:
        raise IncompatibleError(
            f"{quoted(path)}: reading it needs the package {family}, which is not installed; "
            f"pip install {family}"
        ) from None
    total = os.path.getsize(path)
    first = 0
    for columns, rows, part in module.rows_of(path, size):
        if first >= skip:
            yield Batch(first, rows, _in_place(schema, columns), int(total * part))
        first += rows


def _in_place(schema: Schema, columns: Mapping[str, list[Any]]) -> Mapping[str, Any]:
    """Columns by name; for an array, one beside the other."""
    if schema.container != "array" or columns.keys() == {*schema.names}:
        return columns
    return {schema.names[0]: [list(row) for row in zip(*columns.values(), strict=True)]}
