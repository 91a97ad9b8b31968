"""The parts that a run saves of itself, read from a version that may come from anyone; and those of which
each rank has its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from saver.callers import warn
from saver.checkpoints.position import Position
from saver.distributed.naming import OWN, own_parts
from saver.errors import IncompatibleError, SaverError, kind_of
from saver.opened import Opened
from saver.random_states import continued
from saver.repo.version import Version
from saver.training_log import TrainingLog

T = TypeVar("T")


class Own:
    """The parts `names`, of which each rank has its own. One process alone (no `rank`) has what rank 0 has.

    Each rank takes what the one with its number had. If there were fewer ranks, the new ones take nothing.
    """

    def __init__(self, rank: int | None, size: int, names: Iterable[str]) -> None:
        self._rank, self._size, self._names = rank, size, tuple(names)
        self.leads = not rank

    def named(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """The parts under the names under which this rank saves them."""
        found = parts if self._rank is None else own_parts(parts, self._names, self._rank)
        return dict(found)

    def of_rank(self, name: str) -> str:
        """What this rank calls a part that it has for itself."""
        return OWN.format(name, self._rank or 0)

    def name_of(self, name: str, saved: Collection[str]) -> str | None:
        """Under which name this rank finds a part; None if it does not."""
        own = self.of_rank(name)
        if self._rank is None:
            choices = [name, own]
        elif name in self._names:
            choices = [own, name] if self.leads else [own]
        else:
            choices = [name]
        return next((each for each in choices if each in saved), None)

    def found(self, saved: Collection[str], live: Mapping[str, Any]) -> dict[str, Any]:
        """The objects by the names under which this rank finds them."""
        names = {name: self.name_of(name, saved) for name in live}
        return {found: live[name] for name, found in names.items() if found is not None}

    def plain(self, saved: Iterable[str], live: Collection[str]) -> set[str]:
        """The names of parts without the ranks that have them."""
        return {name if name in live else _OF_RANK.sub("", name) for name in saved}

    def has_all(self, names: Iterable[str], saved: Collection[str]) -> bool:
        """Whether this rank finds the parts of these names, but for those that a new rank begins with."""
        is_new = self._rank is not None and self._rank >= ranks_of(saved)
        return all(self.name_of(name, saved) or (is_new and name in self._names) for name in names)

    def warn_of_size(self, version: Version, saved: Collection[str]) -> None:
        """Say what becomes of the parts of ranks if there were more or fewer."""
        before = ranks_of(saved)
        if before == self._size or not self.leads:
            return
        theirs = {_OF_RANK.sub("", name) for name in saved if _OF_RANK.search(name)}
        listed = ", ".join(sorted({*self._names, *theirs}))
        more, fewer = max(before, self._size) - 1, min(before, self._size)
        others = f"rank {fewer}" if more == fewer else f"ranks {fewer} to {more}"
        what = "is not restored" if before > self._size else "stays what the script began with"
        warn(
            f"{version} was saved by {_counted(before)} and is resumed by {_counted(self._size)}: of what "
            f"each has for itself ({listed}), each takes that of its number, and that of {others} {what}; so "
            "random numbers, and the data that a rank gets, are not those of an uninterrupted run",
            UserWarning,
        )


def _counted(ranks: int) -> str:
    return f"{ranks} rank{'s' * (ranks > 1)}"


_OF_RANK = re.compile(r"\.rank(\d{1,9})\Z")


def ranks_of(saved: Iterable[str]) -> int:
    """How many ranks saved the version of a run that has these parts."""
    numbers = (_OF_RANK.search(name) for name in saved if name.startswith("random."))
    return max((int(number[1]) for number in numbers if number), default=0) + 1


def read(
    opened: Opened, log: str, random: str | None, run: str
) -> tuple[TrainingLog, Position, Callable[[], None]]:
    """The log, the position, and the function that continues the random sequences, from the parts of these
    names: a rank may have none for the last. Raises IncompatibleError if no run saved them."""
    own = opened.load((), [name for name in (log, random, run) if name is not None])
    place = _understood(opened, run, lambda: Position.of_part(own[run]))
    found = _understood(opened, log, lambda: _log_until(place.step, own[log]))
    if random is None:
        return found, place, lambda: None
    return found, place, _understood(opened, random, lambda: continued(own[random]))


def _understood(opened: Opened, part: str, read: Callable[[], T]) -> T:
    """What a part of the run itself says. Raises IncompatibleError if no run saved it."""
    try:
        return read()
    except (SaverError, MemoryError):
        raise
    except Exception as error:
        raise IncompatibleError(
            f"{opened.where}: the part {part!r} is not that of a run: {type(error).__name__}: "
            f"{str(error)[:200]}; take the objects from `load`, and give the run another name"
        ) from error


def _log_until(step: int, log: Any) -> TrainingLog:
    if type(log) is not TrainingLog:
        raise ValueError(f"it is {kind_of(log)}, not a TrainingLog")
    if log.last.get("step", -1) > step:
        raise ValueError(f"its last step is {log.last['step']}, and the version was saved at {step}")
    return log
