"""Batch scoring: the rows of a file, answered in order, in bounded memory, and resumed after a kill.

What is answered goes to `OUT.partial`. Now and then that is made durable, and then `OUT.progress` says how
many rows it holds, so a scoring that is run again goes on there. Batches are cut at the same rows each time:
the result has the same bytes as if nothing had happened.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.disk.durable import NewFile
from saver.disk.files import FILES, UNSUPPORTED
from saver.errors import CannotWriteError, IncompatibleError, SaverError, quoted
from saver.human import counted
from saver.page import Facts, Page, Shown
from saver.predicting.data import Data
from saver.predicting.reading import Batch, batches, shifted
from saver.schema import Problem, to_rows
from saver.schema.problems import refuse
from saver.strict import decodable

if TYPE_CHECKING:
    from saver.predicting.predictor import Predictor

ROWS = 1000
"""Rows that are answered at once: enough that the overhead of a call does not matter."""

SECONDS = 2.0
"""How often what was answered is made durable: a kill costs about so much work."""

Progress: TypeAlias = Callable[[int, int], None]

TARGETS = ("csv", "jsonl")


class Scored(Shown, msgspec.Struct, frozen=True):
    """What a scoring wrote: so many `rows` to the file `target`. The first `resumed` of them were there from
    a run that was interrupted."""

    where: str
    source: str
    target: str
    rows: int
    resumed: int

    def _line(self) -> str:
        return f"{self.where}: {counted(self.rows, 'row')} of {self.source} predicted to {self.target}"

    def _page(self) -> Page:
        facts = {
            "rows": f"{self.rows:,}", "from": self.source, "to": self.target,
            "went on after": counted(self.resumed, "row") if self.resumed else "",
        }  # fmt: skip
        return [Facts(self.where, facts)]


@decodable
class Notes(msgspec.Struct, frozen=True):
    """What a scoring that was interrupted left: of which model and data it is, its settings, and how much of
    the partial file holds how many rows."""

    identity: str
    rows: int
    bytes: int


def score(
    predictor: Predictor, source: str, target: str, *, rows: int = ROWS, only: tuple[str, ...] = (),
    replace: bool = False, progress: Progress | None = None,
) -> Scored:  # fmt: skip
    """See `Predictor.score`."""
    ending = os.path.splitext(target)[1].lower().removeprefix(".")
    if ending not in TARGETS:
        raise ValueError(f"{target}: predictions are written to files that end in .{' or .'.join(TARGETS)}")
    if os.path.lexists(target) and not replace:
        raise CannotWriteError(f"{target}: it exists; name another file, or replace it: --force")
    data = Data(source)
    whole = blake3(f"{predictor.identity}\n{data.hash}\n{rows}\n{ending}\n{only}".encode()).hexdigest()
    with _Partial(target, whole) as out:
        resumed = out.rows
        for batch in batches(predictor.schema, source, rows, out.rows):
            outputs = _answered(predictor, batch, only)
            data.demand_same()
            out.add(_text(outputs, ending, header=batch.first == 0), batch.rows)
            if progress is not None:
                progress(min(batch.done, data.size), data.size)
        if not out.rows:
            raise refuse([Problem(None, "rows", "at least one row", "none")])
        data.demand_same()
        out.finish(replace)
        return Scored(predictor.where, source, target, out.rows, resumed)


def _answered(predictor: Predictor, batch: Batch, only: tuple[str, ...]) -> Mapping[str, NDArray[Any]]:
    inputs = shifted(batch.first, predictor.schema.check, batch.inputs)
    found = predictor.predict(inputs, only)
    for name, values in found.items():
        if values.ndim == 0 or len(values) != batch.rows:
            raise IncompatibleError(
                f"{predictor.where}: the output {quoted(name)} has the shape {values.shape} for "
                f"{batch.rows:,} rows, so it cannot be written row by row"
            )
    return found


def _text(outputs: Mapping[str, NDArray[Any]], ending: str, header: bool) -> bytes:
    """Outputs as lines of CSV, with a column for each value, or of JSON."""
    if ending == "jsonl":
        return b"".join(msgspec.json.encode(row) + b"\n" for row in to_rows(outputs))
    columns = {column: values for name, each in outputs.items() for column, values in _flat(name, each)}
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    return lines.getvalue().encode()


def _flat(name: str, values: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
    """An output as columns: `probability_0`, `probability_1`, …"""
    if values.dtype.kind in "Mm":
        values = values.astype(str)
    if values.ndim == 1:
        return [(name, values)]
    places = np.ndindex(values.shape[1:])
    return [("_".join(map(str, (name, *place))), values[(slice(None), *place)]) for place in places]


class _Partial:
    """The file that becomes the target: what an earlier run left of it, and what is added."""

    def __init__(self, target: str, identity: str) -> None:
        self._target = target
        self._path, self._notes = f"{target}.partial", f"{target}.progress"
        self._identity = identity
        self._file = -1
        self._size = self.rows = 0
        self._saved, self._is_noted = time.monotonic(), False

    def __enter__(self) -> _Partial:
        """Hold the partial file, which only one process may write, and go on where an earlier one ended."""
        try:
            self._file = self._opened()
        except OSError as error:
            raise CannotWriteError(f"{self._path}: {error.strerror}") from error
        try:
            own, there = os.fstat(self._file), os.lstat(self._path)
            if not FILES.lock(self._file) or (own.st_dev, own.st_ino) != (there.st_dev, there.st_ino):
                raise CannotWriteError(f"{self._path}: another process writes it; wait until it has ended")
            if self._is_target():
                self._begin()
            found = self._left()
            self._size, self.rows = (found.bytes, found.rows) if found is not None else (0, 0)
            if found is None:
                self._forget()
            FILES.truncate(self._file, self._size)
        except OSError as error:
            if self._file >= 0:
                FILES.close(self._file)
            if isinstance(error, CannotWriteError):
                raise
            raise CannotWriteError(f"{self._path}: {error.strerror}") from error
        self._is_noted = found is not None
        return self

    def _opened(self) -> int:
        try:
            return FILES.create(self._path)
        except FileExistsError:
            return FILES.open_existing(self._path)

    def _is_target(self) -> bool:
        """Whether the partial file has the name of the target, too: a kill came before it lost its own."""
        try:
            return os.path.samestat(os.fstat(self._file), os.lstat(self._target))
        except FileNotFoundError:
            return False

    def _begin(self) -> None:
        """Write to another file, and leave the target as it is."""
        FILES.remove(self._path)
        FILES.close(self._file)
        self._file = -1
        self._file = FILES.create(self._path)
        FILES.lock(self._file)

    def _left(self) -> Notes | None:
        """What an interrupted run of the same left; None if there is nothing to go on with."""
        try:
            with open(self._notes, "rb") as file:
                found = msgspec.json.decode(file.read(), type=Notes)
            whole = os.lstat(self._path)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return found if found.identity == self._identity and 0 <= found.bytes <= whole.st_size else None

    def _forget(self) -> None:
        """Remove the note of another scoring, durably, before a byte of this one is written: it would take
        the bytes for its own when that is run again."""
        with suppress(FileNotFoundError):
            FILES.remove(self._notes)
        FILES.sync_folder(os.path.dirname(os.path.abspath(self._notes)))

    def add(self, text: bytes, rows: int) -> None:
        try:
            done, data = 0, memoryview(text)
            while done < len(data):
                done += FILES.write(self._file, data[done:], self._size + done)
            self._size, self.rows = self._size + len(data), self.rows + rows
            if time.monotonic() - self._saved >= SECONDS:
                self._note()
        except OSError as error:
            raise CannotWriteError(f"{self._path}: {error.strerror}; what it holds so far is kept") from error

    def _note(self) -> None:
        """Make what was answered durable, and then the note of it."""
        FILES.sync(self._file)
        notes = msgspec.json.encode(Notes(self._identity, self.rows, self._size))
        with NewFile(self._notes, len(notes)) as file:
            file.write(notes, 0)
            file.commit()
        self._saved, self._is_noted = time.monotonic(), True

    def finish(self, replace: bool) -> None:
        """Put the file in place, durably; without `replace`, only if nothing is there."""
        folder = os.path.dirname(os.path.abspath(self._target))
        try:
            FILES.sync(self._file)
            is_linked = not replace and self._placed()
            if not is_linked:
                FILES.replace(self._path, self._target)
            FILES.sync_folder(folder)
            if is_linked:
                FILES.remove(self._path)
            with suppress(FileNotFoundError):
                FILES.remove(self._notes)
        except OSError as error:
            if isinstance(error, SaverError):
                raise
            raise CannotWriteError(f"{self._target}: {error.strerror}") from error

    def _placed(self) -> bool:
        """Give the file the name of the target, too, if that is free. False if the file system has no such
        names: then it can only be looked at before."""
        try:
            FILES.link(self._path, self._target)
        except OSError as error:
            if error.errno in (UNSUPPORTED | {errno.EPERM}) and not os.path.lexists(self._target):
                return False
            if not os.path.lexists(self._target):
                raise
            if not self._is_target():  # NFS may have lost its first answer
                self._note()
                raise CannotWriteError(
                    f"{self._target}: it was made meanwhile; replace it: --force; what was answered is kept"
                ) from error
        return True

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """What an interrupted run can go on with is kept, and nothing else."""
        if kind is not None and not self._is_noted:
            with suppress(FileNotFoundError):
                FILES.remove(self._path)
        FILES.close(self._file)
