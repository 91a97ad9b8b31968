"""The training log of a version, read piece by piece: a log of ten million rows takes no more memory than one
of a few thousand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from saver.card.curves import is_alone
from saver.errors import IncompatibleError, NotFoundError
from saver.opened import Opened
from saver.pages.comparing.layers import LOG
from saver.pages.curves.columns import Column
from saver.pages.curves.events import events
from saver.pages.curves.plain import PlainBlock, PlainLog, plain_log
from saver.plotting.lines import Floats, Steps
from saver.training_log.content import OWN, is_name
from saver.tree import Node

NAME = "log"
"""The name under which a log is looked for first."""


class Block(NamedTuple):
    """The values of a metric in some rows, block number `at` of it. Blocks with the same `key` are equal."""

    key: tuple[Any, ...]
    rows: int
    log: Log
    metric: str
    at: int

    def read(self) -> tuple[Steps, Floats]:
        """The steps and the values. Raises DamagedError; IncompatibleError if the steps fall."""
        return self.log.values(self.metric, self.at)


class Log:
    """The training log of an opened version, in the part of that name."""

    def __init__(self, view: Opened, part: str) -> None:
        self.where, self.part = view.where, part
        root = view.tree(part).root
        state = root.state if isinstance(root, Node) and root.codec == LOG else None
        if not is_alone(view, part):
            raise IncompatibleError(f"{view.where}: {part!r} is not a training log alone; no Saver saved it")
        try:
            self.steps = Column(view, state["steps"], "I64")  # type: ignore[index]
            columns = state["columns"]  # type: ignore[index]
            self._columns = {
                key.removeprefix("\\"): _column(view, *column) for key, column in columns.items()
            }
            self.events = events(state["events"], view.decoder(view.admit((), [part])))  # type: ignore[index]
        except (TypeError, KeyError, ValueError, AttributeError, IndexError) as error:
            if isinstance(error, IncompatibleError):
                raise
            raise IncompatibleError(f"{view.where}: {part!r} is not a training log ({error})") from None
        if not all(map(is_name, self._columns)):
            raise IncompatibleError(f"{view.where}: {part!r} has a metric without a name")

    @property
    def rows(self) -> int:
        """How many rows the log has."""
        return self.steps.length

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics, in the order in which they first appeared."""
        return tuple(name for name in self._columns if name not in OWN)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> tuple[Steps, Floats]:
        """All steps and values of a metric. Raises NotFoundError."""
        every = [block.read() for block in self.blocks(name)]
        return np.concatenate([steps for steps, _ in every]), np.concatenate([values for _, values in every])

    def blocks(self, name: str) -> list[Block]:
        """The values of a metric as blocks, in order. Nothing is read. Raises NotFoundError."""
        if name not in self._columns:
            raise NotFoundError(f"{self.where}: the log has no metric {name[:80]!r}")
        return list(self._blocks(name))

    def _blocks(self, name: str) -> Iterator[Block]:
        rows, values = self._columns[name]
        for at, piece in enumerate(values.pieces):
            start, stop = values.bounds(at)
            if isinstance(rows, int):
                if rows + stop > self.rows:
                    raise self._bad(name)
                within = self.steps.holding(rows + start, rows + stop)
                place: tuple[Any, ...] = (rows + start - self.steps.bounds(within[0])[0],)
                place += tuple(self.steps.key(each) for each in within)
            else:  # where the rows are named one by one, all steps up to the last of them decide
                place = tuple(rows.key(each) for each in rows.holding(start, stop))
                place += (start, self._prefix(int(rows.read(stop - 1, stop)[0]), name))
            yield Block((values.key(at), *place), piece.count, self, name, at)

    def _prefix(self, row: int, name: str) -> tuple[str, ...]:
        """The pieces of the steps up to a row."""
        if not 0 <= row < self.rows:
            raise self._bad(name)
        return tuple(self.steps.key(each) for each in self.steps.holding(0, row + 1))

    def values(self, name: str, at: int) -> tuple[Steps, Floats]:
        """The steps and the values of one block."""
        rows, values = self._columns[name]
        start, stop = values.bounds(at)
        if isinstance(rows, int):
            steps = self.steps.read(rows + start, rows + stop)
        else:
            places = rows.read(start, stop)
            if places[0] < 0 or places[-1] >= self.rows or (places[1:] <= places[:-1]).any():
                raise self._bad(name)
            steps = self.steps.take(places)
        if steps[0] < 0 or (steps[1:] < steps[:-1]).any():
            raise self._bad(name)
        return steps, values.piece(at)

    def _bad(self, name: str) -> IncompatibleError:
        return IncompatibleError(
            f"{self.where}: the steps of {name[:80]!r} in its training log are not in order; this version of "
            "Saver did not save it"
        )


AnyLog: TypeAlias = Log | PlainLog
AnyBlock: TypeAlias = Block | PlainBlock


def _column(view: Opened, rows: Any, values: Any) -> tuple[int | Column, Column]:
    found = Column(view, values, "F64")
    if type(rows) is int:
        if rows < 0:
            raise ValueError("a column begins before the first row")
        return rows, found
    places = Column(view, rows, "I64")
    if places.length != found.length:
        raise ValueError("a column has other rows than values")
    return places, found


def logs_of(view: Opened) -> list[AnyLog]:
    """The training logs of a version: its part `log` if that is one, otherwise every part that is. If none
    is, the same of plain logs, where `history` is as good a name. Raises NotFoundError if it has none."""
    there = [
        name for name, tree in view.trees.items() if isinstance(tree.root, Node) and tree.root.codec == LOG
    ]
    if not there and (plain := _plain_logs(view)):
        return plain
    if not there:
        raise NotFoundError(
            f"{view.where} has no training log; save a saver.training_log.TrainingLog as its part 'log', "
            "as the runs of `Saver.checkpoints` do, or a dict of lists of numbers"
        )
    return [Log(view, name) for name in ([NAME] if NAME in there else there)]


def _plain_logs(view: Opened) -> list[AnyLog]:
    for names in (NAME,), ("history",), tuple(view.trees):
        found = [plain_log(view, name) for name in names if name in view.trees]
        if any(found):
            return [each for each in found if each is not None]
    return []
